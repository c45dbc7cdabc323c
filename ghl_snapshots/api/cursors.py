"""Where a list of snapshots goes on: opaque to callers, and stable while snapshots are added."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from ghl_snapshots.api.problems import CallRefusedError, Kind
from ghl_snapshots.core.model import Snapshot, iso

_POSITION = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([0-9a-f-]{36})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last snapshot of a page, by the moment of its capture and its id."""

    position: tuple[datetime, str]

    @classmethod
    def after(cls, snapshot: Snapshot) -> Self:
        """The cursor that goes on after a snapshot."""
        return cls((snapshot.captured_at, snapshot.snapshot_id))

    @classmethod
    def read(cls, text: str) -> Self:
        """The cursor of a text that we gave out.

        Raises:
            CallRefusedError: we did not.
        """
        try:
            decoded = base64.urlsafe_b64decode(text.encode("ascii")).decode("ascii")
            found = _POSITION.fullmatch(decoded)
            if found:
                return cls((datetime.fromisoformat(found[1]), found[2]))
        except (UnicodeError, ValueError, binascii.Error):
            pass
        raise CallRefusedError(Kind.INVALID_REQUEST, "The cursor is not one that this service gave out.")

    @property
    def text(self) -> str:
        """The cursor as it stands in a URL."""
        captured_at, snapshot_id = self.position
        return base64.urlsafe_b64encode(f"{iso(captured_at)} {snapshot_id}".encode()).decode()
