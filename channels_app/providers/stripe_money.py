"""Amounts as Stripe writes them, against ours. Facts: docs/providers/stripe.md, section 8.

Stripe's unit of a currency is neither always ISO 4217's nor ours, so every currency that is taken stands here with its
factor; a currency that does not is not taken. Both ways are exact: what does not fit is refused, never rounded.
"""

from collections.abc import Mapping
from types import MappingProxyType

from channels_app.money import Money
from channels_app.providers.base import ProviderRejected
from channels_app.providers.documents import Unexpected

# Far above any payment, far below what a database integer holds.
_MOST = 10**13

_THE_SAME_UNIT = (
    # with two decimals here and there
    "AED", "ARS", "AUD", "BRL", "CAD", "CHF", "CNY", "COP", "CRC", "CZK", "DKK", "EGP", "EUR", "GBP", "HKD", "HUF",
    "IDR", "ILS", "INR", "KES", "KZT", "MAD", "MOP", "MXN", "MYR", "NGN", "NOK", "NZD", "PEN", "PHP", "PKR", "PLN",
    "QAR", "RON", "SAR", "SEK", "SGD", "THB", "TRY", "TWD", "UAH", "USD", "UYU", "ZAR",
    # without decimals here and there
    "CLP", "JPY", "KRW", "PYG", "VND", "XAF", "XOF",
)  # fmt: skip
# Thousandths of which the last digit has to be 0: our hundredths.
_THOUSANDTHS = ("BHD", "JOD", "KWD", "OMR", "TND")
# No decimals in life and here; Stripe wants two, and both 0. So it says of UGX in newer texts, and the opposite in
# older ones: a hundredfold price is too high a price for finding out, so UGX is not taken.
_WHOLE_AS_HUNDREDTHS = ("ISK",)

# How many of Stripe's units one of ours is.
FACTORS: Mapping[str, int] = MappingProxyType(
    {
        **dict.fromkeys(_THE_SAME_UNIT, 1),
        **dict.fromkeys(_THOUSANDTHS, 10),
        **dict.fromkeys(_WHOLE_AS_HUNDREDTHS, 100),
    }
)
CURRENCIES = tuple(sorted(FACTORS))


def to_stripe(money: Money) -> tuple[int, str]:
    """Amount and currency as Stripe is told them. Raises ProviderRejected for what it does not take."""
    factor = FACTORS.get(money.currency)
    if factor is None:
        raise ProviderRejected("currency_not_taken", "this currency is not taken at Stripe")
    if not 0 < money.amount_minor <= _MOST:
        raise ProviderRejected("amount_not_taken", "Stripe takes amounts above nothing")
    return money.amount_minor * factor, money.currency.lower()


def from_stripe(amount: object, currency: object) -> Money:
    """Ours of Stripe's; below nothing too, which only its own bookings are. Raises Unexpected for what does not fit."""
    code = currency.upper() if isinstance(currency, str) and currency == currency.lower() else ""
    factor = FACTORS.get(code)
    if factor is None:
        raise Unexpected("amount", "a currency that is not taken")
    if type(amount) is not int or abs(amount) > _MOST or amount % factor:
        raise Unexpected("amount", f"not an amount in {code}")
    return Money(amount // factor, code)
