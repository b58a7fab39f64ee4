"""Joint operation (联运): an app store whose payment runs inside its own SDK, on the player's device.

Opening only hands out what the SDK wants; nothing is asked of the store. The store tells us, and can be asked. It
closes nothing, and gives money back in its own back office only.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from channels_app.providers.base import (
    AttemptRef,
    CloseAnswer,
    ProviderRejected,
    QueryAnswer,
    RefundAnswer,
    RefundRequest,
    RefundStanding,
    Standing,
)

_CLOSING: Mapping[Standing, CloseAnswer] = {
    Standing.PAID: CloseAnswer.PAID,
    Standing.CLOSED: CloseAnswer.CLOSED,
    Standing.UNKNOWN: CloseAnswer.UNKNOWN,
    Standing.WAITING: CloseAnswer.CANNOT,
    Standing.UNDECIDED: CloseAnswer.CANNOT,
}


class JointAdapter(ABC):
    """What such stores have in common."""

    @abstractmethod
    def query(self, attempt: AttemptRef) -> QueryAnswer:
        """Ask what became of an attempt. Raises ProviderError."""

    def close(self, attempt: AttemptRef) -> CloseAnswer:
        """Nothing can be closed: what somebody is paying may still be paid. Raises ProviderError."""
        return _CLOSING[self.query(attempt).standing]

    def refund(self, request: RefundRequest) -> RefundAnswer:
        """Only the store's back office gives money back."""
        raise ProviderRejected("not_offered", "this store gives money back in its own back office only")

    def query_refund(self, request: RefundRequest) -> RefundAnswer:
        """No refund was ever started by us."""
        return RefundAnswer(standing=RefundStanding.UNKNOWN, said="not offered", refund_no=request.refund_no)
