"""`ghl-snapshots tenants`: the registry of tenants."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ghl_snapshots.capture.composition import check as check_account
from ghl_snapshots.capture.composition import redeem
from ghl_snapshots.cli.account_check import describe_check
from ghl_snapshots.cli.completion import tenant_ids
from ghl_snapshots.cli.database import checked_database, migrated_database
from ghl_snapshots.cli.tenant_file import read_tenants
from ghl_snapshots.core.capture_settings import parsed_overrides
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.terminal import progress, table

commands = typer.Typer(
    help="Add, change, list and disable the tenants that are captured.", no_args_is_help=True
)

_NewTenantId = Annotated[
    str, typer.Argument(metavar="TENANT", help="Your id for the customer, such as acme.")
]
_TenantId = Annotated[
    str, typer.Argument(metavar="TENANT", help="Your id for the customer.", autocompletion=tenant_ids)
]

_Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Override a setting of `ghl-snapshots config` for this tenant, such as max_attempts=2; "
        "may be given more than once.",
    ),
]

_HEADINGS = ("tenant", "GHL account", "kind", "credential", "enabled", "overrides")


@commands.command()
def add(
    tenant: _NewTenantId,
    account: Annotated[str, typer.Option(help="GHL location id, or with --agency the company id.")],
    credential: Annotated[
        str, typer.Option(help="Where the token is: env:NAME, file:/path or oauth. Never the token itself.")
    ],
    *,
    agency: Annotated[bool, typer.Option("--agency", help="The account is an agency (company).")] = False,
    set_: _Set = None,
    check_: Annotated[
        bool, typer.Option("--check", help="Then ask GHL what the credential may read, as `tenants check`.")
    ] = False,
) -> None:
    """Add a tenant."""
    added = Tenant(
        tenant_id=tenant,
        ghl_account_id=account,
        account_kind=AccountKind.COMPANY if agency else AccountKind.LOCATION,
        credential=credential,
        overrides=parsed_overrides(set_ or ()),
    )
    with migrated_database() as (_, database):
        TenantRegistry(database).add(added)
    typer.echo(f"Added {tenant}. See what its credential may read: ghl-snapshots tenants check {tenant}")
    typer.echo(f"Capture it now: ghl-snapshots snapshot --tenant {tenant}")
    if check_:
        check(tenant)


@commands.command()
def check(tenant: _TenantId) -> None:
    """Ask GHL what a tenant's credential may read; exit code 1 if a snapshot would be incomplete."""
    with migrated_database() as (settings, database):  # it may exchange a refresh token
        registered = TenantRegistry(database).get(tenant)
        with progress("asking GHL"):
            found = check_account(settings, database, registered)
    for line in describe_check(found):
        typer.echo(line)
    raise typer.Exit(0 if found.is_complete else 1)


@commands.command()
def update(
    tenant: _TenantId,
    *,
    account: Annotated[str | None, typer.Option(help="Another GHL location or company id.")] = None,
    kind: Annotated[AccountKind | None, typer.Option(help="What the account is.")] = None,
    credential: Annotated[
        str | None,
        typer.Option(help="Another reference: env:NAME, file:/path or oauth. Never the token itself."),
    ] = None,
    set_: _Set = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Remove an override; may be given more than once."),
    ] = None,
) -> None:
    """Change what is given of a tenant; its snapshots stay as they are."""
    with migrated_database() as (_, database):
        registry = TenantRegistry(database)
        current = registry.get(tenant)
        changed = registry.update(
            replace(
                current,
                ghl_account_id=current.ghl_account_id if account is None else account,
                account_kind=kind or current.account_kind,
                credential=current.credential if credential is None else credential,
                overrides=_overrides(current, set_ or (), unset or ()),
            )
        )
    typer.echo(f"Updated {tenant}." if changed else f"{tenant} is unchanged.")


@commands.command("list")
def list_() -> None:
    """List every tenant."""
    with checked_database() as (_, database):
        tenants = TenantRegistry(database).list()
    if not tenants:
        typer.echo(
            "No tenants yet. Add one: "
            "ghl-snapshots tenants add acme --account LOCATION_ID --credential env:ACME_GHL_TOKEN"
        )
        return
    for line in table([_HEADINGS, *(_row(tenant) for tenant in tenants)]):
        typer.echo(line)


@commands.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.yaml", help="A YAML file with a list named tenants; README.md shows one."
        ),
    ],
) -> None:
    """Add or update all tenants of a YAML file, or none of them if one is wrong."""
    read = read_tenants(file)
    with migrated_database() as (_, database):
        changed = TenantRegistry(database).import_all(read)
    typer.echo(f"{file}: {len(changed)} of {len(read)} tenants added or updated, the rest unchanged.")


@commands.command()
def disable(tenant: _TenantId) -> None:
    """Stop capturing a tenant; its snapshots stay readable."""
    with migrated_database() as (_, database):
        changed = TenantRegistry(database).set_enabled(tenant, enabled=False)
    typer.echo(f"Disabled {tenant}; its snapshots stay." if changed else f"{tenant} was disabled already.")


@commands.command()
def enable(tenant: _TenantId) -> None:
    """Capture a disabled tenant again."""
    with migrated_database() as (_, database):
        changed = TenantRegistry(database).set_enabled(tenant, enabled=True)
    typer.echo(f"Enabled {tenant}." if changed else f"{tenant} was enabled already.")


@commands.command()
def authorize(
    tenant: _TenantId,
    *,
    code: Annotated[
        bool,
        typer.Option(
            "--code",
            help="Exchange an authorization code, as installing the app in the account gives it.",
        ),
    ] = False,
) -> None:
    """Store the OAuth refresh token of a tenant with the credential `oauth`, encrypted.

    The token or code is prompted for without echo, or read from standard input: an argument could be read by
    other users of the machine.
    """
    name = "Authorization code" if code else "Refresh token"
    grant = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    with migrated_database() as (settings, database):
        registered = TenantRegistry(database).get(tenant)
        if registered.credential != "oauth":
            raise ConfigurationError(
                f"Tenant {tenant!r} has the credential {registered.credential}, not oauth."
            )
        if not grant.strip():
            raise ConfigurationError(f"No {name.lower()} was given.")
        if code:
            redeem(settings, database, registered, grant.strip())
        else:
            with OAuthTokens(database, settings.encryption_keys_text).locked(tenant) as locked:
                locked.install(StoredTokens(refresh_token=grant.strip()))
    typer.echo(
        f"Exchanged the authorization code and stored the tokens of {tenant}, encrypted."
        if code
        else f"Stored the refresh token of {tenant}, encrypted."
    )


def _overrides(tenant: Tenant, set_: Sequence[str], unset: Sequence[str]) -> Mapping[str, float]:
    missing = [name for name in unset if name not in tenant.overrides]
    if missing:
        raise ConfigurationError(f"Tenant {tenant.tenant_id!r} does not override {', '.join(missing)}.")
    remaining = {name: value for name, value in tenant.overrides.items() if name not in unset}
    return remaining | parsed_overrides(set_)


def _row(tenant: Tenant) -> tuple[str, ...]:
    enabled = "yes" if tenant.enabled else "no"
    return (
        tenant.tenant_id,
        tenant.ghl_account_id,
        tenant.account_kind.value,
        tenant.credential,
        enabled,
        " ".join(f"{name}={value:g}" for name, value in tenant.overrides.items()) or "-",
    )
