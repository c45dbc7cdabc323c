"""Storing what a snapshot row points to: its entities, their order (the manifest) and its provenance."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow

from ghl_snapshots.core.json_text import legal_json, legal_text
from ghl_snapshots.core.model import Capture, Entity
from ghl_snapshots.ledger.queries import query

_BATCH_BYTES = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What storing a payload added to the ledger."""

    new_entities: int
    new_bytes: int


def store_payload(connection: Connection[DictRow], capture: Capture) -> Growth:
    """Store what of the capture's payload the tenant does not have yet.

    Two writers may store the same content at once: neither fails, and it is stored once.
    """
    digest = bytes.fromhex(capture.checksum)
    key = {"tenant_id": capture.tenant_id, "digest": digest}
    if connection.execute(query("manifest_exists"), key).rowcount:
        return Growth(new_entities=0, new_bytes=0)
    ids, growth = _entity_ids(connection, capture)
    ordered = [ids[entity.digest] for entity in capture.entities]
    connection.execute(query("add_manifest"), {**key, "entity_ids": ordered})
    return growth


def store_provenance(connection: Connection[DictRow], capture: Capture) -> bytes:
    """Store the capture's provenance unless the tenant has it; its digest: SHA-256 of its text, 32 bytes."""
    body = legal_json(capture.provenance())
    digest = hashlib.sha256(body.encode()).digest()
    provenance = {"tenant_id": capture.tenant_id, "digest": digest, "body": body}
    connection.execute(query("add_provenance"), provenance)
    return digest


def _entity_ids(connection: Connection[DictRow], capture: Capture) -> tuple[dict[bytes, int], Growth]:
    """Row ids of the capture's entities by digest, after the new ones were added."""
    distinct = {entity.digest: entity for entity in capture.entities}
    ids = _existing(connection, capture.tenant_id, list(distinct))
    # In the order of their digests, so that two writers of the same content wait for each other in turn.
    missing = sorted((entity for digest, entity in distinct.items() if digest not in ids), key=_digest)
    new_entities = new_bytes = 0
    for batch in _batches(missing):
        for row in _added(connection, capture.tenant_id, batch):
            ids[row["digest"]] = row["id"]
            new_entities += 1
            new_bytes += row["size"]
    elsewhere = [entity.digest for entity in missing if entity.digest not in ids]
    if elsewhere:
        ids.update(_existing(connection, capture.tenant_id, elsewhere))
    return ids, Growth(new_entities=new_entities, new_bytes=new_bytes)


def _existing(connection: Connection[DictRow], tenant_id: str, digests: Sequence[bytes]) -> dict[bytes, int]:
    rows = connection.execute(query("existing_entities"), {"tenant_id": tenant_id, "digests": list(digests)})
    return {row["digest"]: row["id"] for row in rows}


def _added(
    connection: Connection[DictRow], tenant_id: str, batch: Sequence[Entity]
) -> Iterator[Mapping[str, Any]]:
    yield from connection.execute(
        query("add_entities"),
        {
            "tenant_id": tenant_id,
            "digests": [entity.digest for entity in batch],
            "endpoints": [entity.endpoint for entity in batch],
            "location_ids": [_text(entity.location_id) for entity in batch],
            "entity_ids": [_text(entity.entity_id) for entity in batch],
            "bodies": [bytes(entity.body) for entity in batch],
        },
    )


def _batches(entities: Sequence[Entity]) -> Iterator[list[Entity]]:
    """The entities in groups whose bytes fit comfortably into one statement."""
    batch: list[Entity] = []
    size = 0
    for entity in entities:
        batch.append(entity)
        size += len(entity.body)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _digest(entity: Entity) -> bytes:
    return entity.digest


def _text(value: str | None) -> str | None:
    return None if value is None else legal_text(value)
