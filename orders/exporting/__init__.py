"""Books as files: orders, payments and whatever a floor above registers, for finance staff and for machines.

`profiles` says for whom a file is, `cells` how one value is written, `reports` which columns a table has, `asking` what
one export is, `snapshot` how rows leave the database, `files` and `spreadsheet` how a file is made of them, `running`
what the worker does with a large one, `approving` how personal data take two people. Rows are formatted by PostgreSQL
and copied out in blocks: a million rows cost no memory here. Rows, totals and all parts of one export come from one
snapshot.
"""
