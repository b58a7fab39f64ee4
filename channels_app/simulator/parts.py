"""The simulated providers beyond the first two: each is one part that plugs into the same store, deeds and sender.

A part is three files: `<provider>_merchant.py` (keys and the credentials file; a line in `merchants.KINDS`),
`<provider>_voice.py` (how it tells merchants) and `<provider>.py` (the HTTP side and what a buyer's device does; a line
in `PARTS`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from aiohttp import web
from django_stubs_ext import StrOrPromise

from channels_app.simulator.merchants import Platform
from channels_app.simulator.rows import Merchant, Notice, Trade
from channels_app.simulator.voices import Voice

if TYPE_CHECKING:
    from channels_app.simulator.weather import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What came of a buyer's visit. `evidence` is what the client's SDK gets and hands to `POST …/proofs`."""

    trade: Trade
    evidence: Mapping[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)


class Part(Protocol):
    """One simulated provider. What it can do less or more than others, it says as `acting.Lacking` and `Peculiar`."""

    code: ClassVar[str]
    label: ClassVar[StrOrPromise]

    def __init__(self, platform: Platform) -> None:
        """`platform` holds the provider's own keys."""
        ...

    @property
    def voice(self) -> Voice:
        """How it tells merchants."""
        ...

    def routes(self, world: "World") -> list[web.RouteDef]:
        """Everything that merchants' servers and buyers' browsers call."""
        ...

    async def buy(
        self, world: "World", merchant: Merchant, params: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> Purchase:
        """What the buyer's device does with the parameters of a pay call, up to having paid. Raises Refused.

        `asked` may hold `notify` and `delay_s` (see `acting.telling_of`), `price` (minor units) and `currency` where
        the store sets them, and whatever weather of its own this provider has; the part names it in its documentation.
        """
        ...


# They lean on the words above.
from channels_app.simulator.apple import ApplePart  # noqa: E402
from channels_app.simulator.google import GooglePart  # noqa: E402
from channels_app.simulator.huawei import HuaweiPart  # noqa: E402
from channels_app.simulator.stripe import StripePart  # noqa: E402
from channels_app.simulator.taptap import TapTapPart  # noqa: E402
from channels_app.simulator.unionpay import UnionPayPart  # noqa: E402
from channels_app.simulator.xiaomi import XiaomiPart  # noqa: E402

PARTS: Mapping[str, type[Part]] = {
    part.code: part for part in (ApplePart, GooglePart, UnionPayPart, StripePart, HuaweiPart, TapTapPart, XiaomiPart)
}
