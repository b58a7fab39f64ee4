"""The console as a whole: its site, its clock and its first page. Each table's pages stand with its app."""
