"""Idempotency-Key: the first answer is kept and repeated word for word, errors included.

The key is reserved in a transaction of its own before the work begins, so of two requests at once one works and
the other hears 409. A reservation whose process died is taken over after a minute; the work itself is safe to
repeat (an order by its reference, a payment by its attempt).
"""

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from channels_app import vault
from orders.authentication import Caller, GameServer
from orders.models import IdempotencyRecord
from orders.problems import CONTENT_TYPE, Problem, problem_of

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_GIVEN_UP_AFTER = timedelta(seconds=60)

# A reservation: the row is ours when it is new, or when the one who held it is gone.
_RESERVE = """
    INSERT INTO orders_idempotencyrecord AS r (caller, key, request_sha256, started_at) VALUES (%s, %s, %s, %s)
    ON CONFLICT (caller, key) DO UPDATE SET started_at = excluded.started_at
        WHERE r.status IS NULL AND r.started_at < %s AND r.request_sha256 = excluded.request_sha256
    RETURNING id
"""

Work = Callable[[], Response]


def once(request: Request, caller: Caller, work: Work) -> Response:
    """Run `work` unless its Idempotency-Key was seen before; then repeat the first answer.

    Raises Problem: 422 idempotency_key_reused for another request, 409 request_running.
    """
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return work()
    if _KEY.fullmatch(key) is None:
        raise Problem(400, "invalid_idempotency_key", "Idempotency-Key: 1 to 255 visible ASCII characters.")
    name = f"{caller.game_code}:{caller.environment}" if isinstance(caller, GameServer) else caller.order_no
    digest = _digest(request)
    now = timezone.now()
    record_id = _reserve(name, key, digest, now)
    if record_id is None:
        return _first_answer(name, key, digest)
    try:
        response = work()
    except Exception as error:  # an error is an answer too; ours alone may be tried again
        problem = problem_of(error)
        if problem.status >= 500:
            IdempotencyRecord.objects.filter(pk=record_id).delete()
            raise problem from error
        response = Response(
            problem.document(), status=problem.status, headers=problem.headers, content_type=CONTENT_TYPE
        )
    # An answer may carry what a client pays with, and what nobody else may read.
    sealed = vault.seal(JSONRenderer().render(response.data), at=_cell(record_id))
    IdempotencyRecord.objects.filter(pk=record_id).update(status=response.status_code, body=sealed)
    return response


def _digest(request: Request) -> str:
    body: Any = request.data
    text = json.dumps([request.method, request.path, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _reserve(caller: str, key: str, digest: str, now: datetime) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, (caller, key, digest, now, now - _GIVEN_UP_AFTER))
        row = cursor.fetchone()
        return int(row[0]) if row else None


def _first_answer(caller: str, key: str, digest: str) -> Response:
    kept = IdempotencyRecord.objects.filter(caller=caller, key=key).first()
    if kept is not None and kept.request_sha256 != digest:
        raise Problem(422, "idempotency_key_reused", "This Idempotency-Key was used for another request.")
    if kept is None or kept.status is None or kept.body is None:
        raise Problem(
            409, "request_running", "The first request with this key is still running.", headers={"Retry-After": "1"}
        )
    content_type = CONTENT_TYPE if kept.status >= 400 else None
    return Response(json.loads(_opened(kept)), status=kept.status, content_type=content_type)


def _opened(kept: IdempotencyRecord) -> bytes:
    body = bytes(kept.body or b"")
    if body[:1] in (b"{", b"["):
        return body  # kept in clear by an earlier release, for the few days that answers are kept
    try:
        return vault.unseal(body, at=_cell(kept.pk))
    except vault.VaultClosed:
        raise Problem(503, "busy", "The first answer cannot be opened now.", headers={"Retry-After": "5"}) from None


def rewrap_answers() -> int:
    """Bring kept answers under the newest vault key. Returns how many."""
    changed = 0
    for row in IdempotencyRecord.objects.exclude(body=None).only("pk", "body").iterator(chunk_size=500):
        if row.body is not None and vault.key_id_of(row.body) != vault.newest_key_id():
            IdempotencyRecord.objects.filter(pk=row.pk).update(body=vault.rewrap(row.body, at=_cell(row.pk)))
            changed += 1
    return changed


def _cell(record_id: int) -> bytes:
    return vault.place("orders_idempotencyrecord", record_id, "body")
