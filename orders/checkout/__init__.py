"""The hosted checkout: the page on which a player pays one order and sees what came of it.

The client token in the address is the only credential; a page shows the one order it was made for. The
server renders every state whole, so that everything but live updates and copying works without JavaScript;
the script (static/checkout/checkout.js) makes the same calls through the client API and swaps in what is
rendered here.

What it never does: offer to pay again once money has arrived, or say that something failed after that.

Rooms: `views` (addresses, headers), `visit` (who is here, about which order), `stages` (where that order stands),
`acts` (what the page's forms do), `pages` (what is shown), `methods` and `slowness` (the ways to pay on offer),
`leaving` (QR codes and the way to a provider), `links` (the way back to the game), `words`.
"""

from orders.checkout.views import checkout, checkout_qr

__all__ = ["checkout", "checkout_qr"]
