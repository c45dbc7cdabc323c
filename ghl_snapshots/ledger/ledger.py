"""The append-only ledger: captures go in once, snapshots come out as they went in."""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Any, NoReturn

import psycopg

from ghl_snapshots.core.audit_events import AuditEvent, EventType
from ghl_snapshots.core.errors import (
    LedgerError,
    SnapshotCorruptError,
    SnapshotNotFoundError,
    SnapshotRefusedError,
)
from ghl_snapshots.core.json_text import legal_text
from ghl_snapshots.core.model import Capture, Snapshot, SnapshotType
from ghl_snapshots.ledger.append import Appended, append
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.chain_holders import kept_from_chain, waited_in_vain
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.migrate import check_schema
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.records import EntityVersion, snapshot_of
from ghl_snapshots.ledger.validation import problem_with

_ROWS_AT_A_TIME = 32
_TRIES = 3


class Ledger:
    """The snapshots of every tenant, for appending and reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, capture: Capture) -> Appended:
        """Store a capture with its audit event in one transaction, or find that it is stored already.

        Appending again for the same correlation id, tenant and type returns the snapshot that is there.

        Raises:
            SnapshotRefusedError: the capture breaks the contract; nothing was stored but an audit event.
            SchemaError: the database is not the one that this release works with; nothing was stored.
            LedgerError: the database does not answer, or another session keeps the end of the chain; nothing
                was stored, or all of it was.
        """
        problem = problem_with(capture)
        if problem:
            self._refuse(capture, problem)
        try:
            return self._appended(capture)
        except SnapshotRefusedError as error:
            self._refuse(capture, str(error))
        except LedgerError as error:
            if not waited_in_vain(error):
                raise
            raise kept_from_chain(self._database, capture, error) from error.__cause__
        except psycopg.ProgrammingError as error:
            check_schema(self._database)
            raise LedgerError(f"The database does not take what this release stores: {error}.") from error
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            # Of a newer schema a constraint that this release does not know says nothing against the capture.
            check_schema(self._database)
            self._refuse(capture, error.diag.message_primary or str(error))

    def latest(
        self, tenant_id: str, snapshot_type: SnapshotType, *, as_of: datetime | None = None
    ) -> Snapshot | None:
        """The newest snapshot captured by that moment (by now) that holds anything; failed ones do not."""
        parameters = {
            "tenant_id": tenant_id,
            "snapshot_type": snapshot_type.value,
            "as_of": as_of or "infinity",
        }
        with self._database.reader(tenant_id) as connection:
            row = connection.execute(query("latest_snapshot"), parameters).fetchone()
        return snapshot_of(row) if row else None

    def get(self, snapshot_id: str, *, tenant_id: str | None = None) -> Snapshot:
        """One snapshot; with a tenant only if it is that tenant's.

        Raises:
            SnapshotNotFoundError: there is none, or it is another tenant's.
        """
        session = self._database.auditor() if tenant_id is None else self._database.reader(tenant_id)
        with session as connection:
            row = connection.execute(query("snapshot"), {"snapshot_id": snapshot_id}).fetchone()
        if row is None:
            raise SnapshotNotFoundError(f"There is no snapshot {snapshot_id!r}.")
        return snapshot_of(row)

    def of_trigger(self, correlation_id: str) -> list[Snapshot]:
        """Every snapshot that one trigger led to, by tenant and type."""
        with self._database.auditor() as connection:
            rows = connection.execute(query("snapshots_of_trigger"), {"correlation_id": correlation_id})
            return [snapshot_of(row) for row in rows]

    def of_account(self, ghl_account_id: str, *, limit: int = 100) -> list[Snapshot]:
        """The newest snapshots of a GHL account, whichever tenant it belongs or belonged to."""
        parameters = {"ghl_account_id": ghl_account_id, "limit": limit}
        with self._database.auditor() as connection:
            rows = connection.execute(query("snapshots_of_account"), parameters)
            return [snapshot_of(row) for row in rows]

    def of_tenant(
        self,
        tenant_id: str,
        snapshot_type: SnapshotType | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[Snapshot]:
        """A tenant's snapshots by the moment of capture, the newest first; `until` is the first left out."""
        parameters = {
            "tenant_id": tenant_id,
            "snapshot_types": _types(snapshot_type),
            "since": since or "-infinity",
            "until": until or "infinity",
            "limit": limit,
        }
        with self._database.reader(tenant_id) as connection:
            rows = connection.execute(query("snapshots_of_tenant"), parameters)
            return [snapshot_of(row) for row in rows]

    def page(
        self,
        tenant_id: str,
        snapshot_types: Sequence[SnapshotType],
        *,
        since: datetime | None,
        until: datetime | None,
        before: tuple[datetime, str] | None,
        limit: int,
    ) -> list[Snapshot]:
        """A tenant's snapshots without their metadata, the newest first and by their ids where they tie.

        `before` is the last one of the page before: when it was captured, and its id.
        """
        moment, snapshot_id = before or ("infinity", "")
        parameters = {
            "tenant_id": tenant_id,
            "snapshot_types": [str(snapshot_type) for snapshot_type in snapshot_types],
            "since": since or "-infinity",
            "until": until or "infinity",
            "before_moment": moment,
            "before_id": snapshot_id,
            "limit": limit,
        }
        with self._database.reader(tenant_id) as connection:
            return [snapshot_of(row) for row in connection.execute(query("snapshots_page"), parameters)]

    def entity_history(
        self, tenant_id: str, entity_id: str, snapshot_type: SnapshotType | None = None
    ) -> list[EntityVersion]:
        """Every distinct content of the entity with this GHL id, by its first sighting; empty if unknown."""
        parameters = {
            "tenant_id": tenant_id,
            "entity_id": entity_id,
            "snapshot_types": _types(snapshot_type),
        }
        with self._database.reader(tenant_id) as connection:
            rows = connection.execute(query("entity_history"), parameters)
            return [EntityVersion(**row) for row in rows]

    def bodies(self, snapshot: Snapshot) -> Generator[bytes]:
        """The exact bytes of the snapshot's entities in order, read a few at a time."""
        with (
            self._database.reader(snapshot.tenant_id) as connection,
            connection.cursor(name="bodies", binary=True) as cursor,
        ):
            cursor.itersize = _ROWS_AT_A_TIME
            for row in cursor.execute(query("bodies"), _payload_key(snapshot)):
                yield row["body"]

    def verify_snapshot(self, snapshot: Snapshot) -> None:
        """Recompute the snapshot's checksum from the stored bytes, in the server.

        Raises:
            SnapshotCorruptError: the bytes are not those that were captured.
        """
        with self._database.reader(snapshot.tenant_id) as connection:
            row = connection.execute(query("actual_checksum"), _payload_key(snapshot)).fetchone()
        actual, entities = (row["digest"].hex(), row["entities"]) if row else ("none", 0)
        if actual != snapshot.checksum or entities != snapshot.record_count:
            raise SnapshotCorruptError(
                f"Snapshot {snapshot.snapshot_id} of tenant {snapshot.tenant_id} is corrupt: it says "
                f"{snapshot.record_count} entities with checksum {snapshot.checksum}, stored are {entities} "
                f"with {actual}."
            )

    def _appended(self, capture: Capture) -> Appended:
        """Append, and do so again if the server went away or two transactions were in each other's way.

        That is safe also if it went away after it was told to commit: the second try then finds the snapshot.
        """
        for _ in range(_TRIES - 1):
            try:
                with self._database.writer(capture.tenant_id) as connection:
                    return append(connection, capture)
            except LedgerError as error:
                if not isinstance(error.__cause__, psycopg.OperationalError) or waited_in_vain(error):
                    raise
        with self._database.writer(capture.tenant_id) as connection:
            return append(connection, capture)

    def _refuse(self, capture: Capture, problem: str) -> NoReturn:
        with self._database.writer(capture.tenant_id) as connection:
            record(connection, _refusal(capture, problem))
        raise SnapshotRefusedError(
            f"The capture of {capture.snapshot_type} of tenant {capture.tenant_id} was not stored: {problem}."
        )


def _types(snapshot_type: SnapshotType | None) -> list[str]:
    return [str(type_) for type_ in ([snapshot_type] if snapshot_type else SnapshotType)]


def _payload_key(snapshot: Snapshot) -> dict[str, Any]:
    return {"tenant_id": snapshot.tenant_id, "digest": bytes.fromhex(snapshot.checksum)}


def _refusal(capture: Capture, problem: str) -> AuditEvent:
    return AuditEvent(
        event_type=EventType.REFUSED,
        tenant_id=capture.tenant_id,
        ghl_account_id=capture.ghl_account_id,
        correlation_id=legal_text(capture.correlation_id)[:200] or "none",
        success=False,
        source=capture.source,
        details={"snapshotType": str(capture.snapshot_type), "problem": problem},
    )
