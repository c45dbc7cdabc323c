"""Reading the ledger from the command line."""

import os
import signal
import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from psycopg.conninfo import conninfo_to_dict

from ghl_snapshots.capture.composition import auditor_url, open_database
from ghl_snapshots.core.audit_events import EventType
from ghl_snapshots.core.settings import told_for
from ghl_snapshots.core.snapshot_json import document, raw_lines
from ghl_snapshots.ledger.audit import AuditTrail, by_hand
from ghl_snapshots.ledger.database import AUDITOR
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.migrate import check_schema
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import product_environment
from ghl_snapshots.local.postgres import program

_VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
}


def show(snapshot_id: str, *, raw: bool) -> Generator[bytes]:
    """Pieces of a snapshot's JSON form or, if `raw`, of its entities' exact bytes, a line feed behind each.

    Raises:
        SnapshotNotFoundError: there is no such snapshot.
        SnapshotCorruptError: what is stored is not what was captured; nothing was yielded.
    """
    with product_environment() as settings, open_database(settings) as database:
        check_schema(database)
        ledger = Ledger(database)
        snapshot = ledger.get(snapshot_id)
        ledger.verify_snapshot(snapshot)
        details = {"snapshotId": snapshot_id, "raw": raw}
        event = by_hand(EventType.READ, tenant_id=snapshot.tenant_id, details=details)
        AuditTrail(database).record(event)
        # Closed before the database is, also where a reader such as `head` has had enough.
        with closing(ledger.bodies(snapshot)) as bodies:
            yield from raw_lines(bodies) if raw else document(snapshot, bodies)


def overridden(tenant_id: str) -> Iterator[str]:
    """How a tenant's captures are made, as `settings.told_for` tells it.

    Raises:
        UnknownTenantError: the registry does not hold it.
    """
    with product_environment() as settings, open_database(settings) as database:
        check_schema(database)
        yield from told_for(settings, TenantRegistry(database).get(tenant_id))


def psql(arguments: Sequence[str]) -> int:
    """Run psql on the product's database with the auditor's rights, to read all tenants; its exit code."""
    with product_environment() as settings, open_database(settings) as database:
        check_schema(database)
        AuditTrail(database).record(by_hand(EventType.SQL_SESSION))
        # Ctrl-C is for psql, which cancels its statement; we only wait.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.run(
                [program("psql"), *arguments], env=_environment(auditor_url(settings)), check=False
            ).returncode
        finally:
            signal.signal(signal.SIGINT, before)


def _environment(url: str) -> dict[str, str]:
    """The connection in variables rather than in arguments, which every user of the machine could read."""
    connection = conninfo_to_dict(url)
    values = {name: str(connection[key]) for key, name in _VARIABLES.items() if connection.get(key)}
    return {**os.environ, **values, "PGOPTIONS": f"-c role={AUDITOR}"}
