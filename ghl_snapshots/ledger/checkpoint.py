"""Checkpoints: the heads of all chains, signed, to be stored outside of the database.

A chain shows that nothing before its head was altered. Someone who can rewrite the whole chain, or cut off
its end, leaves one that looks as good; a head that was signed and stored elsewhere gives that away.
"""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import SnapshotType, iso
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.findings import Finding
from ghl_snapshots.ledger.queries import query

_FORMAT = "ghl-snapshots checkpoint 1"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Head(_Model):
    """The newest snapshot of one chain, as a checkpoint saw it."""

    tenant_id: str
    snapshot_type: SnapshotType
    seq: int = Field(ge=1)
    chain: str = Field(pattern="^[0-9a-f]{64}$")


class Checkpoint(_Model):
    """A signed statement of all heads; `signature` is Ed25519 over the canonical JSON of the rest, base64."""

    format: Literal["ghl-snapshots checkpoint 1"]
    created_at: AwareDatetime
    heads: tuple[Head, ...]
    signature: str


def new_key() -> tuple[bytes, bytes]:
    """A new Ed25519 key as PEM: the private part, to sign with, and the public one, to verify with."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """The key of a PEM text.

    Raises:
        ConfigurationError: it is no unencrypted Ed25519 private key; its text is not quoted.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(
            "The checkpoint key is no Ed25519 private key in PEM; "
            "make one with `ghl-snapshots checkpoint keygen`."
        )
    return key


def public_key(pem: bytes) -> Ed25519PublicKey:
    """The public key of a PEM text, which may also be that of the private key.

    Raises:
        ConfigurationError: it is neither; its text is not quoted.
    """
    if b"PRIVATE KEY" in pem:
        return private_key(pem).public_key()
    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError("The checkpoint key is no Ed25519 key in PEM.")
    return key


def create_checkpoint(database: Database, key: Ed25519PrivateKey, created_at: datetime) -> str:
    """The JSON text of a checkpoint of every chain as it is now.

    Raises:
        LedgerError: the server does not answer.
    """
    with database.auditor() as connection:
        rows = connection.execute(query("heads")).fetchall()
    heads = tuple(Head.model_validate({to_camel(name): value for name, value in row.items()}) for row in rows)
    statement = _statement(created_at, heads)
    signature = base64.b64encode(key.sign(_canonical(statement))).decode()
    return json.dumps({**statement, "signature": signature}, indent=2) + "\n"


def verify_checkpoint(database: Database, text: str | bytes, key: Ed25519PublicKey) -> Iterator[Finding]:
    """What of the ledger contradicts a checkpoint; nothing if every head that it saw is still in its chain.

    It says nothing of the rows before the heads: those are for a `Verification`.

    Raises:
        ConfigurationError: the text is no checkpoint.
        LedgerError: the server does not answer.
    """
    checkpoint = _parsed(text)
    try:
        signature = base64.b64decode(checkpoint.signature, validate=True)
        key.verify(signature, _canonical(_statement(checkpoint.created_at, checkpoint.heads)))
    except (InvalidSignature, ValueError):
        yield Finding(problem="the checkpoint was altered, or signed with another key")
        return
    yield from _contradictions(database, checkpoint)


def _contradictions(database: Database, checkpoint: Checkpoint) -> Iterator[Finding]:
    heads = checkpoint.heads
    parameters = {
        "tenant_ids": [head.tenant_id for head in heads],
        "snapshot_types": [head.snapshot_type.value for head in heads],
        "seqs": [head.seq for head in heads],
    }
    with database.auditor() as connection:
        rows = connection.execute(query("rows_at_heads"), parameters).fetchall()
    for head, row in zip(heads, rows, strict=True):
        problem = None
        if row["chain"] is None:
            problem = (
                f"the checkpoint saw {head.seq} snapshots, there are {row['present']}: the rest was removed"
            )
        elif row["chain"] != head.chain:
            problem = "not the snapshot that the checkpoint saw: the chain was rewritten"
        if problem:
            yield Finding(
                tenant_id=head.tenant_id,
                snapshot_type=head.snapshot_type,
                snapshot_id=row["snapshot_id"],
                seq=head.seq,
                problem=problem if row["snapshot_id"] else f"{head.snapshot_type}: {problem}",
            )


def _parsed(text: str | bytes) -> Checkpoint:
    try:
        return Checkpoint.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the text"
        raise ConfigurationError(f"This is no checkpoint: {place}: {first['msg']}.") from None


def _statement(created_at: datetime, heads: tuple[Head, ...]) -> dict[str, object]:
    return {
        "format": _FORMAT,
        "createdAt": iso(created_at),
        "heads": [head.model_dump(mode="json", by_alias=True) for head in heads],
    }


def _canonical(statement: dict[str, object]) -> bytes:
    """The bytes that are signed: keys in order, no white space, ASCII."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode("ascii")
