"""JSON text that PostgreSQL can hold."""

import json
import re
from typing import Any

_NOT_IN_JSONB = re.compile("[\x00\ud800-\udfff]")


def legal_text(text: str) -> str:
    """The text with what PostgreSQL cannot hold (NUL, lone surrogates) replaced by U+FFFD."""
    return _NOT_IN_JSONB.sub("\ufffd", text)


def legal_json(value: dict[str, Any]) -> dict[str, Any]:
    """The JSON object with `legal_text` applied to the value of every member that is a string."""
    legal: dict[str, Any] = json.loads(json.dumps(value), object_hook=_legal_object)
    return legal


def _legal_object(value: dict[str, Any]) -> dict[str, Any]:
    return {key: legal_text(item) if isinstance(item, str) else item for key, item in value.items()}
