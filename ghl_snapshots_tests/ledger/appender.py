"""A process that appends hourly captures of overlapping content and says of each that it was acknowledged."""

import sys
from datetime import timedelta

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.ledger.captures import NOON, capture

TENANTS = ("acme", "zenith")
LARGE = b'{"size":"%s"}' % (b"x" * 5000)


def main(url: str, name: str, count: int, *, shared: bool) -> None:
    """Append `count` captures; `shared` lets every process of this kind send the same correlation ids."""
    with Database(url) as database:
        ledger = Ledger(database)
        for number in range(count):
            given = capture(
                TENANTS[number % 2],
                [b'{"shared":%d}' % (number // 2 + place) for place in range(20)] + [LARGE],
                correlation_id=f"tick-{number}" if shared else f"{name}-{number}",
                snapshot_type=list(SnapshotType)[number % 3],
                captured_at=NOON + timedelta(minutes=number),
            )
            appended = ledger.append(given)
            print(given.correlation_id, appended.snapshot.snapshot_id, flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), shared=sys.argv[4] == "shared")
