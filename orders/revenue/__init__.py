"""Revenue: sums per business day, channel, method, product, zone and currency, always equal to the raw rows.

`facts` says what one line of a timeline means in figures, and everything else is made of that: `folding` adds new
lines to the kept sums, `rebuilding` adds all of them again, `report` reads sums plus the lines not folded yet,
`proof` lets the audit compare. Money of different currencies is never added, sandbox never meets production.
"""
