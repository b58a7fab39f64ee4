"""The first page: what needs a person now, whether the money is normal, whether it is us or them, where it comes from
and how fast the goods follow.

`cases`, `figures`, `health`, `speed` and `undelivered` each answer one question through small or bounded indexes;
`page` puts them together for one person. Sandbox figures never meet production's.
"""

from payments_site.console.home.page import Home, home

__all__ = ["Home", "home"]
