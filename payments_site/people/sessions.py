"""Open sessions of the console: how long they last, what ends them, and where each came from.

A session ends when it was idle, when a working day is over, when its owner logs out or changes the password, or when
somebody ends it from afar; then its next request finds nobody logged in.
"""

from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from payments_site.models import StaffSession
from payments_site.people.devices import address_of, browser_of, network_of
from payments_site.people.records import tell
from payments_site.people.session_store import digest_of

_SEEN_EVERY = timedelta(minutes=1)
_ON_REQUEST = "staff_session"


@receiver(user_logged_in)
def open_session(*, request: HttpRequest, user: User, **_more: object) -> None:
    """Every log-in, by whatever way, has a row: a session without one is not let in."""
    now = timezone.now()
    browser, address = browser_of(request), address_of(request)
    if _is_new_device(user, browser=browser, address=address):
        _tell_of_new_device(user, browser=browser, address=address)
    row = StaffSession.objects.create(
        user=user,
        key_sha256=digest_of(request.session.session_key or ""),
        address=address,
        browser=browser,
        began_at=now,
        last_seen_at=now,
    )
    setattr(request, _ON_REQUEST, row)


@receiver(user_logged_out)
def close_session(*, request: HttpRequest, user: User | None, **_more: object) -> None:
    """Logging out ends the row as well."""
    if user is not None and (row := session_of(request)) is not None:
        end(row, now=timezone.now())


def session_of(request: HttpRequest) -> StaffSession | None:
    """The row of the session that this request came with."""
    known: StaffSession | None = getattr(request, _ON_REQUEST, None)
    if known is None and request.session.session_key:
        known = StaffSession.objects.filter(key_sha256=digest_of(request.session.session_key)).first()
        setattr(request, _ON_REQUEST, known)
    return known


def follow_key(request: HttpRequest) -> None:
    """Django changes a session's key when rights change (a new password); the row goes with it."""
    row: StaffSession | None = getattr(request, _ON_REQUEST, None)
    key = request.session.session_key
    if row is None or row.ended_at is not None or not key or row.key_sha256 == digest_of(key):
        return
    row.key_sha256 = digest_of(key)
    row.save(update_fields=["key_sha256"])


def seen(row: StaffSession, *, now: datetime) -> None:
    """Remember that the session is in use; once a minute is often enough."""
    if now - row.last_seen_at >= _SEEN_EVERY:
        row.last_seen_at = now
        row.save(update_fields=["last_seen_at"])


def open_sessions(person: User, *, now: datetime) -> list[StaffSession]:
    """The sessions of a person that still let them in, newest first."""
    rows = StaffSession.objects.filter(user=person, ended_at__isnull=True).order_by("-began_at", "-pk")
    return [row for row in rows if row.over(now=now) is None]


def end(row: StaffSession, *, now: datetime) -> None:
    """End one session at once, wherever it is open."""
    _end(StaffSession.objects.filter(pk=row.pk), now)
    row.ended_at = now


def end_one(person: User, session_id: int, *, now: datetime) -> int:
    """End one session of this person and of nobody else. Returns 1, or 0 when it was not open."""
    return _end(StaffSession.objects.filter(pk=session_id, user=person), now)


def end_all(person: User, *, now: datetime, but: StaffSession | None = None) -> int:
    """End every session of a person, or all but one. Returns how many were open."""
    rows = StaffSession.objects.filter(user=person)
    return _end(rows.exclude(pk=but.pk) if but is not None else rows, now)


def _end(rows: QuerySet[StaffSession], now: datetime) -> int:
    return rows.filter(ended_at__isnull=True).update(ended_at=now)


def _is_new_device(person: User, *, browser: str, address: str) -> bool:
    if not person.email:
        return False
    before = StaffSession.objects.filter(user=person, browser=browser).values_list("address", flat=True).distinct()
    return network_of(address) not in {network_of(known) for known in before}


def _tell_of_new_device(person: User, *, browser: str, address: str) -> None:
    tell(
        person,
        _("Log-in from a new device"),
        _("You logged in from a browser or network that you had not used before: %(browser)s, %(address)s.")
        % {"browser": browser or "?", "address": address},
    )
