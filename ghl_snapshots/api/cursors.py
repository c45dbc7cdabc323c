"""Pagination cursors: opaque to callers, and stable while snapshots are added."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ghl_snapshots.api.problems import ProblemError, ProblemKind
from ghl_snapshots.core.model import Snapshot, iso

_POSITION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([0-9a-f-]{36})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last snapshot of a page, by capture time and id."""

    position: tuple[datetime, str]

    @classmethod
    def after(cls, snapshot: Snapshot) -> Self:
        """The cursor of the page that follows a snapshot."""
        return cls((snapshot.captured_at, snapshot.snapshot_id))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a cursor.

        Raises:
            ProblemError: the text is not the `text` of a cursor.
        """
        try:
            decoded = base64.urlsafe_b64decode(text.encode("ascii")).decode("ascii")
            match = _POSITION.fullmatch(decoded)
            if match:
                return cls((datetime.fromisoformat(match[1]), match[2]))
        except (UnicodeError, ValueError, binascii.Error):
            pass
        raise ProblemError(ProblemKind.INVALID_REQUEST, "The cursor is not one that this service gave out.")

    @property
    def text(self) -> str:
        """The cursor in a URL."""
        captured_at, snapshot_id = self.position
        return base64.urlsafe_b64encode(f"{iso(captured_at)} {snapshot_id}".encode()).decode()
