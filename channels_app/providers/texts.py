"""Texts that strangers wrote, made safe to store, log and send on."""


def printable(value: object, limit: int) -> str:
    """The first characters of a text without anything that moves a cursor; empty when it is no text."""
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else " " for character in text)[:limit]


def cut(text: str, limit: int) -> str:
    """Printable text of at most `limit` bytes, ending with a whole character."""
    plain = " ".join(printable(text, limit).split())
    return plain.encode()[:limit].decode(errors="ignore").strip()
