"""Prints what objects.txt has to hold for this release.

python -m ghl_snapshots_tests.ledger.objects > ghl_snapshots/ledger/sql/objects.txt
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import migrate
from ghl_snapshots.ledger.schema_integrity import objects_text
from ghl_snapshots.local.postgres import EmbeddedPostgres


def main() -> None:
    """Migrate a new database in a server of its own and print its objects."""
    with TemporaryDirectory() as home, EmbeddedPostgres(Path(home)) as server:
        migrate(server.url("objects"))
        with Database(server.url("objects")) as database, database.auditor() as connection:
            sys.stdout.write(objects_text(connection))


if __name__ == "__main__":
    main()
