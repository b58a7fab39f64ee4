"""The provider simulator: every provider on one port of this machine, with every kind of bad weather.

A stranger on purpose: it shares no code with our adapters and reads none of our rows, so that two sides that
agree with each other by mistake are found out. Nothing but commands, demo data and tests may import it, and it
refuses to start in production.
"""
