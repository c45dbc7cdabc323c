"""Reading the access token out of GHL's answer."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from ghl_snapshots.core.tokens import LONGEST_LIFE, AccessToken
from ghl_snapshots.ghl.json_slices import malformed

_LONGEST_EARLY: Final = timedelta(minutes=5)
_DEFAULT_LIFE_SECONDS: Final = 3600
_LIFE: Final = re.compile(r"[0-9]{1,9}")
_TOKEN: Final = re.compile(r"[!-~]{1,16384}")


def read_access_token(answer: Mapping[str, Any], now: datetime) -> AccessToken:
    """The access token in an answer, whose numbers come as text.

    Raises:
        GhlError: MALFORMED_RESPONSE; the answer is not quoted, because it may hold tokens.
    """
    value = answer.get("access_token")
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise malformed("the answer holds no access_token")
    text = str(answer.get("expires_in", ""))
    life = timedelta(seconds=int(text) if _LIFE.fullmatch(text) else _DEFAULT_LIFE_SECONDS)
    life = min(life, LONGEST_LIFE)
    return AccessToken(value=value, expires_at=now + life, early=min(_LONGEST_EARLY, life / 10))
