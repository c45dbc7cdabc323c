"""Text from outside made fit for an error: bounded, printable, on one line, and without a secret."""

import re
from base64 import b64encode
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final
from urllib.parse import quote

_LONGEST: Final = 200
_LOOKED_AT: Final = 8_192
_TOKEN: Final = re.compile(
    r"pit-[A-Za-z0-9-]{8,}|eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*|(?i:bearer)\s+[^\s\"'<>]{8,}"
)
_SHORTEST_PART: Final = 8
_REDACTED: Final = "[redacted]"


def quoted(text: str | bytes, *secrets: str) -> str:
    """At most 200 characters of a text in quotes, without the secrets and whatever looks like a token.

    A secret is not shown in part either, nor in other case: GHL's answers echo what was sent.
    """
    beginning = text[:_LOOKED_AT]
    if isinstance(beginning, bytes):
        beginning = beginning.decode("utf-8", "replace")
    if not beginning.strip():
        return "nothing"
    for secret in secrets:
        for form in _forms(secret) if secret else ():
            beginning = _without(form, beginning)
    line = " ".join(_TOKEN.sub(_REDACTED, beginning).split())
    printable = "".join(character if character.isprintable() else "\ufffd" for character in line[:_LONGEST])
    return f"“{printable}”" if len(line) <= _LONGEST else f"“{printable}…”"


def _forms(secret: str) -> Iterator[str]:
    """The secret as it may stand in an echoed request: as it is, in a form or URL, in a header's base64.

    In base64 at each of three places to begin, since `id:secret` is encoded in one; without the letters that
    what is before and after it has a part in. Other encodings (hex, JSON's escapes) are not looked for.
    """
    yield secret
    if (encoded := quote(secret, safe="")) != secret:
        yield encoded
    for before, start in ((0, 0), (1, 2), (2, 3)):
        text = bytes(before) + secret.encode("utf-8", "surrogateescape")
        whole = b64encode(text).decode()[start : len(text) * 8 // 6]
        yield from {whole, whole.translate(str.maketrans("+/", "-_"))}


def _without(secret: str, text: str) -> str:
    """The text with each run of at least 8 characters that the secret has too, in either case, redacted."""
    width = min(_SHORTEST_PART, len(secret))
    folded_secret, folded = _folded(secret), _folded(text)
    parts = {folded_secret[place : place + width] for place in range(len(secret) - width + 1)}
    hidden = bytearray(len(text))
    for place in range(len(text) - width + 1):
        if folded[place : place + width] in parts:
            hidden[place : place + width] = b"\1" * width
    runs = groupby(zip(text, hidden, strict=True), key=itemgetter(1))
    return "".join(_REDACTED if is_hidden else "".join(map(itemgetter(0), run)) for is_hidden, run in runs)


def _folded(text: str) -> str:
    """The text in lower case, character by character, since a few of them become two."""
    return "".join(character.lower()[:1] for character in text)
