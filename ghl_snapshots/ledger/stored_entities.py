"""Whether stored entities are what their digests say, and filed under what their bodies and payloads name.

A digest covers an entity's bytes only. What it is filed under (its id, endpoint and location) is compared
with its body, and with where the tenant's provenances say that anything came from.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from psycopg.rows import DictRow

from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.findings import Checked, Finding, finding_of
from ghl_snapshots.ledger.parallel_map import parallel_map
from ghl_snapshots.ledger.queries import query

_ENTITIES_AT_A_TIME = 20_000


class StoredEntities:
    """The entities of a verification's scope; iterating yields those that do not hold.

    Each is named for every chain in scope that holds it. `report` gets how many entities of how many were
    hashed, `checked` counts them and their bytes.
    """

    def __init__(
        self,
        database: Database,
        scope: Mapping[str, Any],
        checked: Checked,
        report: Callable[[int, int, None], None],
    ) -> None:
        self._database = database
        self._scope = scope
        self._checked = checked
        self._report = report

    def __iter__(self) -> Iterator[Finding]:
        """Look at every entity in scope.

        Raises:
            LedgerError: the server does not answer.
        """
        wanted = {**self._scope, "at_a_time": _ENTITIES_AT_A_TIME}
        with self._database.auditor() as connection:
            spans = connection.execute(query("spans_of_entities"), wanted).fetchall()
        total = sum(span["entities"] for span in spans)
        for hashed in parallel_map(self._rehashed, spans):
            self._checked.entities += hashed["entities"]
            self._checked.bytes += hashed["bytes"]
            self._report(self._checked.entities, total, None)
            yield from self._uses(hashed["altered"], _altered_bytes)
            if hashed["doubtful"]:
                yield from self._uses(self._ids("of_another_id", hashed["doubtful"]), _other_id)
        yield from self._uses(self._ids("of_another_origin"), _other_origin)

    def _rehashed(self, span: Mapping[str, Any]) -> DictRow:
        with self._database.auditor() as connection:
            row: Any = connection.execute(query("rehashed_entities"), {**self._scope, **span}).fetchone()
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
            yield finding_of(row, row, problem(row))


def _altered_bytes(entity: Mapping[str, Any]) -> str:
    return f"the bytes of entity {entity['id']} do not match its digest {entity['digest'].hex()}"


def _other_id(entity: Mapping[str, Any]) -> str:
    return f"entity {entity['id']} is filed under {entity['entity_id']!r}, which is no id that its body names"


def _other_origin(entity: Mapping[str, Any]) -> str:
    place = f"{entity['endpoint']!r} and location {entity['location_id']!r}"
    return f"entity {entity['id']} is filed under {place}, which no request of the tenant's snapshots names"
