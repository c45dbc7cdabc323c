"""`ghl-snapshots keys`: the keys of the HTTP API."""

from typing import Annotated

import typer

from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database, migrated_database
from ghl_snapshots.core.api_keys import ApiKey, KeyRole
from ghl_snapshots.core.model import iso
from ghl_snapshots.ledger.api_keys import ApiKeys
from ghl_snapshots.local.terminal import table

commands = typer.Typer(help="Create, list and revoke the keys of the HTTP API.", no_args_is_help=True)

_HEADINGS = ("key", "role", "tenants", "created", "revoked", "note")


@commands.command()
def create(
    tenant: Annotated[
        list[str],
        typer.Option(
            help="Tenant that the key gives access to; may be given more than once.",
            autocompletion=tenant_ids,
        ),
    ],
    role: Annotated[
        KeyRole,
        typer.Option(help="trigger: ask for captures. read: read snapshots. admin: both."),
    ] = KeyRole.READ,
    note: Annotated[str, typer.Option(help="Who it is for, for your own list.")] = "",
) -> None:
    """Create a key and print it, this once; only its hash is stored."""
    with migrated_database() as (_, database):
        key, secret = ApiKeys(database).create(tenant, role, note=note)
    typer.echo(f"Created key {key.key_id} ({role}) for {', '.join(sorted(key.tenant_ids))}.", err=True)
    typer.echo("It is not stored and cannot be shown again:", err=True)
    typer.echo(secret)


@commands.command("list")
def list_() -> None:
    """List all keys by id, revoked ones included; the secrets are not stored."""
    with checked_database() as (_, database):
        keys = ApiKeys(database).list()
    if not keys:
        typer.echo("No keys yet. Create one: ghl-snapshots keys create --tenant acme --role trigger")
        return
    for line in table([_HEADINGS, *(_row(key) for key in keys)]):
        typer.echo(line)


@commands.command()
def revoke(key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id: 8 characters.")]) -> None:
    """Revoke a key permanently, from the next call on."""
    with migrated_database() as (_, database):
        revoked = ApiKeys(database).revoke(key)
    typer.echo(f"Revoked {key}." if revoked else f"{key} was revoked already.")


def _row(key: ApiKey) -> tuple[str, ...]:
    created = iso(key.created_at)[:19] if key.created_at else ""
    revoked = iso(key.revoked_at)[:19] if key.revoked_at else ""
    return key.key_id, key.role.value, ",".join(sorted(key.tenant_ids)), created, revoked, key.note
