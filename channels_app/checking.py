"""Does an account work? One signed question to its provider, and the answer explained.

The question is about a number that cannot exist. A provider that answers "no such order", in words that we can
verify, has accepted our signature and we have accepted its: keys, numbers and the way there are right. No money and
no order is touched.
"""

import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from channels_app.accounts import adapter_of
from channels_app.models import MerchantAccount
from channels_app.providers.base import (
    CredentialsInvalid,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
)
from channels_app.vault import VaultClosed

_UNVERIFIED = "unverified_"
# Our own words for what happened on the way; everything else is a word of the provider.
_ON_THE_WAY = ("connect", "read_timeout", "transport", "answer_", "http_")


class CheckStep(StrEnum):
    """How far the question came."""

    VAULT = "vault"  # our own vault could not open the keys
    KEYS = "keys"  # the keys do not parse
    REACHED = "reached"  # the provider could not be reached, or did not answer in time
    ACCEPTED = "accepted"  # the provider answered with a no: it did not accept who we are, or what we may do
    VERIFIED = "verified"  # the provider answered, and we could not verify that it was the provider
    BUSY = "busy"  # too many calls just now
    HALF = "half"  # the provider accepted us; its answer was not signed, so its key is not proved yet
    WORKS = "works"


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one question. `said`: the provider's own word, or ours for a failure on the way."""

    step: CheckStep
    said: str
    took_ms: int

    @property
    def works(self) -> bool:
        """Whether payments can be opened and their notifications believed."""
        return self.step in (CheckStep.WORKS, CheckStep.HALF)


def check_account(account: MerchantAccount, *, now: datetime, clock: Any) -> Check:
    """Ask, and keep the answer on the account. `clock()` gives seconds, to tell how long it took."""
    began = clock()
    step, said = _ask(account)
    check = Check(step, said[:200], int((clock() - began) * 1000))
    MerchantAccount.objects.filter(pk=account.pk).update(last_check={"at": now.isoformat(), **asdict(check)})
    return check


def _ask(account: MerchantAccount) -> tuple[CheckStep, str]:
    try:
        answer = adapter_of(account).probe(f"CHECK{secrets.token_hex(10).upper()}")
    except VaultClosed as error:
        return CheckStep.VAULT, str(error)
    except CredentialsInvalid as error:
        return CheckStep.KEYS, str(error)
    except ProviderBusy as error:
        return CheckStep.BUSY, error.code
    except ProviderRejected as error:
        return CheckStep.ACCEPTED, str(error)
    except ProviderError as error:
        return _step_of(error.code), str(error)
    return CheckStep.WORKS if answer.verified else CheckStep.HALF, answer.said


def _step_of(code: str) -> CheckStep:
    """Where a call without a usable answer ended. (Alipay's gateway refuses a wrong signature in unsigned words.)"""
    if code.startswith(_UNVERIFIED):
        return CheckStep.VERIFIED
    return CheckStep.REACHED if code.startswith(_ON_THE_WAY) else CheckStep.ACCEPTED
