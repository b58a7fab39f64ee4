"""Compares answers with the OpenAPI document: as much of OpenAPI 3.0 as the document uses, and closed objects.

A member that the document does not name is a fault (I-32): otherwise a document that promises nothing would fit
every answer.
"""

import datetime
import re
import uuid
from urllib.parse import urlsplit


class Document:
    """An OpenAPI document, and whether what was answered is what it says."""

    def __init__(self, document: dict) -> None:
        self.document = document
        self.checked: set[tuple[str, str]] = set()  # (method, path) that was compared at least once

    def check(self, method: str, address: str, answer) -> None:
        """Raises AssertionError naming the first place where a Django test answer differs."""
        path, operation = self._operation(method.lower(), urlsplit(address).path)
        status = str(answer.status_code)
        described = operation["responses"].get(status) or operation["responses"].get(f"{status[0]}XX")
        assert described, f"{method} {path} does not mention the answer {status}"
        content_type = answer["Content-Type"].partition(";")[0]
        assert content_type in described["content"], f"{method} {path} {status} says nothing of {content_type}"
        self._fits(answer.json(), described["content"][content_type]["schema"], f"{method} {path} {status}")
        self.checked.add((method.lower(), path))

    def calls(self) -> set[tuple[str, str]]:
        """Every (method, path) of the document."""
        return {(method, path) for path, item in self.document["paths"].items() for method in item}

    def fits(self, value: object, component: str) -> None:
        """Raises AssertionError unless a value has the shape of a component."""
        self._fits(value, {"$ref": f"#/components/schemas/{component}"}, component)

    def _operation(self, method: str, address: str) -> tuple[str, dict]:
        for path, item in self.document["paths"].items():
            pattern = re.sub(r"\\\{[a-z_]+\\\}", "[^/]+", re.escape(path))
            if method in item and re.fullmatch(pattern, address):
                return path, item[method]
        raise AssertionError(f"the document has no {method} {address}")

    def _resolved(self, schema: dict) -> dict:
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def _fits(self, value: object, schema: dict, place: str) -> None:
        schema = self._resolved(schema)
        if value is None and schema.get("nullable"):
            return
        if "allOf" in schema:
            (only,) = schema["allOf"]
            self._fits(value, only, place)
        elif "oneOf" in schema:
            self._fits_one(value, schema["oneOf"], place)
        elif "enum" in schema:
            assert value in schema["enum"], f"{place}: {value!r} is none of {schema['enum']}"
        else:
            getattr(self, f"_{schema['type']}")(value, schema, place)

    def _fits_one(self, value: object, options: list[dict], place: str) -> None:
        faults = []
        for option in options:
            try:
                return self._fits(value, option, place)
            except AssertionError as fault:
                faults.append(str(fault))
        raise AssertionError(f"{place} fits nothing: {faults}")

    def _object(self, value: object, schema: dict, place: str) -> None:
        assert isinstance(value, dict), f"{place}: {value!r} is no object"
        known = schema.get("properties", {})
        missing = set(schema.get("required", ())) - set(value)
        assert not missing, f"{place} lacks {missing}"
        for name, member in value.items():
            if name in known:
                self._fits(member, known[name], f"{place}.{name}")
            else:
                others = schema.get("additionalProperties")
                assert others is not None, f"{place}.{name} is not in the document"
                if others:
                    self._fits(member, others, f"{place}.{name}")

    def _array(self, value: object, schema: dict, place: str) -> None:
        assert isinstance(value, list), f"{place}: {value!r} is no array"
        for number, member in enumerate(value):
            self._fits(member, schema["items"], f"{place}[{number}]")

    def _string(self, value: object, schema: dict, place: str) -> None:
        assert isinstance(value, str), f"{place}: {value!r} is no string"
        assert len(value) <= schema.get("maxLength", len(value)), f"{place}: too long"
        match schema.get("format"):
            case "date-time":
                assert value.endswith("Z"), f"{place}: {value} is not UTC"
                datetime.datetime.fromisoformat(value)
            case "uuid":
                uuid.UUID(value)
            case "uri":
                assert urlsplit(value).scheme in ("http", "https"), f"{place}: {value} is no address"

    def _integer(self, value: object, schema: dict, place: str) -> None:
        assert isinstance(value, int), f"{place}: {value!r} is no integer"
        assert not isinstance(value, bool), f"{place}: {value!r} is no integer"
        assert schema.get("minimum", value) <= value <= schema.get("maximum", value), f"{place}: {value} out of range"

    def _boolean(self, value: object, schema: dict, place: str) -> None:
        assert isinstance(value, bool), f"{place}: {value!r} is no boolean"
