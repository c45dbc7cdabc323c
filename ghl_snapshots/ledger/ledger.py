"""The append-only ledger: captures go in once, snapshots come out as they went in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from uuid_utils import uuid7

from ghl_snapshots.errors import (
    LedgerError,
    SnapshotCorruptError,
    SnapshotNotFoundError,
    SnapshotRefusedError,
)
from ghl_snapshots.ledger.audit import record
from ghl_snapshots.ledger.contract import problem_with
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.entities import store_payload
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.model import SCHEMA_VERSION, AuditEvent, Capture, Snapshot, SnapshotType, Status

_ROWS_AT_A_TIME = 200
_MAJOR = SCHEMA_VERSION.split(".", maxsplit=1)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """What came of appending a capture."""

    snapshot: Snapshot
    already_stored: bool
    """The same trigger had led to this snapshot before; nothing was added now."""
    new_entities: int = 0
    new_bytes: int = 0


class Ledger:
    """The snapshots of every tenant, for appending and reading."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, capture: Capture) -> Appended:
        """Store a capture with its audit event in one transaction, or find that it is stored already.

        Appending again for the same correlation id, tenant and type returns the snapshot that is there.

        Raises:
            SnapshotRefusedError: the capture breaks the contract; nothing was stored but an audit event.
            LedgerError: the database does not answer; nothing was stored, or all of it was.
        """
        problem = problem_with(capture)
        if problem:
            self._refuse(capture, problem)
        try:
            with self._database.writer(capture.tenant_id) as connection:
                return _append(connection, capture)
        except psycopg.IntegrityError as error:
            self._refuse(capture, error.diag.message_primary or str(error))

    def latest(
        self, tenant_id: str, snapshot_type: SnapshotType, *, as_of: datetime | None = None
    ) -> Snapshot | None:
        """The newest snapshot captured by that moment (by now) that holds anything; failed ones do not."""
        parameters = {"tenant_id": tenant_id, "snapshot_type": snapshot_type.value, "as_of": as_of}
        with self._database.reader(tenant_id) as connection:
            row = connection.execute(query("latest_snapshot"), parameters).fetchone()
        return _snapshot(row) if row else None

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
        return _snapshot(row)

    def of_trigger(self, correlation_id: str) -> list[Snapshot]:
        """Every snapshot that one trigger led to, by tenant and type."""
        with self._database.auditor() as connection:
            rows = connection.execute(
                query("snapshots_of_trigger"), {"correlation_id": correlation_id}
            ).fetchall()
        return [_snapshot(row) for row in rows]

    def bodies(self, snapshot: Snapshot) -> Iterator[bytes]:
        """The exact bytes of the snapshot's entities in order, read a few at a time."""
        with (
            self._database.reader(snapshot.tenant_id) as connection,
            connection.cursor(name="bodies") as cursor,
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

    def _refuse(self, capture: Capture, problem: str) -> NoReturn:
        message = (
            f"The capture of {capture.snapshot_type} of tenant {capture.tenant_id} was not stored: {problem}."
        )
        with self._database.writer(capture.tenant_id) as connection:
            record(connection, _refusal(capture, problem))
        raise SnapshotRefusedError(message)


def _append(connection: Connection[DictRow], capture: Capture) -> Appended:
    found = _stored_before(connection, capture)
    if found:
        return found
    _check_account(connection, capture)
    growth = store_payload(connection, capture)
    row = connection.execute(query("add_snapshot"), _row(capture)).fetchone()
    if row is None:  # the same trigger's other process was quicker, and its transaction is over by now
        return _stored_before(connection, capture) or _vanished(capture)
    snapshot = _snapshot(row)
    record(connection, _event(capture, snapshot))
    return Appended(
        snapshot=snapshot,
        already_stored=False,
        new_entities=growth.new_entities,
        new_bytes=growth.new_bytes,
    )


def _stored_before(connection: Connection[DictRow], capture: Capture) -> Appended | None:
    row = connection.execute(
        query("snapshot_of_trigger"),
        {
            "correlation_id": capture.correlation_id,
            "tenant_id": capture.tenant_id,
            "snapshot_type": capture.snapshot_type.value,
        },
    ).fetchone()
    return Appended(snapshot=_snapshot(row), already_stored=True) if row else None


def _vanished(capture: Capture) -> NoReturn:
    raise LedgerError(
        f"The snapshot of trigger {capture.correlation_id} was refused as stored already but is not there."
    )


def _check_account(connection: Connection[DictRow], capture: Capture) -> None:
    row = connection.execute(query("tenant"), {"tenant_id": capture.tenant_id}).fetchone()
    if row is None:
        raise psycopg.IntegrityError("the registry holds no such tenant")
    if row["ghl_account_id"] != capture.ghl_account_id:
        raise psycopg.IntegrityError(
            f"account {capture.ghl_account_id} is not the tenant's, which is {row['ghl_account_id']}"
        )


def _row(capture: Capture) -> dict[str, Any]:
    return {
        "snapshot_id": str(uuid7()),
        "tenant_id": capture.tenant_id,
        "ghl_account_id": capture.ghl_account_id,
        "snapshot_type": capture.snapshot_type.value,
        "captured_at": capture.captured_at,
        "version": SCHEMA_VERSION,
        "status": capture.status.value,
        "record_count": capture.record_count,
        "checksum": bytes.fromhex(capture.checksum),
        "metadata": Jsonb(capture.metadata()),
        "duration_ms": capture.duration_ms,
        "api_calls": capture.api_call_count,
        "source": capture.source.value,
        "correlation_id": capture.correlation_id,
    }


def _snapshot(row: Mapping[str, Any]) -> Snapshot:
    major = row["version"].split(".", maxsplit=1)[0]
    if major != _MAJOR:
        raise LedgerError(
            f"Snapshot {row['snapshot_id']} is a record of version {row['version']}; this release reads "
            f"{_MAJOR}.x. Use a newer release."
        )
    return Snapshot.from_row(
        {**row, "checksum": row["checksum"].hex(), "chain": row["chain"].hex()},
    )


def _payload_key(snapshot: Snapshot) -> dict[str, Any]:
    return {"tenant_id": snapshot.tenant_id, "digest": bytes.fromhex(snapshot.checksum)}


def _event(capture: Capture, snapshot: Snapshot) -> AuditEvent:
    return AuditEvent(
        event_type="ghl_snapshot_capture",
        tenant_id=capture.tenant_id,
        ghl_account_id=capture.ghl_account_id,
        correlation_id=capture.correlation_id,
        success=capture.status is Status.SUCCESS,
        source=capture.source,
        details={
            "snapshotId": snapshot.snapshot_id,
            "snapshotType": capture.snapshot_type.value,
            "status": capture.status.value,
            "recordCount": capture.record_count,
            "checksum": capture.checksum,
            "apiCalls": capture.api_call_count,
            "durationMs": capture.duration_ms,
        },
    )


def _refusal(capture: Capture, problem: str) -> AuditEvent:
    return AuditEvent(
        event_type="ghl_snapshot_refused",
        tenant_id=capture.tenant_id,
        ghl_account_id=capture.ghl_account_id,
        correlation_id=capture.correlation_id or "none",
        success=False,
        source=capture.source,
        details={"snapshotType": capture.snapshot_type.value, "problem": problem},
    )
