"""Endpoints of game servers: their address, their secrets, and switching the telling on and off.

The services behind `manage.py set_webhook` and the console. A secret is returned once, by the call that made it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from channels_app import vault
from fulfillment import outbox, signing
from fulfillment.models import (
    DeliveryMode,
    DeliveryPolicy,
    EndpointState,
    MessageState,
    WebhookEndpoint,
    WebhookMessage,
)
from fulfillment.targets import TargetRefused, check_url
from orders.models import Case, CaseKind, Game

SECRETS_AT_ONCE = 2


class EndpointRefused(ValueError):
    """An endpoint cannot be set up or moved as asked; the sentence says why."""


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """What `set_endpoint` did. `secret` only when it was made by this call: it is never shown again."""

    endpoint: WebhookEndpoint
    secret: str | None = field(repr=False)


@transaction.atomic
def set_endpoint(*, game: Game, url: str, mode: DeliveryMode | None = None) -> EndpointSet:
    """Name the address of a game's server, and (with `mode`) who holds the goods of orders made from now on.

    A new endpoint gets a secret. A new address starts with a clean slate: health is forgotten, what waits is sent there
    at once, and an endpoint that had been switched off by its answer 410 is on again; one paused by a person stays
    paused. With an empty `url` nothing is told (events can be listed); the address that follows is asked for the
    deliveries that still wait. Raises EndpointRefused.
    """
    try:
        url = check_url(url) if url else ""
    except TargetRefused as refusal:
        raise EndpointRefused(str(refusal)) from None
    if mode is not None:
        DeliveryPolicy.objects.update_or_create(game=game, defaults={"mode": DeliveryMode(mode)})
    endpoint, made = WebhookEndpoint.objects.select_for_update().get_or_create(
        game=game, defaults={"url": url, "secrets_sealed": b""}
    )
    secret = _add_secret(endpoint, []) if made else None
    if endpoint.url != url:
        if not endpoint.url:
            outbox.ask_for_waiting(endpoint_id=endpoint.pk, game_id=game.pk)
        endpoint.url = url
        if endpoint.state == EndpointState.DISABLED:
            endpoint.state = EndpointState.ACTIVE
        endpoint.save(update_fields=["url", "state"])
        _start_afresh(endpoint, actor="operator")
    return EndpointSet(endpoint, secret)


@transaction.atomic
def rotate_secret(*, endpoint_id: int) -> str:
    """Add a new secret and return it; the one before stays valid beside it until `retire_old_secrets`.

    Two are valid at most: rotating again without retiring ends the oldest.
    """
    endpoint = _locked(endpoint_id)
    return _add_secret(endpoint, endpoint.secrets())


@transaction.atomic
def retire_old_secrets(*, endpoint_id: int) -> int:
    """End a rotation: sign with the newest secret only. Returns how many were retired."""
    endpoint = _locked(endpoint_id)
    newest, *older = endpoint.secrets()
    endpoint.set_secrets([newest])
    endpoint.save(update_fields=["secrets_sealed"])
    return len(older)


@transaction.atomic
def pause_endpoint(*, endpoint_id: int) -> bool:
    """Stop telling; everything waits. False when it was not active."""
    endpoint = _locked(endpoint_id)
    if endpoint.state != EndpointState.ACTIVE:
        return False
    endpoint.state = EndpointState.PAUSED
    endpoint.save(update_fields=["state"])
    return True


@transaction.atomic
def resume_endpoint(*, endpoint_id: int, actor: str) -> bool:
    """Tell again after a pause, or after the endpoint was switched off by its answer 410; all that waits goes at once.

    False when it was active already.
    """
    endpoint = _locked(endpoint_id)
    if endpoint.state == EndpointState.ACTIVE:
        return False
    endpoint.state = EndpointState.ACTIVE
    endpoint.save(update_fields=["state"])
    _start_afresh(endpoint, actor=actor)
    return True


def requeue(*, message_ids: Sequence[int], now: datetime) -> int:
    """Try parked messages again, at once. Returns how many were parked."""
    return WebhookMessage.objects.filter(pk__in=message_ids, state=MessageState.PARKED).update(
        state=MessageState.WAITING, next_attempt_at=now
    )


def rewrap_endpoints() -> int:
    """Bring every endpoint's secrets under the newest vault key. Returns how many were re-wrapped."""
    changed = 0
    for pk in list(WebhookEndpoint.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            endpoint = _locked(pk)
            sealed = bytes(endpoint.secrets_sealed)
            if vault.key_id_of(sealed) == vault.newest_key_id():
                continue
            endpoint.secrets_sealed = vault.rewrap(sealed, at=endpoint._cell())
            endpoint.save(update_fields=["secrets_sealed"])
            changed += 1
    return changed


def _locked(endpoint_id: int) -> WebhookEndpoint:
    return WebhookEndpoint.objects.select_for_update().get(pk=endpoint_id)


def _add_secret(endpoint: WebhookEndpoint, known: list[str]) -> str:
    secret = signing.new_secret()
    endpoint.set_secrets([secret, *known][:SECRETS_AT_ONCE])
    endpoint.save(update_fields=["secrets_sealed"])
    return secret


def _start_afresh(endpoint: WebhookEndpoint, *, actor: str) -> int:
    endpoint.failures_in_a_row = 0
    endpoint.failing_since = endpoint.next_probe_at = None
    endpoint.last_error = ""
    endpoint.save(update_fields=["failures_in_a_row", "failing_since", "next_probe_at", "last_error"])
    # The case of a 410 is about the endpoint itself, and this closes it; those of messages close by being told.
    Case.objects.filter(
        kind=CaseKind.WEBHOOK_PARKED, subject=outbox.subject_of_endpoint(endpoint.pk), closed_at__isnull=True
    ).update(closed_at=timezone.now(), closed_by=actor[:80], decision="switched on")
    return outbox.release(endpoint_id=endpoint.pk)
