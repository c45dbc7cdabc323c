"""Access tokens as GHL gives them, each with its life."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from ghl_snapshots.ghl.json_slices import malformed

_EARLY: Final = timedelta(minutes=5)
_DEFAULT_LIFE_SECONDS: Final = 3600
_LIFE: Final = re.compile(r"[0-9]{1,9}")
_TOKEN: Final = re.compile(r"[!-~]{1,16384}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token and the moment at which it runs out."""

    value: str = field(repr=False)
    expires_at: datetime
    early: timedelta = _EARLY
    """How long before its end it is no longer used, so that it does not run out on its way."""

    def good(self, now: datetime) -> bool:
        """Whether it may still be used."""
        return now + self.early < self.expires_at


def token_of(answer: Mapping[str, Any], now: datetime) -> Token:
    """The access token in an answer, whose numbers come as text.

    Raises:
        GhlError: MALFORMED_RESPONSE; the answer is not quoted, because it may hold tokens.
    """
    value = answer.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise malformed("the answer holds no access_token")
    text = str(answer.get("expires_in", ""))
    life = timedelta(seconds=int(text) if _LIFE.fullmatch(text) else _DEFAULT_LIFE_SECONDS)
    return Token(value=value, expires_at=now + life, early=min(_EARLY, life / 10))
