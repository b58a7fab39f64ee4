"""How Alipay's messages are written: signed query strings, answers, notification forms. No keys, no meaning.

Three texts are signed, each in its own way: a request's parameters with `sign_type`, an answer's node as the
very characters from brace to brace, a notification's fields without `sign_type`. Amounts are yuan with two
decimals; times are Beijing time without saying so.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlencode

from channels_app.money import Money, fen_from_yuan

BEIJING = timezone(timedelta(hours=8))

_CHARSETS = frozenset({"utf-8", "gbk", "gb18030"})
# A trade notification has some forty; more than this is a stranger's.
_MOST_FIELDS = 300
_FORM_TEXT = re.compile(rb"(?:[!-$&-~]|%[0-9A-Fa-f]{2})*")
_NUMBER = re.compile(r"[!-~]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")
_ERROR_NODE = "error_response"
_UNSIGNED_FIELDS = frozenset({b"sign", b"sign_type"})
_CERT_SN = b"alipay_cert_sn"


class Malformed(Exception):
    """A text is not written as documented. `step` names the check; `detail` never shows a value."""

    def __init__(self, step: str, detail: str) -> None:
        """Remember the check and a sentence for people."""
        super().__init__(detail)
        self.step = step
        self.detail = detail


# --- requests ---------------------------------------------------------------------------------------------
def request_text(parameters: Mapping[str, str]) -> bytes:
    """What a request's signature covers: raw values, sorted, with `sign_type`."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters) if name != "sign").encode()


def query_string(parameters: Mapping[str, str]) -> str:
    """The parameters as they travel. A blank is %20: a `+` would reach some client SDKs as a plus."""
    return urlencode(parameters, quote_via=quote, safe="")


def compact_json(document: Mapping[str, Any]) -> str:
    """`biz_content`."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


# --- answers ----------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer taken apart, nothing of it believed yet. `signed` is the node as it stands in the body."""

    node: Mapping[str, Any]
    signed: bytes
    sign: str
    cert_sn: str

    def signed_texts(self) -> tuple[bytes, ...]:
        """What the signature may cover: the node, or (Alipay's own client tries both) with `\\/` as `/`."""
        plain = self.signed.replace(b"\\/", b"/")
        return (self.signed,) if plain == self.signed else (self.signed, plain)


def read_answer(body: bytes, method: str) -> Answer:
    """Take the answer to `method` apart. Raises Malformed."""
    try:
        members = _members(body.decode())
    except (ValueError, RecursionError):
        raise Malformed("garbled", "not one JSON object in UTF-8") from None
    nodes = [name for name in (f"{method.replace('.', '_')}_response", _ERROR_NODE) if name in members]
    if len(nodes) != 1:
        raise Malformed("node", "no answer to this call in it, or two")
    node, signed = members[nodes[0]]
    if not isinstance(node, dict):
        raise Malformed("node", "the answer is not an object")
    (sign, _), (cert_sn, _) = (members.get(name, ("", "")) for name in ("sign", "alipay_cert_sn"))
    if not isinstance(sign, str) or not isinstance(cert_sn, str):
        raise Malformed("garbled", "sign or alipay_cert_sn is not a text")
    return Answer(node=node, signed=signed.encode(), sign=sign, cert_sn=cert_sn)


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """The outermost object's members: each value, and how it stands there. Raises ValueError, on repeats too.

    The JSON decoder itself finds where a value ends: braces inside strings and escapes are its business.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_unique, strict=False)
    members: dict[str, tuple[Any, str]] = {}
    at = _expect(text, 0, "{")
    while True:
        name, end = decoder.raw_decode(text, _blanks(text, at))
        if not isinstance(name, str) or name in members:
            raise ValueError("a name that is none, or comes twice")
        start = _blanks(text, _expect(text, end, ":"))
        value, end = decoder.raw_decode(text, start)
        members[name] = (value, text[start:end])
        at = _blanks(text, end)
        if text[at : at + 1] != ",":
            break
        at += 1
    if _blanks(text, _expect(text, at, "}")) != len(text):
        raise ValueError("something follows the object")
    return members


def _expect(text: str, at: int, character: str) -> int:
    at = _blanks(text, at)
    if text[at : at + 1] != character:
        raise ValueError(f"no {character} where one belongs")
    return at + 1


def _blanks(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in " \t\r\n":
        at += 1
    return at


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name comes twice")
    return members


# --- notifications ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A notification taken apart, nothing of it believed yet."""

    fields: Mapping[str, str]
    raw: Mapping[bytes, bytes]  # percent-decoded only: the bytes that are signed

    def signed_texts(self) -> tuple[bytes, ...]:
        """What the signature may cover: every field but `sign` and `sign_type`, blank ones too.

        Whether `alipay_cert_sn` belongs to it, sources disagree: both readings are tried.
        """
        names = self.raw.keys() - _UNSIGNED_FIELDS
        whole = self._text(names)
        return (whole, self._text(names - {_CERT_SN})) if _CERT_SN in names else (whole,)

    def _text(self, names: Iterable[bytes]) -> bytes:
        return b"&".join(b"%s=%s" % (name, self.raw[name]) for name in sorted(names))


def read_form(body: bytes) -> Form:
    """Take a notification apart, exactly. Raises Malformed."""
    if body.count(b"&") >= _MOST_FIELDS:
        raise Malformed("form", "too many fields")
    if not body or not _FORM_TEXT.fullmatch(body):
        raise Malformed("form", "not a form")
    raw: dict[bytes, bytes] = {}
    for pair in body.split(b"&"):
        name, equals, value = pair.partition(b"=")
        if not name or not equals:
            raise Malformed("form", "not a form")
        name = _decoded(name)
        if name in raw:
            raise Malformed("form", "a field comes twice")
        raw[name] = _decoded(value)
    charset = raw.get(b"charset", b"utf-8").lower()
    if charset not in {name.encode() for name in _CHARSETS}:
        raise Malformed("charset", "not a charset that Alipay uses")
    try:
        fields = {name.decode("ascii"): value.decode(charset.decode()) for name, value in raw.items()}
    except UnicodeDecodeError:
        raise Malformed("charset", "not text of the charset it names") from None
    return Form(fields=fields, raw=raw)


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


# --- values -----------------------------------------------------------------------------------------------
def number(fields: Mapping[str, Any], name: str) -> str:
    """A number of ours or of Alipay's. Whatever passes can be stored, compared and logged safely."""
    value = fields.get(name)
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise Malformed("shape", f"{name} is not a number as documented")
    return value


def money(fields: Mapping[str, Any], name: str) -> Money:
    """An amount in yuan, never negative."""
    value, currency = fields.get(name), fields.get("trans_currency") or "CNY"
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise Malformed("shape", "trans_currency is not a currency")
    try:
        return Money(fen_from_yuan(value if isinstance(value, str) else ""), currency)
    except ValueError:
        raise Malformed("shape", f"{name} is not an amount in yuan") from None


def time(fields: Mapping[str, Any], name: str) -> datetime | None:
    """A time, in UTC; None when the field is missing or blank."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    fault = Malformed("shape", f"{name} is not a time")
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise fault
    try:
        return datetime.fromisoformat(value).replace(tzinfo=BEIJING).astimezone(UTC)
    except (ValueError, OverflowError):
        raise fault from None
