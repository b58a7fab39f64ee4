"""Where a player finds the number of a payment: what customer service asks for, provider by provider.

A provider that is not named here is asked for by a picture of the whole receipt.
"""

from collections.abc import Callable, Mapping

from django.utils.translation import gettext as _

_WHERE: Mapping[str, Callable[[], str]] = {
    "wechatpay": lambda: _("WeChat: Me → Services → Wallet → Bills → the payment; its transaction id has 28 digits."),
    "alipay": lambda: _("Alipay: Me → Bills → the payment; its order number has 28 digits."),
    "apple": lambda: _(
        "The mail “Your receipt from Apple”: the order id, M and ten characters. Without the mail: Settings → the name"
        " → Media & Purchases → Purchase History."
    ),
    "google": lambda: _(
        "The mail from Google Play: the order number, GPA and 17 digits. Without the mail: Google Play → the picture →"
        " Payments & subscriptions → Budget & history."
    ),
    "unionpay": lambda: _(
        "The UnionPay app: Me → Bills → the payment. Ask for the merchant’s order number on it, which is ours: UnionPay"
        " is asked by that one."
    ),
    "stripe": lambda: _(
        "A card statement carries no number of ours: ask for the day, the exact amount and the last four digits of the"
        " card, then search by amount and time."
    ),
    "huawei": lambda: _("AppGallery: Me → Purchase history → the purchase; its order number."),
}  # fmt: skip


def where(provider: str) -> str:
    """Where the number stands, for people who ask a player for it."""
    words = _WHERE.get(provider)
    return words() if words else _("On the receipt or in the bill; ask for a picture of the whole page.")
