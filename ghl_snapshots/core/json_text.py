"""JSON text that PostgreSQL can hold."""

import json
import re
from collections.abc import Mapping
from typing import Any

_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_IN_JSONB = re.compile("[\x00\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(?:u0000|.)")


def legal_text(text: str) -> str:
    """The text with what PostgreSQL cannot hold (NUL, lone surrogates) replaced by U+FFFD."""
    return _NOT_IN_JSONB.sub("\ufffd", text)


def legal_json(value: Mapping[str, Any]) -> str:
    """Compact JSON text, keys sorted, with U+FFFD for what PostgreSQL cannot hold, as in `legal_text`."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    if _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _ESCAPE.sub(_without_nul, text) if "\\u0000" in text else text


def _without_nul(escape: re.Match[str]) -> str:
    return "\ufffd" if escape[0] == "\\u0000" else escape[0]
