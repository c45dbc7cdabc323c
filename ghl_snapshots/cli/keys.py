"""`ghl-snapshots keys`: the keys of the HTTP API on the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from ghl_snapshots.capture.composition import open_database
from ghl_snapshots.core.api_keys import ApiKey, KeyRole
from ghl_snapshots.core.model import iso
from ghl_snapshots.core.summary import columns
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.local.environment import migrate_databases, product_environment

keys = typer.Typer(help="Make, list and revoke the keys of the HTTP API.", no_args_is_help=True)

_HEADINGS = ("key", "role", "tenants", "made", "revoked", "note")


@keys.command()
def create(
    tenant: Annotated[list[str], typer.Option(help="Tenant it may see; may be given more than once.")],
    role: Annotated[
        KeyRole,
        typer.Option(help="trigger: ask for captures. read: read snapshots. admin: both."),
    ] = KeyRole.READ,
    note: Annotated[str, typer.Option(help="Who it is for, for your own list.")] = "",
) -> None:
    """Make a key and print it, this once; only its hash is stored."""
    with _keys() as known:
        key, secret = known.create(tenant, role, note=note)
    typer.echo(f"Made key {key.key_id} ({role}) for {', '.join(sorted(key.tenant_ids))}.", err=True)
    typer.echo("It is not stored and cannot be shown again:", err=True)
    typer.echo(secret)


@keys.command("list")
def list_() -> None:
    """List every key, the revoked ones included; the keys themselves are not stored."""
    with _keys() as known:
        found = known.list()
    if not found:
        typer.echo("No keys yet. Make one: ghl-snapshots keys create --tenant acme --role trigger")
        return
    for line in columns([_HEADINGS, *(_cells(key) for key in found)]):
        typer.echo(line)


@keys.command()
def revoke(key: Annotated[str, typer.Argument(metavar="KEY", help="Its eight letters and digits.")]) -> None:
    """Make a key useless, from the next call on and for ever."""
    with _keys() as known:
        revoked = known.revoke(key)
    typer.echo(f"Revoked {key}." if revoked else f"{key} was revoked already.")


def _cells(key: ApiKey) -> tuple[str, ...]:
    made = iso(key.created_at)[:19] if key.created_at else ""
    revoked = iso(key.revoked_at)[:19] if key.revoked_at else ""
    return key.key_id, key.role.value, ",".join(sorted(key.tenant_ids)), made, revoked, key.note


@contextmanager
def _keys() -> Iterator[ApiKeys]:
    with product_environment() as settings:
        migrate_databases(settings)
        with open_database(settings) as database:
            yield ApiKeys(database)
