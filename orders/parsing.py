"""Reading what strangers send: JSON without surprises, and fields that are exactly what they claim.

A stock parser takes duplicate keys, NaN, NUL characters, lone surrogates and full-width digits; each of
them ends in a 500 or a wrong value further down. Here each ends in a 400 that names it.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any, TypeVar

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from orders.problems import Problem, invalid

_DEEPEST = 12
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MISSING = object()
_T = TypeVar("_T")
BIGGEST_INTEGER = 2**53 - 1  # beyond it JSON readers disagree


class AlwaysJSON(BaseContentNegotiation):
    """This API speaks JSON, whatever Accept says; a body must say that it is JSON."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """The JSON parser, unless the body declares another type."""
        declared = (request.content_type or "").partition(";")[0].strip().lower()
        return next(iter(parsers)) if declared in ("application/json", "") else None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The JSON renderer."""
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""


class StrictJSONParser(BaseParser):
    """One JSON object, or a 400 that says what is wrong with it."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The object in the body. Raises Problem."""
        return read_object(stream.read())


def read_object(body: bytes) -> dict[str, Any]:
    """Parse bytes as one JSON object. Raises Problem(400, malformed_body)."""
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_without_twins, parse_constant=_no_constant)
        _check(value, depth=0)
    except RecursionError:
        raise malformed("The JSON is nested too deeply.") from None
    except UnicodeDecodeError:
        raise malformed("The body is not UTF-8.") from None
    except ValueError as error:
        raise malformed(f"The body is not acceptable JSON: {error}"[:200]) from None
    if not isinstance(value, dict):
        raise malformed("The body must be a JSON object.")
    return value


def malformed(detail: str) -> Problem:
    """400 for a body that cannot be read at all."""
    return Problem(400, "malformed_body", detail)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a key appears twice")
    return members


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _check(value: Any, *, depth: int) -> None:
    if depth > _DEEPEST:
        raise RecursionError
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise ValueError("a text holds a character that cannot be stored")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check(name, depth=depth + 1)
            _check(member, depth=depth + 1)
    elif isinstance(value, list):
        for member in value:
            _check(member, depth=depth + 1)


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that StrictJSONParser read; empty without a body."""
    read: Any = request.data
    body: dict[str, Any] = read
    return body


class Fields:
    """The members of one request body, taken one by one; `done` refuses leftovers and reports every fault at once.

    Each taker returns the value, or its default after noting a fault; nothing is coerced: `"1"` is no integer.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body` is a parsed JSON object (or a query string's single values)."""
        self._left = dict(body)
        self._errors: list[Mapping[str, str]] = []

    def text(
        self,
        name: str,
        *,
        most: int,
        least: int = 1,
        default: str | None = None,
        pattern: re.Pattern[str] | None = None,
    ) -> str:
        """A string of `least` to `most` characters. Required unless a default is given."""
        value = self._left.pop(name, _MISSING)
        if value is _MISSING and default is not None:
            return default
        if not isinstance(value, str):
            return self._fault(name, value, "must be a string", "")
        if not least <= len(value) <= most:
            return self._fault(name, value, f"must have {least} to {most} characters", "")
        if pattern is not None and pattern.fullmatch(value) is None:
            return self._fault(name, value, "has a character or form that is not allowed", "")
        return value

    def integer(self, name: str, *, least: int, most: int, default: int | None = None) -> int:
        """A whole number in range. Required unless a default is given."""
        value = self._left.pop(name, _MISSING)
        if value is _MISSING and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            return self._fault(name, value, "must be a whole number", least)
        if not least <= value <= most:
            return self._fault(name, value, f"must be from {least} to {most}", least)
        return value

    def choice(self, name: str, options: Iterable[str]) -> str:
        """One of a few words. Required."""
        value = self._left.pop(name, _MISSING)
        known = list(options)
        if value not in known:
            return self._fault(name, value, f"must be one of: {', '.join(known)}", known[0] if known else "")
        return str(value)

    def refuse(self, name: str, detail: str) -> None:
        """Note a fault that only the caller can see."""
        self._errors.append({"field": name, "code": "invalid", "detail": detail})

    def done(self) -> None:
        """Raises Problem(400, invalid_request) naming every unknown, missing and faulty field."""
        for name in self._left:
            self._errors.append({"field": name[:64], "code": "unknown", "detail": "there is no such field"})
        if self._errors:
            raise invalid(self._errors)

    def _fault(self, name: str, value: object, detail: str, instead: _T) -> _T:
        if value is _MISSING:
            self._errors.append({"field": name, "code": "required", "detail": "is required"})
        else:
            self._errors.append({"field": name, "code": "invalid", "detail": detail})
        return instead
