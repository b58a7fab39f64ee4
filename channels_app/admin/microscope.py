"""The microscope in words: what a message claims, what failed, what that means and what to do about it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from channels_app.console.words import clock, mark, number
from channels_app.microscope import Examination, Reading
from channels_app.models import Notification

_FAR_OFF = timedelta(seconds=30)

# Per failed step: what it means, and what to do. Functions, so that they speak the reader's language.
_STEPS: Mapping[str, Callable[[], tuple[str, str]]] = {
    "headers": lambda: (
        _("The headers that carry the signature are missing or broken."),
        _("Not the provider's, or a proxy in front of us drops headers: compare with what the proxy received."),
    ),
    "timestamp": lambda: (
        _("It was stamped five minutes or more away from our clock."),
        _("Either our clock is wrong (check it), or an old message was sent again. Ask the provider about the order."),
    ),
    "probe": lambda: (
        _("A deliberately wrong signature: the provider tests whether we check."),
        _("Nothing to do: refusing it is the right answer."),
    ),
    "serial": lambda: (
        _("It names a key that this account does not know, or that is not valid at that time."),
        _("The provider has probably changed its key: put the new one into the account, then verify again here."),
    ),
    "signature": lambda: (
        _("The signature does not fit these bytes."),
        _("A proxy has changed the body, the key under this name is wrong, or somebody forged it. If it happens to all"
          " messages since one moment, it is the proxy or the key."),
    ),
    "charset": lambda: (
        _("The text is not in the charset it names."),
        _("A proxy has re-coded the body, or it is not the provider's."),
    ),
    "form": lambda: (
        _("The body is not a form as the provider sends it."),
        _("A proxy has changed the body, or it is not the provider's."),
    ),
    "decryption": lambda: (
        _("The provider signed it, but our APIv3 key does not open it."),
        _("The APIv3 key in the account is not the one set at the provider: correct it, then process this message."),
    ),
    "algorithm": lambda: (
        _("The provider signed it, but it is encrypted in a way we do not know."),
        _("The provider has changed something: engineers must look."),
    ),
    "json": lambda: (
        _("The provider signed it, but it is not the JSON it should be."),
        _("The provider has changed something: engineers must look."),
    ),
    "shape": lambda: (
        _("The provider signed it, but a field is not as documented."),
        _("The provider has changed something: engineers must look."),
    ),
    "certificates": lambda: (
        _("The certificates that came along do not lead to a root that we trust, or are not for this."),
        _("Not the provider's; or it has a new root: compare with its own site before you put anything into the"
          " account."),
    ),
    "keys": lambda: (
        _("It names a key of the provider that was not fetched yet."),
        _("It is fetched and the message read again by itself. If this stays: can this host reach the provider?"),
    ),
    "subscription": lambda: (
        _("It comes from another subscription than the one of this account."),
        _("Compare the subscription's name in the account with the one in the provider's console."),
    ),
    "asking": lambda: (
        _("It only said whom to ask, and the provider gave no answer for a day."),
        _("Check the account; then process this message: the provider is asked again."),
    ),
}  # fmt: skip
# Steps that mean the same to a person, by the names that providers' adapters have for them.
_SAME_AS = {
    "header": "headers",
    "sign_method": "headers",
    "version": "headers",
    "certificate": "certificates",
    "certificate_chain": "certificates",
    "certificate_dates": "certificates",
    "certificate_name": "certificates",
    "amount": "shape",
    "application": "shape",
    "event": "shape",
    "product": "shape",
    "thin_event": "shape",
}
_INSIDE = "transaction_"  # of a signed transaction inside a signed message


def step_in_words(step: str) -> tuple[str, str]:
    """What a failed step means, and what to do."""
    name = step.removeprefix(_INSIDE)
    words = _STEPS.get(_SAME_AS.get(name, name))
    return words() if words else (step, _("Engineers must look."))


def reading_in_words(reading: Reading) -> object:
    """What one reading came to."""
    if reading.genuine:
        said = {
            "payment": _("genuine: a payment"),
            "refund": _("genuine: a refund"),
            "dispute": _("genuine: a bank disputes a payment"),
            "hint": _("genuine: a hint, the provider is asked about it"),
            "foreign": _("genuine, but for another merchant or application"),
            "nothing": _("genuine: nothing to do"),
        }[reading.says]
        return mark(said, "done")
    label = _("genuine, but unreadable: %(step)s") if reading.unreadable else _("refused at: %(step)s")
    return mark(label % {"step": reading.step}, "decide")


def looked_at(seen: Examination) -> list[tuple[object, object]]:
    """Label and value of everything the microscope shows."""
    intact = mark(_("yes, byte for byte"), "done") if seen.intact else mark(_("no: the stored bytes differ"), "decide")
    known = seen.claims.known_keys
    rows: list[tuple[object, object]] = [
        (_("SHA-256 of the stored bytes still fits"), intact),
        (_("Key it names"), number(seen.claims.key) or _("none: this provider's messages name no key")),
        (_("Keys of this account"), number(", ".join(known)) if known else _("one public key, without a name")),
        (_("Stamped by the sender"), clock(seen.claims.sent_at) if seen.claims.sent_at else _("it carries no stamp")),
        (_("Our clock against the sender's"), _difference(seen.difference)),
        (_("As of its arrival, today's keys"), reading_in_words(seen.as_received)),
    ]
    if seen.as_stamped is not None:
        rows.append((_("As of its own stamp, today's keys"), reading_in_words(seen.as_stamped)))
    rows.append((_("If it arrived now"), _if_now(seen)))
    rows.append((_("Headers that came along"), number(", ".join(seen.headers))))
    return rows


def _if_now(seen: Examination) -> object:
    """Age alone may refuse today what was right then: then the signature is said to be right or wrong all the same."""
    if seen.as_of_now.step != "timestamp" or seen.as_stamped is None:
        return reading_in_words(seen.as_of_now)
    if seen.as_stamped.step in ("", "decryption", "shape", "json", "algorithm"):
        return mark(_("refused for its age alone: the signature is right"), "quiet")
    return mark(_("refused for its age, and the signature is wrong too"), "decide")


def _difference(difference: timedelta | None) -> object:
    if difference is None:
        return "–"
    seconds = difference.total_seconds()
    said = _("%(seconds)s s after its stamp") % {"seconds": f"{seconds:+.1f}"}
    return mark(said, "working" if abs(difference) > _FAR_OFF else "done")


def conclusion(notification: Notification, seen: Examination | None, now: datetime) -> str:
    """One sentence that says what matters about a message today."""
    if seen is None:
        return _("The message cannot be opened: its vault key is missing.")
    if not seen.intact:
        return _("The stored bytes are not those that arrived. Nothing of it may be believed; call the engineers.")
    if seen.as_received.genuine and notification.failed_step:
        return _("It was not taken when it arrived, and it verifies with today's keys: it can be processed now.")
    if seen.as_received.genuine:
        return _("Genuine, then and now.")
    return step_in_words(seen.as_received.step)[0]
