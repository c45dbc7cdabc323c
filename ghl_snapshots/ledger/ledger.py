"""The append-only ledger: captures go in once, snapshots come out as they went in."""

from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from psycopg.rows import tuple_row

from ghl_snapshots.core.errors import SnapshotCorruptError, SnapshotNotFoundError
from ghl_snapshots.core.model import Capture, Entity, Snapshot, SnapshotType, Status
from ghl_snapshots.ledger.append import Appended, append
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query

_BATCH_BYTES = 1_000_000
_ROWS_AT_A_TIME = 8
_Sized: TypeAlias = tuple[int, int, bool]
"""An entity's row id, its size in bytes, and whether the payload's JSON shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityVersion:
    """One distinct content of an entity, and the span of captures in which a call brought it.

    A content that came back after another has one span from its first to its last sighting.
    """

    digest: str
    """Lower-case hex SHA-256 of `body`."""
    body: bytes = field(repr=False)
    endpoint: str
    """The call that brought it, for this location and this parent entity."""
    location_id: str | None
    parent_id: str | None
    snapshots: int
    """Number of snapshots that hold it."""
    first_snapshot_id: str
    first_captured_at: datetime
    last_snapshot_id: str
    last_captured_at: datetime


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
            LedgerError: the database does not answer, or another session locks the end of the chain; nothing
                was stored, or all of it was.
        """
        return append(self._database, capture)

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
        return Snapshot.from_row(row) if row else None

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
        return Snapshot.from_row(row)

    def of_trigger(self, correlation_id: str) -> list[Snapshot]:
        """Every snapshot that one trigger led to, by tenant and type."""
        with self._database.auditor() as connection:
            rows = connection.execute(query("snapshots_of_trigger"), {"correlation_id": correlation_id})
            return [Snapshot.from_row(row) for row in rows]

    def stored_for_trigger(
        self, correlation_id: str, snapshot_type: SnapshotType, tenant_ids: Collection[str]
    ) -> Mapping[str, Snapshot]:
        """Snapshots by tenant, of those of the tenants that the trigger has led to a snapshot of already."""
        parameters = {
            "correlation_id": correlation_id,
            "snapshot_type": snapshot_type.value,
            "tenant_ids": list(tenant_ids),
        }
        with self._database.auditor() as connection:
            rows = connection.execute(query("stored_for_trigger"), parameters)
            return {row["tenant_id"]: Snapshot.from_row(row) for row in rows}

    def of_account(self, ghl_account_id: str, *, limit: int = 100) -> list[Snapshot]:
        """The newest snapshots of a GHL account, whichever tenant it belongs or belonged to."""
        parameters = {"ghl_account_id": ghl_account_id, "limit": limit}
        with self._database.auditor() as connection:
            rows = connection.execute(query("snapshots_of_account"), parameters)
            return [Snapshot.from_row(row) for row in rows]

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
            return [Snapshot.from_row(row) for row in rows]

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
            return [Snapshot.from_row(row) for row in connection.execute(query("snapshots_page"), parameters)]

    def entity_history(self, tenant_id: str, endpoint: str | None, entity_id: str) -> list[EntityVersion]:
        """Every distinct content of an entity, by call and first sighting; empty if unknown.

        An agent in a list and the same agent's detail are two entities with one id, so without an endpoint
        the contents may be those of several entities; and GHL may give one id in several parents.
        """
        parameters = {
            "tenant_id": tenant_id,
            "endpoint": endpoint,
            "entity_id": entity_id,
            "snapshot_types": _types(None),
        }
        with self._database.reader(tenant_id) as connection:
            rows = connection.execute(query("entity_history"), parameters)
            return [EntityVersion(**row) for row in rows]

    def newest(
        self,
        *,
        tenant_id: str | None = None,
        snapshot_type: SnapshotType | None = None,
        status: Status | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[Snapshot]:
        """The newest snapshots of one or all tenants, without their metadata; `until` is left out."""
        parameters = {
            "tenant_id": tenant_id,
            "snapshot_types": _types(snapshot_type),
            "statuses": [str(each) for each in ([status] if status else Status)],
            "since": since or "-infinity",
            "until": until or "infinity",
            "limit": limit,
        }
        with self._database.auditor() as connection:
            rows = connection.execute(query("newest_snapshots"), parameters)
            return [Snapshot.from_row(row) for row in rows]

    def entities(self, snapshot: Snapshot) -> Generator[Entity]:
        """The snapshot's entities in order, with where each was first seen, read a few at a time."""
        with (
            self._database.reader(snapshot.tenant_id) as connection,
            connection.cursor(name="entities", binary=True) as cursor,
        ):
            cursor.itersize = _ROWS_AT_A_TIME
            for row in cursor.execute(query("entities"), {"snapshot_id": snapshot.snapshot_id}):
                yield Entity(**row)

    def bodies(self, snapshot: Snapshot, *, endpoint: str | None = None) -> Generator[bytes]:
        """The exact bytes of the snapshot's entities, of one endpoint or all, in order.

        About a megabyte of them is in memory at a time.
        """
        yield from self._bodies(snapshot, endpoint=endpoint, whole=True)

    def shown_bodies(self, snapshot: Snapshot) -> Generator[bytes]:
        """The entities as JSON can show them: of a payload of more than 64 MB, the large ones are left out.

        `{"$tooLarge": ...}` in the place of such a one says how large it is and where its bytes are.
        """
        yield from self._bodies(snapshot, endpoint=None, whole=False)

    def _bodies(self, snapshot: Snapshot, *, endpoint: str | None, whole: bool) -> Generator[bytes]:
        sizes = "entity_sizes" if endpoint is None else "entity_sizes_of_endpoint"
        parameters = {**_payload_key(snapshot), "snapshot_id": snapshot.snapshot_id, "endpoint": endpoint}
        with (
            self._database.reader(snapshot.tenant_id) as connection,
            connection.cursor(binary=True, row_factory=tuple_row) as cursor,
        ):
            entities = cursor.execute(query(sizes), parameters).fetchall()
            for start, batch in _batches(entities):
                wanted = {
                    "ids": [id_ for id_, _, _ in batch],
                    "positions": list(range(start, start + len(batch))),
                    "shown": [whole or shown for _, _, shown in batch],
                }
                for (body,) in cursor.execute(query("bodies"), wanted):
                    yield body

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


def _batches(entities: Sequence[_Sized]) -> Iterator[tuple[int, Sequence[_Sized]]]:
    """The entities in groups of about so many bytes, each with the position of its first one."""
    start = size = 0
    for end, (_, bytes_, _) in enumerate(entities):
        if size and size + bytes_ > _BATCH_BYTES:
            yield start, entities[start:end]
            start, size = end, 0
        size += bytes_
    if entities:
        yield start, entities[start:]


def _types(snapshot_type: SnapshotType | None) -> list[str]:
    return [str(type_) for type_ in ([snapshot_type] if snapshot_type else SnapshotType)]


def _payload_key(snapshot: Snapshot) -> dict[str, Any]:
    return {"tenant_id": snapshot.tenant_id, "digest": bytes.fromhex(snapshot.checksum)}
