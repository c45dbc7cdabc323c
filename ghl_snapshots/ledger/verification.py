"""Recomputing what the ledger claims, from its bytes up, and naming every row that does not hold."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

from ghl_snapshots.errors import UnknownTenantError
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.guards import differences
from ghl_snapshots.ledger.payloads import Checksums
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.model import SnapshotType

# How many connections work at once, and how many pieces of work may wait for them to come to an end.
_CONNECTIONS = 2
_AHEAD = 8
_ENTITIES_AT_A_TIME = 20_000
# A row is a list of all entities of a payload.
_PAYLOADS_AT_A_TIME = 50

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    """Where a verification is: `done` of `total` snapshots, and the tenant whose chain was looked at.

    Without a tenant, the bytes of so many entities were hashed.
    """

    done: int
    total: int
    tenant_id: str | None


@dataclass(slots=True, kw_only=True)
class _Chain:
    """What was found in one chain."""

    tenant_id: str
    snapshot_type: str
    snapshots: int
    payloads: int
    findings: list[Finding]


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
        """Check the ledger's protection, the stored bytes if `deep`, then chain by chain links and content.

        Raises:
            UnknownTenantError: neither the registry nor a snapshot has the tenant.
            LedgerError: the server does not answer.
        """
        self._refuse_unknown_tenant()
        yield from self._guards()
        if self._deep:
            yield from self._bytes()
        with self._database.auditor() as connection:
            chains = connection.execute(query("chains"), self._scope).fetchall()
        total = sum(chain["snapshots"] for chain in chains)
        for chain in _at_once(self._chain, chains):
            yield from chain.findings
            self.checked.snapshots += chain.snapshots
            self.checked.payloads += chain.payloads
            self._report(self.checked.snapshots, total, chain.tenant_id)

    def _report(self, done: int, total: int, tenant_id: str | None) -> None:
        if self._on_progress:
            self._on_progress(Progress(done=done, total=total, tenant_id=tenant_id))

    def _refuse_unknown_tenant(self) -> None:
        tenant_id = self._scope["tenant_id"]
        if tenant_id is not None:
            with self._database.auditor() as connection:
                if not connection.execute(query("known_tenant"), self._scope).rowcount:
                    raise UnknownTenantError(tenant_id)

    def _guards(self) -> Iterator[Finding]:
        """Whatever keeps the ledger as it is and is not as this release made it."""
        with self._database.auditor() as connection:
            for problem in differences(connection):
                yield Finding(problem=problem)

    def _bytes(self) -> Iterator[Finding]:
        """Entities whose bytes do not match their digest, each for every chain in scope that holds it."""
        with self._database.auditor() as connection:
            row: Any = connection.execute(query("extent_of_entities"), self._scope).fetchone()
        spans = range(row["least"] or 0, (row["greatest"] or -1) + 1, _ENTITIES_AT_A_TIME)
        for hashed in _at_once(self._rehashed, spans):
            self.checked.entities += hashed["entities"]
            self.checked.bytes += hashed["bytes"]
            self._report(self.checked.entities, row["entities"], None)
            yield from self._uses(hashed["altered"], _bytes_differ)
            yield from self._uses(self._ids("of_another_id", hashed["doubtful"]), _other_id)
        yield from self._uses(self._ids("of_another_origin"), _other_origin)

    def _rehashed(self, least: int) -> DictRow:
        span = {**self._scope, "least": least, "greatest": least + _ENTITIES_AT_A_TIME - 1}
        with self._database.auditor() as connection:
            row: Any = connection.execute(query("rehashed_entities"), span).fetchone()
            return dict(row)

    def _ids(self, name: str, ids: Sequence[int] = ()) -> Sequence[int]:
        with self._database.auditor() as connection:
            row: Any = connection.execute(query(name), {**self._scope, "ids": list(ids)}).fetchone()
            return list(row["ids"])

    def _uses(self, ids: Sequence[int], problem: Callable[[Mapping[str, Any]], str]) -> Iterator[Finding]:
        """A finding for every chain in scope that holds one of these entities."""
        if not ids:
            return
        with self._database.auditor() as connection:
            rows = connection.execute(query("uses_of_entities"), {**self._scope, "ids": ids}).fetchall()
        for row in rows:
            yield _finding(row, row, problem(row))

    def _chain(self, row: Mapping[str, Any]) -> _Chain:
        """The links of one chain, its payloads and what these tell of themselves."""
        chain = {**self._scope, **row}
        with self._database.auditor() as connection:
            # All that is told of a chain is told of one moment, whatever is appended meanwhile.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            findings = [
                _finding(chain, broken, _problem_with_link(broken))
                for broken in connection.execute(query("broken_links"), chain)
            ]
            payloads = 0
            for payload, problem in Checksums(_digests_of(connection, chain)).problems(
                _payloads(connection, chain)
            ):
                payloads += 1
                if problem:
                    findings.append(_finding(chain, payload, problem))
            findings += [
                _finding(chain, altered, f"its provenance {altered['digest'].hex()} was altered")
                for altered in connection.execute(query("altered_provenances"), chain)
            ]
        return _Chain(
            tenant_id=chain["tenant_id"],
            snapshot_type=chain["snapshot_type"],
            snapshots=chain["snapshots"],
            payloads=payloads,
            findings=findings,
        )


def _at_once(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What the work on each of the items comes to, in their order, while the next ones are worked on."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _payloads(connection: Connection[DictRow], chain: Mapping[str, Any]) -> Iterator[DictRow]:
    """The payloads that are there; of one that is not, the row that points to it tells."""
    with connection.cursor(name="payloads") as cursor:
        cursor.itersize = _PAYLOADS_AT_A_TIME
        for row in cursor.execute(query("payloads"), chain, binary=True):
            if row["entity_ids"] is not None:
                yield row


def _digests_of(
    connection: Connection[DictRow], chain: Mapping[str, Any]
) -> Callable[[Sequence[int]], Mapping[int, bytes]]:
    def digests_of(ids: Sequence[int]) -> Mapping[int, bytes]:
        parameters = {"tenant_id": chain["tenant_id"], "ids": ids}
        with connection.cursor(row_factory=tuple_row, binary=True) as cursor:
            return dict(cursor.execute(query("entity_digests"), parameters).fetchall())

    return digests_of


def _bytes_differ(entity: Mapping[str, Any]) -> str:
    return f"the bytes of entity {entity['id']} do not match its digest {entity['digest'].hex()}"


def _other_id(entity: Mapping[str, Any]) -> str:
    return f"entity {entity['id']} is filed under {entity['entity_id']!r}, which is no id that its body names"


def _other_origin(entity: Mapping[str, Any]) -> str:
    place = f"{entity['endpoint']!r} and location {entity['location_id']!r}"
    return f"entity {entity['id']} is filed under {place}, which no request of the tenant's snapshots names"


def _problem_with_link(row: Mapping[str, Any]) -> str:
    expected = 1 if row["previous_seq"] is None else row["previous_seq"] + 1
    if row["seq"] > expected:
        return f"{row['seq'] - expected} before it removed: number {expected} is missing"
    if row["seq"] < expected:
        return f"its number should be {expected}"
    if not row["link_holds"]:
        return "its chain value does not follow: the row was altered, or the one before it was exchanged"
    return str(row["contradiction"])


def _finding(chain: Mapping[str, Any], row: Mapping[str, Any], problem: str) -> Finding:
    return Finding(
        tenant_id=chain["tenant_id"],
        snapshot_type=chain["snapshot_type"],
        snapshot_id=row["snapshot_id"],
        seq=row["seq"],
        problem=problem,
    )
