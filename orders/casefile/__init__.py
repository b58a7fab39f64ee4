"""The case file of an order: what happened, what it means, what to do, what to tell the player.

`facts` gathers the rows, `verdict` and `replies` judge and word them, `timeline` and `player` tell the rest; none of
these but the gathering touches the database. The pages that show it stand in `orders.admin`.
"""
