"""Recomputing what the ledger claims, from its bytes up, and naming every row that does not hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, tuple_row

from ghl_snapshots.core.errors import UnknownTenantError
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.findings import Checked, Finding, Progress, finding_of
from ghl_snapshots.ledger.parallel_map import parallel_map
from ghl_snapshots.ledger.payloads import Checksums
from ghl_snapshots.ledger.queries import query
from ghl_snapshots.ledger.schema_integrity import drift
from ghl_snapshots.ledger.stored_entities import StoredEntities

# A row is a list of all entities of a payload.
_PAYLOADS_AT_A_TIME = 50


@dataclass(slots=True, kw_only=True)
class _Chain:
    """What does not hold in one chain."""

    tenant_id: str
    snapshot_type: str
    snapshots: int
    payloads: int
    findings: list[Finding]


class Verification:
    """One walk through the ledger; iterating over it yields what does not hold, as it comes up.

    Chain links, checksums and provenances are recomputed always, the entities' digests from their bytes only
    if `deep`, and what they are filed under is compared then. `tenant_id`, `snapshot_type` and `since` (by
    the moment of storing) narrow it down. The ledger may be appended to meanwhile.
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
        yield from self._drift()
        if self._deep:
            yield from StoredEntities(self._database, self._scope, self.checked, self._report)
        with self._database.auditor() as connection:
            chains = connection.execute(query("chains"), self._scope).fetchall()
        total = sum(chain["snapshots"] for chain in chains)
        for chain in parallel_map(self._chain, chains):
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
                if not connection.execute(query("existing_tenant"), self._scope).rowcount:
                    raise UnknownTenantError(tenant_id)

    def _drift(self) -> Iterator[Finding]:
        """Whatever keeps the ledger as it is and is not as this release made it."""
        with self._database.auditor() as connection:
            for problem in drift(connection):
                yield Finding(problem=problem)

    def _chain(self, row: Mapping[str, Any]) -> _Chain:
        """The links of one chain, its payloads, its provenances and its counters."""
        chain = {**self._scope, **row}
        with self._database.auditor() as connection:
            # All findings of a chain are of one moment, whatever is appended meanwhile.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            findings = [
                finding_of(chain, broken, _link_violation(broken))
                for broken in connection.execute(query("broken_links"), chain)
            ]
            payloads = 0
            for payload, problem in Checksums(_digests_of(connection, chain)).problems(
                _payloads(connection, chain)
            ):
                payloads += 1
                if problem:
                    findings.append(finding_of(chain, payload, problem))
            findings += [
                finding_of(chain, altered, f"its provenance {altered['digest'].hex()} was altered")
                for altered in connection.execute(query("altered_provenances"), chain)
            ]
            # What snapshots that do not hold add up to says nothing.
            if not findings and chain["since"] is None:
                findings = [
                    Finding(
                        tenant_id=chain["tenant_id"],
                        snapshot_type=chain["snapshot_type"],
                        problem=_describe_counter(chain, counter),
                    )
                    for counter in connection.execute(query("wrong_counters"), chain)
                ]
        if not chain["registered"]:
            problem = (
                f"the registry does not hold the tenant of {chain['snapshots']} {chain['snapshot_type']}"
            )
            findings.append(
                Finding(
                    tenant_id=chain["tenant_id"],
                    snapshot_type=chain["snapshot_type"],
                    problem=f"{problem} snapshots: its row was removed",
                )
            )
        return _Chain(
            tenant_id=chain["tenant_id"],
            snapshot_type=chain["snapshot_type"],
            snapshots=chain["snapshots"],
            payloads=payloads,
            findings=findings,
        )


def _payloads(connection: Connection[DictRow], chain: Mapping[str, Any]) -> Iterator[DictRow]:
    """The payloads that are there; one that is not is a finding of the row that points to it."""
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


def _describe_counter(chain: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    name = f"the counter {', '.join([row['metric'], *row['labels']])} of {chain['snapshot_type']}"
    if row["counted"] is None:
        return f"{name} is {row['existing']}, and no snapshot counts for it"
    if row["existing"] is None:
        return f"{name} is missing: its snapshots add up to {row['counted']}"
    return f"{name} is {row['existing']}, its snapshots add up to {row['counted']}"


def _link_violation(row: Mapping[str, Any]) -> str:
    expected = 1 if row["previous_seq"] is None else row["previous_seq"] + 1
    if row["seq"] > expected:
        return f"{row['seq'] - expected} before it removed: number {expected} is missing"
    if row["seq"] < expected:
        return f"its number should be {expected}"
    if not row["link_holds"]:
        return "its chain value does not follow: the row was altered, or the one before it was exchanged"
    return str(row["contradiction"])
