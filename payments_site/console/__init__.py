"""The console as a whole: its site, its clock and its first page. The pages of each table stand with its app."""
