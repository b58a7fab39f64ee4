"""Stripe's forms as they are read, and the answers that it gives: parameters, amounts, pages of lists, refusals."""

import json
import re
import secrets
from collections.abc import Mapping

from aiohttp import web

from channels_app.simulator.rows import Weather
from channels_app.simulator.stripe_voice import Document

_METADATA = re.compile(r"(?:payment_intent_data\[metadata\]|metadata)\[([^\[\]]{1,40})\]")
AMOUNT = re.compile(r"[1-9][0-9]{0,7}")
_CURRENCY = re.compile(r"[a-z]{3}")
_WHOLE = ("clp", "jpy", "krw", "pyg", "vnd", "xaf", "xof")
_ENDS_WITH: Mapping[str, int] = {"isk": 100, "bhd": 10, "jod": 10, "kwd": 10, "omr": 10, "tnd": 10}

Form = Mapping[str, str]


class Fault(Exception):
    """A no, as Stripe says it. `is_kept`: said while doing it, so a repeat under the same key hears it too."""

    def __init__(self, status: int, code: str, message: str, *, is_kept: bool = False, **more: object) -> None:
        """Status, code and more members of the error."""
        super().__init__(message)
        self.status = status
        self.is_kept = is_kept
        kind = {429: "rate_limit_error", 500: "api_error"}.get(status, "invalid_request_error")
        self.document: Document = {"error": {"type": kind, "code": code, "message": message, **more}}


def answer_of(status: int, document: Document, *, is_replayed: bool) -> web.Response:
    """JSON as Stripe sends it."""
    headers = {"Request-Id": f"req_{secrets.token_hex(7)}"}
    if is_replayed:
        headers["Idempotent-Replayed"] = "true"
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def weather_fault(weather: Weather | None) -> Fault:
    """What Stripe says in bad weather."""
    if weather and weather.mode == "error429":
        return Fault(429, "rate_limit", "Request rate limit exceeded.")
    return Fault(500, "", "An unknown error occurred.")


def missing(kind: str, number: str) -> Fault:
    """Nothing has this number."""
    return Fault(404, "resource_missing", f"No such {kind}: '{number[:80]}'", param="id")


def check_fields(form: Form, known: set[str]) -> None:
    """Refuse what Stripe does not know. Raises Fault."""
    for name in form:
        if name not in known and not _METADATA.fullmatch(name):
            raise Fault(400, "parameter_unknown", f"Received unknown parameter: {name}", param=name)


def metadata_in(form: Form, where: str) -> dict[str, str]:
    """The metadata below a name."""
    found = {name: _METADATA.fullmatch(name) for name in form}
    return {
        match[1]: form[name] for name, match in found.items() if match and name == f"{where}[{match[1]}]"
    }  # fmt: skip


def money_in(form: Form, amount: str, currency: str) -> tuple[int, str]:
    """An amount that Stripe takes. Raises Fault."""
    text, code = form.get(amount, ""), form.get(currency, "")
    if not _CURRENCY.fullmatch(code):
        raise Fault(400, "parameter_invalid", f"Invalid currency: {code[:10]}", param="currency")
    if not AMOUNT.fullmatch(text) or int(text) % _ENDS_WITH.get(code, 1):
        raise Fault(400, "parameter_invalid_integer", f"Invalid integer: {text[:20]}", param="amount")
    if int(text) < (1 if code in _WHOLE else 50):
        raise Fault(400, "amount_too_small", "Amount must be at least 50 cents.", param="amount")
    return int(text), code


def wants_whole(request: web.Request) -> set[str]:
    """What is to be shown whole."""
    return set(request.query.getall("expand[]", []))


def period(request: web.Request) -> tuple[int, int]:
    """First and last second that are asked for."""
    told = {
        name: int(value) for name, value in request.query.items() if name.startswith("created[") and value.isdigit()
    }
    last = told.get("created[lte]", told.get("created[lt]", 10**11 + 1) - 1)
    return told.get("created[gte]", 0), last


def page_of(request: web.Request, found: list[Document]) -> Document:
    """The part of a list that is asked for."""
    numbers = [each["id"] for each in found]
    after = request.query.get("starting_after", "")
    if after and after not in numbers:
        raise missing("object", after)
    limit = request.query.get("limit", "10")
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise Fault(400, "parameter_invalid_integer", "limit is between 1 and 100", param="limit")
    start = numbers.index(after) + 1 if after else 0
    data = found[start : start + int(limit)]
    return {"object": "list", "data": data, "has_more": start + len(data) < len(found), "url": request.path}
