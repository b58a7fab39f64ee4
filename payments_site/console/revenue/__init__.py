"""Revenue per channel: one period held against another, down to the orders behind every figure.

`asking` reads the address, `table` puts a report into words and links, `files` writes it as CSV, `page` answers.
The figures themselves come from `orders.revenue`.
"""
