"""What every page of the console is made of. Each table's own pages stand in the `admin` package of its app."""
