"""Four eyes (四眼): what takes two people. One asks, and what was asked is frozen; another looks at it and does it.

A kind of thing that takes two is a `Kind`: which permission both people need, and the service that does it. Floors
register theirs in `KINDS`. `ask_or_do` is the one door: with `settings.FOUR_EYES` it files a proposal, without (a
developer's machine) it does the thing at once. Either way the audit trail has it.

The payload is sealed, because it may carry keys. Its SHA-256 is taken with what a person was shown and checked again
when it is done, so what happens is what was approved. The service checks the world again under its own locks: a
price that has moved since is not set back by an approval.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from channels_app import trail, vault
from channels_app.models import AuditEntry, Proposal, ProposalState

LASTS = timedelta(hours=24)

# What may be shown of a proposal, line by line: what, before, after.
Summary = Sequence[tuple[str, str, str]]
Person = Any  # the project's user; its class is the setting's


class ProposalRefused(Exception):
    """It cannot be done, or not by this person; the sentence says why and may be shown."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it, in a sentence. `secret`: something new that this page shows once and nothing ever again."""

    words: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that takes two. `perform` gets the payload and who does it, in the transaction of the approval;
    it raises ProposalRefused (and undoes what it did) when the world has moved on.
    """

    name: str
    label: str | Promise
    permission: str
    perform: Callable[[Mapping[str, Any], Any], Done]


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Make a kind known."""
    KINDS[kind.name] = kind
    return kind


@dataclass(frozen=True, slots=True)
class Asked:
    """What `ask_or_do` did: filed a proposal, or did it."""

    words: str
    proposal: Proposal | None = None
    secret: str = field(default="", repr=False)


def ask_or_do(
    request: HttpRequest,
    *,
    kind: str,
    subject: str,
    payload: Mapping[str, Any],
    summary: Summary,
    reason: str,
    ticket: str = "",
) -> Asked:
    """File a proposal by the person behind `request`; where four eyes are off, do it at once. Raises ProposalRefused.

    Nothing but JSON goes into `payload`. Secrets may stand there and nowhere else: not in `summary`, not in `subject`.
    """
    if not settings.FOUR_EYES:
        with transaction.atomic():
            trail.because(reason)
            done = KINDS[kind].perform(payload, request.user)
        return Asked(done.words, secret=done.secret)
    proposal = propose(
        kind=kind, subject=subject, payload=payload, summary=summary, reason=reason, ticket=ticket,
        by=request.user, now=timezone.now(),
    )  # fmt: skip
    return Asked(_("A colleague has to approve this within 24 hours; then it is done."), proposal)


def propose(
    *,
    kind: str,
    subject: str,
    payload: Mapping[str, Any],
    summary: Summary,
    reason: str,
    by: Person,
    now: datetime,
    ticket: str = "",
) -> Proposal:
    """Freeze what is asked for. Raises ProposalRefused without a reason."""
    if not reason.strip():
        raise ProposalRefused(_("Say why: the person who approves has to know."))
    shown = [list(line) for line in summary]
    proposal = Proposal(
        kind=KINDS[kind].name,
        subject=subject[:200],
        summary=shown,
        reason=reason.strip()[:500],
        ticket=ticket.strip()[:80],
        requested_by_id=by.pk,
        requested_at=now,
        expires_at=now + LASTS,
    )
    proposal.payload_sealed = vault.seal(json.dumps(payload).encode(), at=proposal._cell())
    proposal.payload_sha256 = _digest(proposal, payload)
    with transaction.atomic():
        proposal.save(force_insert=True)
        _write_down(proposal, "asked", by, reason=proposal.reason)
    return proposal


def approve(*, proposal_id: UUID | str, by: Person, now: datetime) -> Done:
    """Do what was asked for, exactly once, as another person than who asked.

    Raises ProposalRefused; when the thing itself could not be done the proposal is over, and says why.
    """
    with transaction.atomic():
        proposal = _decidable(proposal_id, by, now)
        payload = payload_of(proposal)
        trail.because(proposal.reason)
        failure: ProposalRefused | None = None
        done = Done("")
        try:
            with transaction.atomic():
                done = KINDS[proposal.kind].perform(payload, by)
        except ProposalRefused as refusal:
            failure = refusal
        _conclude(
            proposal, ProposalState.FAILED if failure else ProposalState.DONE, by, now, str(failure or done.words)
        )
    if failure is not None:
        raise failure
    return done


def reject(*, proposal_id: UUID | str, by: Person, reason: str, now: datetime) -> None:
    """Leave everything as it is. Raises ProposalRefused."""
    with transaction.atomic():
        _conclude(_decidable(proposal_id, by, now), ProposalState.REJECTED, by, now, reason)


def why_not(proposal: Proposal, by: Person, now: datetime) -> str:
    """Why this person cannot decide a proposal now; "" when they can."""
    if proposal.state != ProposalState.WAITING:
        return _("It has been decided: %(state)s.") % {"state": proposal.get_state_display()}
    if proposal.expires_at <= now:
        return _("It has expired: whoever asked may ask again.")
    if proposal.kind not in KINDS:
        return _("This version no longer knows how to do it.")
    if not by.has_perm(KINDS[proposal.kind].permission):
        return _("Your role may not do this, so you cannot approve it.")
    if proposal.requested_by_id == by.pk:
        return _("You asked for it yourself: it takes a second person.")
    return ""


def payload_of(proposal: Proposal) -> dict[str, Any]:
    """What was asked for, opened and compared with what was approved. Raises ProposalRefused."""
    try:
        payload: dict[str, Any] = json.loads(vault.unseal(proposal.payload_sealed, at=proposal._cell()))
    except vault.VaultClosed as error:
        raise ProposalRefused(_("What was asked for cannot be opened: its vault key is missing.")) from error
    if _digest(proposal, payload) != proposal.payload_sha256:
        raise ProposalRefused(_("What is stored is not what was asked for. Nothing was done."))
    return payload


def expire_proposals() -> int:
    """Close what nobody decided in time. Returns how many."""
    return Proposal.objects.filter(state=ProposalState.WAITING, expires_at__lte=timezone.now()).update(
        state=ProposalState.EXPIRED
    )


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The lines of a summary: everything that differs between two descriptions."""
    names = [*before, *(name for name in after if name not in before)]
    return [
        (name, before.get(name, ""), after.get(name, ""))
        for name in names
        if before.get(name, "") != after.get(name, "")
    ]


def _decidable(proposal_id: UUID | str, by: Person, now: datetime) -> Proposal:
    """The proposal, locked, if this person may decide it now."""
    proposal = Proposal.objects.select_for_update(of=("self",)).get(pk=proposal_id)
    hindrance = why_not(proposal, by, now)
    if hindrance:
        raise ProposalRefused(hindrance)
    return proposal


def _conclude(proposal: Proposal, state: ProposalState, by: Person, now: datetime, outcome: str) -> None:
    proposal.state, proposal.decided_by_id, proposal.decided_at = state, by.pk, now
    proposal.outcome = outcome[:300]
    _write_down(proposal, _DECISIONS[state], by, reason=outcome)
    try:
        proposal.save(update_fields=["state", "decided_by", "decided_at", "outcome"])
    except IntegrityError as error:  # the database's own word on two people
        raise ProposalRefused(_("You asked for it yourself: it takes a second person.")) from error


_DECISIONS = {
    ProposalState.DONE: "approved",
    ProposalState.REJECTED: "rejected",
    ProposalState.FAILED: "failed",
}


def _write_down(proposal: Proposal, action: str, by: Person, *, reason: str) -> None:
    """Who asked and who decided, in the audit trail: in the transaction of the change itself."""
    AuditEntry.objects.create(
        actor=by.get_username(),
        address=trail.address(),
        action=action,
        subject=Proposal._meta.label_lower,
        subject_id=str(proposal.pk),
        label=str(proposal)[:200],
        reason=reason[:500],
        detail={"kind": proposal.kind, "ticket": proposal.ticket, "sha256": proposal.payload_sha256},
    )


def _digest(proposal: Proposal, payload: Mapping[str, Any]) -> str:
    """SHA-256 over everything that is frozen: what is done, and what a person was shown of it."""
    asked = [
        str(proposal.pk), proposal.kind, proposal.subject, payload, proposal.summary, proposal.reason, proposal.ticket,
        proposal.requested_by_id,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def waiting_for(user: Any) -> QuerySet[Proposal]:
    """What this person could approve now: asked for by others, in their permissions, not expired."""
    kinds = [kind.name for kind in KINDS.values() if user.has_perm(kind.permission)]
    return Proposal.objects.filter(state=ProposalState.WAITING, kind__in=kinds, expires_at__gt=timezone.now()).exclude(
        requested_by=user.pk
    )
