"""Text from outside made fit for an error: bounded, printable, on one line, and without a secret."""

import re
from typing import Final

_LONGEST: Final = 200
_LOOKED_AT: Final = 8_192
_TOKEN: Final = re.compile(
    r"pit-[A-Za-z0-9-]{8,}|eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*|(?i:bearer)\s+[^\s\"'<>]{8,}"
)
_REDACTED: Final = "[redacted]"


def quoted(text: str | bytes, *secrets: str) -> str:
    """At most 200 characters of a text in quotes, without the secrets and whatever looks like a token."""
    beginning = text[:_LOOKED_AT]
    if isinstance(beginning, bytes):
        beginning = beginning.decode("utf-8", "replace")
    if not beginning.strip():
        return "nothing"
    for secret in secrets:
        beginning = beginning.replace(secret, _REDACTED) if secret else beginning
    line = " ".join(_TOKEN.sub(_REDACTED, beginning).split())
    printable = "".join(character if character.isprintable() else "\ufffd" for character in line[:_LONGEST])
    return f"“{printable}”" if len(line) <= _LONGEST else f"“{printable}…”"
