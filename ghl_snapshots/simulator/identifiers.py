"""Identifiers in the forms that GHL uses, each the same for the same parts."""

import hashlib
import string
import uuid
from collections.abc import Callable, Mapping

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits


def short_id(*parts: object) -> str:
    """Twenty letters and digits, as locations, calendars and pipelines have."""
    number = int.from_bytes(_digest(parts))
    letters = []
    for _ in range(20):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)


def object_id(*parts: object) -> str:
    """Twenty-four hexadecimal digits, as voice and studio agents have."""
    return _digest(parts).hex()[:24]


def uuid_id(*parts: object) -> str:
    """A UUID, as workflows, stages and Private Integration Tokens have."""
    return str(uuid.UUID(bytes=_digest(parts)[:16], version=4))


ID_FORMS: Mapping[str, Callable[..., str]] = {"short": short_id, "object": object_id, "uuid": uuid_id}
"""The forms by name."""


def _digest(parts: tuple[object, ...]) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
