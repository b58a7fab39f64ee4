"""`python -m bench`: speed and memory of the running system, each figure beside its floor of the same run.

The system is started as in production (its own processes, DEBUG off, durability on) on a database of its own.
A floor is what PostgreSQL alone does with the same work on the same machine in the same minute (pgbench), or
an empty answer of the same server. Every measured run counts its effects: rows written must equal requests
made. See docs/performance.md.
"""
