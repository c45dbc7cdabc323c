"""Recomputing what the ledger claims, from its bytes up, and naming every row that does not hold."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.queries import query, sql_text
from ghl_snapshots.model import SnapshotType

_ROWS_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row of the ledger that does not hold, and what is wrong with it.

    `snapshot_id` and `seq` are those of the broken snapshot, or of the first one that has the broken content;
    all but `problem` is None where the ledger's protection as a whole is meant.
    """

    problem: str
    tenant_id: str | None = None
    snapshot_type: str | None = None
    snapshot_id: str | None = None
    seq: int | None = None

    def __str__(self) -> str:
        """One line for a person."""
        place = f"{self.tenant_id}: " if self.tenant_id else ""
        if self.snapshot_id:
            place += f"{self.snapshot_type} snapshot {self.seq} ({self.snapshot_id}): "
        return place + self.problem


@dataclass(slots=True, kw_only=True)
class Checked:
    """How much a verification has been through."""

    snapshots: int = 0
    payloads: int = 0
    entities: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a verification is: `done` of `total` snapshots' chains, and the tenant that is looked at."""

    done: int
    total: int
    tenant_id: str


class Verification:
    """One walk through the ledger; iterating over it yields what does not hold, as it is found.

    Chain links, checksums and provenances are recomputed always, the entities' digests from their bytes only
    if `deep`. `tenant_id`, `snapshot_type` and `since` (by the moment of storing) narrow it down. The ledger
    may be appended to meanwhile.
    """

    def __init__(
        self,
        database: Database,
        *,
        tenant_id: str | None = None,
        snapshot_type: SnapshotType | None = None,
        since: datetime | None = None,
        deep: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._database = database
        types = [snapshot_type] if snapshot_type else list(SnapshotType)
        self._scope: Mapping[str, Any] = {
            "tenant_id": tenant_id,
            "snapshot_types": [str(type_) for type_ in types],
            "since": since,
        }
        self._deep = deep
        self._on_progress = on_progress
        self.checked = Checked()

    def __iter__(self) -> Iterator[Finding]:
        """Check the ledger's protection, then tenant by tenant chains, payloads and entities.

        Raises:
            LedgerError: the server does not answer.
        """
        yield from self._guards()
        with self._database.auditor() as connection:
            chains = connection.execute(query("chains"), self._scope).fetchall()
        total, done = sum(chain["snapshots"] for chain in chains), 0
        for tenant_id in sorted({chain["tenant_id"] for chain in chains}):
            with self._database.auditor() as connection:
                for chain in chains:
                    if chain["tenant_id"] == tenant_id:
                        self._report(done, total, tenant_id)
                        yield from self._links(connection, tenant_id, chain["snapshot_type"])
                        done += chain["snapshots"]
                yield from self._content(connection, tenant_id)
            self._report(done, total, tenant_id)

    def _report(self, done: int, total: int, tenant_id: str) -> None:
        if self._on_progress:
            self._on_progress(Progress(done=done, total=total, tenant_id=tenant_id))

    def _guards(self) -> Iterator[Finding]:
        """The triggers, rights and functions that keep the ledger as it is."""
        schema = sql_text("schema.sql")
        with self._database.auditor() as connection:
            for row in connection.execute(query("missing_guards")).fetchall():
                yield Finding(problem=row["problem"])
            for row in connection.execute(query("functions")).fetchall():
                if row["source"] not in schema:
                    yield Finding(problem=f"function {row['name']} is not the one of this release")

    def _links(
        self, connection: Connection[DictRow], tenant_id: str, snapshot_type: str
    ) -> Iterator[Finding]:
        chain = {**self._scope, "tenant_id": tenant_id, "snapshot_type": snapshot_type}
        for row in _streamed(connection, "links", chain):
            self.checked.snapshots += 1
            problem = _problem_with_link(row)
            if problem:
                yield _finding(tenant_id, {**row, "snapshot_type": snapshot_type}, problem)

    def _content(self, connection: Connection[DictRow], tenant_id: str) -> Iterator[Finding]:
        scope = {**self._scope, "tenant_id": tenant_id}
        digests, altered = self._digests(connection, tenant_id)
        used: set[int] = set()
        for row in _streamed(connection, "payloads", scope):
            self.checked.payloads += 1
            used.update(row["entity_ids"])
            problem = _problem_with_payload(row, digests)
            if problem:
                yield _finding(tenant_id, row, problem)
        for row in connection.execute(query("altered_provenances"), scope).fetchall():
            yield _finding(tenant_id, row, f"its provenance {row['digest'].hex()} was altered")
        for id_ in sorted(altered & used):
            problem = f"the bytes of entity {id_} do not match its digest {digests[id_].hex()}"
            yield Finding(tenant_id=tenant_id, problem=problem)

    def _digests(
        self, connection: Connection[DictRow], tenant_id: str
    ) -> tuple[Mapping[int, bytes], AbstractSet[int]]:
        """Stored digests by entity, and if `deep` the entities whose bytes do not match theirs."""
        name, parameters = "rehashed_entities" if self._deep else "entity_digests", {"tenant_id": tenant_id}
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            rows = cursor.execute(query(name), parameters).fetchall()
        if not self._deep:
            return dict(rows), frozenset()
        self.checked.entities += len(rows)
        self.checked.bytes += sum(size for _, _, size, _ in rows)
        return (
            {id_: digest for id_, digest, _, _ in rows},
            {id_ for id_, _, _, holds in rows if not holds},
        )


def _streamed(connection: Connection[DictRow], name: str, parameters: Mapping[str, Any]) -> Iterator[DictRow]:
    with connection.cursor(name=name) as cursor:
        cursor.itersize = _ROWS_AT_A_TIME
        yield from cursor.execute(query(name), parameters, binary=True)


def _problem_with_link(row: Mapping[str, Any]) -> str | None:
    expected = 1 if row["previous_seq"] is None else row["previous_seq"] + 1
    if row["seq"] > expected:
        return f"{row['seq'] - expected} before it removed: number {expected} is missing"
    if row["seq"] < expected:
        return f"its number should be {expected}"
    if not row["link_holds"]:
        return "its chain value does not follow: the row was altered, or the one before it was exchanged"
    return str(row["contradiction"]) if row["contradiction"] else None


def _problem_with_payload(row: Mapping[str, Any], digests: Mapping[int, bytes]) -> str | None:
    missing = next((id_ for id_ in row["entity_ids"] if id_ not in digests), None)
    if missing is not None:
        return f"entity {missing} of its payload is not there"
    checksum = hashlib.sha256(b"".join([digests[id_] for id_ in row["entity_ids"]])).digest()
    if checksum != row["digest"]:
        return f"its entities give the checksum {checksum.hex()}, not {row['digest'].hex()}"
    return None


def _finding(tenant_id: str, row: Mapping[str, Any], problem: str) -> Finding:
    return Finding(
        tenant_id=tenant_id,
        snapshot_type=row["snapshot_type"],
        snapshot_id=row["snapshot_id"],
        seq=row["seq"],
        problem=problem,
    )
