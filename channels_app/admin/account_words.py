"""What is said about a merchant account: what a check found and what to do, and when a key runs out."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from channels_app.checking import CheckStep
from channels_app.console.words import clock, mark
from channels_app.models import MerchantAccount

# From when on a person should know that a key runs out (guarantees, 7.1: 30, 7 and 1 days).
EXPIRY_WARNING = timedelta(days=30)
_EXPIRY_ALARM = timedelta(days=7)

_WORDS: Mapping[str, Callable[[], str]] = {
    CheckStep.WORKS: lambda: _(
        "It works: the provider accepted our signature, and its answer was verified with the keys stored here."
    ),
    CheckStep.VAULT: lambda: _(
        "The keys cannot be opened: the vault key they were sealed with is not among PAYMENTS_VAULT_KEYS."
    ),
    CheckStep.KEYS: lambda: _("The stored keys cannot be read. Replace them."),
    CheckStep.REACHED: lambda: _(
        "The provider gave no usable answer. Can this machine reach it: name resolution, firewall, proxy?"
    ),
    CheckStep.ACCEPTED: lambda: _("The provider was reached and said no."),
    CheckStep.VERIFIED: lambda: _(
        "The provider answered, but not in words that the keys stored here verify. The provider's public key or"
        " certificate is another one: download it again."
    ),
    CheckStep.HALF: lambda: _(
        "The provider accepted our signature. Its answer carried none, so whether its own key stored here is right"
        " will show with the first payment."
    ),
    CheckStep.BUSY: lambda: _("Too many calls just now. Try again in a minute."),
}

_GOOD = (CheckStep.WORKS, CheckStep.HALF)

# What a provider's no usually means. The word is looked for inside what it said.
_REFUSALS: tuple[tuple[str, Callable[[], str]], ...] = (
    (
        "SIGN_ERROR",
        lambda: _(
            "It does not accept our signature: private key, serial number and merchant number must belong together."
        ),
    ),
    (
        "invalid-signature",
        lambda: _("It does not accept our signature: the public key uploaded there belongs to another private key."),
    ),
    ("NO_AUTH", lambda: _("The merchant number may not do this: apply for the product at the provider first.")),
    ("isv-permissions", lambda: _("The application may not do this: add the product to it at Alipay first.")),
    ("invalid-app-id", lambda: _("It does not know this application id.")),
    ("MCH_NOT_EXISTS", lambda: _("It does not know this merchant number.")),
    ("APPID_MCHID_NOT_MATCH", lambda: _("The application id is not bound to this merchant number.")),
    ("PARAM_ERROR", lambda: _("It does not accept one of the numbers: compare merchant number and application id.")),
)  # fmt: skip


def check_in_words(check: Mapping[str, Any]) -> str:
    """What a check found and what to do about it; "" when nobody has asked yet. Takes MerchantAccount.last_check."""
    if not check:
        return ""
    words = _WORDS[check["step"]]()
    said = str(check["said"])
    hint = next((explain() for word, explain in _REFUSALS if word.lower() in said.lower()), "")
    told = _("It said: %(said)s.") % {"said": said} if said and check["step"] not in _GOOD else ""
    return " ".join(part for part in (words, hint, told) if part)


def check_mark(account: MerchantAccount) -> object:
    """Works, does not, or never asked; and when."""
    check = account.last_check
    if not check:
        return mark(_("never checked"), "quiet")
    at = clock(datetime.fromisoformat(check["at"]))
    works = check["step"] in _GOOD
    return mark(
        (_("works, %(at)s") if works else _("does not work, %(at)s")) % {"at": at}, "done" if works else "decide"
    )


def expiry_mark(expires_at: str | None) -> object:
    """When a key runs out, in the colour of its urgency; "" for one that does not."""
    if not expires_at:
        return ""
    at = datetime.fromisoformat(expires_at)
    left = at - timezone.now()
    day = timezone.localtime(at).strftime("%Y-%m-%d")
    if left <= timedelta(0):
        return mark(_("ran out on %(day)s") % {"day": day}, "decide")
    days = ngettext("%(day)s, in %(count)s day", "%(day)s, in %(count)s days", left.days) % {
        "day": day,
        "count": left.days,
    }
    tone = "decide" if left <= _EXPIRY_ALARM else "working" if left <= EXPIRY_WARNING else "done"
    return mark(days, tone)


def first_expiry(account: MerchantAccount) -> str | None:
    """The day the first of its keys runs out, as stored; None when none does."""
    days = [key["expires_at"] for key in account.summary.get("keys", []) if key["expires_at"]]
    return min(days, default=None)
