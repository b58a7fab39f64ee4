"""Books as files: orders, payments and whatever a floor above registers, for finance staff and for machines.

`cells` says how one value is written, `reports` which columns a table has, `asking` what a person asked for,
`snapshot` how rows leave the database, `files` how a file is made of them, `running` what the worker does with a
large one. Rows are formatted by PostgreSQL and copied out in blocks: a million rows cost no memory here, and no
Python per row. Rows, totals and all parts of one export come from one snapshot.
"""
