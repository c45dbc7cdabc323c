"""`ghl-snapshots tenants`: the registry of tenants on the command line."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ghl_snapshots.capture.composition import open_database, redeem
from ghl_snapshots.cli.tenant_file import read_tenants
from ghl_snapshots.core.capture_settings import parsed_overrides
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import AccountKind, Tenant
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.core.summary import columns
from ghl_snapshots.core.tokens import StoredTokens
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens
from ghl_snapshots.ledger.tenants import TenantRegistry
from ghl_snapshots.local.environment import migrate_databases, product_environment

tenants = typer.Typer(
    help="Add, list and disable the tenants whose configuration is captured.", no_args_is_help=True
)

_TenantId = Annotated[str, typer.Argument(metavar="TENANT", help="Our name for the customer, such as acme.")]

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


@tenants.command()
def add(
    tenant: _TenantId,
    account: Annotated[str, typer.Option(help="GHL location id, or with --agency the company id.")],
    credential: Annotated[
        str, typer.Option(help="Where the token is: env:NAME, file:/path or oauth. Never the token itself.")
    ],
    *,
    agency: Annotated[bool, typer.Option("--agency", help="The account is an agency (company).")] = False,
    set_: _Set = None,
) -> None:
    """Add a tenant."""
    added = Tenant(
        tenant_id=tenant,
        ghl_account_id=account,
        account_kind=AccountKind.COMPANY if agency else AccountKind.LOCATION,
        credential=credential,
        overrides=parsed_overrides(set_ or ()),
    )
    with _registry() as registry:
        registry.add(added)
    typer.echo(f"Added {tenant}. Capture it now: ghl-snapshots snapshot --tenant {tenant}")


@tenants.command()
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
        typer.Option(metavar="NAME", help="Take an override back; may be given more than once."),
    ] = None,
) -> None:
    """Change what is given of a tenant and leave the rest; its snapshots stay as they are."""
    with _registry() as registry:
        known = registry.get(tenant)
        changed = registry.update(
            replace(
                known,
                ghl_account_id=known.ghl_account_id if account is None else account,
                account_kind=kind or known.account_kind,
                credential=known.credential if credential is None else credential,
                overrides=_overrides(known, set_ or (), unset or ()),
            )
        )
    typer.echo(f"Updated {tenant}." if changed else f"{tenant} was just so already.")


@tenants.command("list")
def list_() -> None:
    """List every tenant."""
    with _registry() as registry:
        known = registry.list()
    if not known:
        typer.echo(
            "No tenants yet. Add one: "
            "ghl-snapshots tenants add acme --account LOCATION_ID --credential env:ACME_GHL_TOKEN"
        )
        return
    for line in columns([_HEADINGS, *(_cells(tenant) for tenant in known)]):
        typer.echo(line)


@tenants.command("import")
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
    with _registry() as registry:
        changed = registry.import_all(read)
    typer.echo(f"{file}: {len(changed)} of {len(read)} tenants added or updated, the rest as they were.")


@tenants.command()
def disable(tenant: _TenantId) -> None:
    """Stop capturing a tenant; its snapshots stay and stay readable."""
    with _registry() as registry:
        changed = registry.set_enabled(tenant, enabled=False)
    typer.echo(f"Disabled {tenant}; its snapshots stay." if changed else f"{tenant} was disabled already.")


@tenants.command()
def enable(tenant: _TenantId) -> None:
    """Capture a disabled tenant again."""
    with _registry() as registry:
        changed = registry.set_enabled(tenant, enabled=True)
    typer.echo(f"Enabled {tenant}." if changed else f"{tenant} was enabled already.")


@tenants.command()
def authorize(
    tenant: _TenantId,
    *,
    code: Annotated[
        bool,
        typer.Option(
            "--code",
            help="Exchange an authorization code, as installing the app or GHL's reconnect API gives it.",
        ),
    ] = False,
) -> None:
    """Store the OAuth refresh token of a tenant with the credential `oauth`, encrypted.

    The token or code is asked for without being shown, or read from standard input; it is never an argument,
    which other users of the machine could read.
    """
    name = "Authorization code" if code else "Refresh token"
    grant = typer.prompt(name, hide_input=True) if sys.stdin.isatty() else sys.stdin.read()
    with _database() as (settings, database):
        known = TenantRegistry(database).get(tenant)
        if known.credential != "oauth":
            raise ConfigurationError(f"Tenant {tenant!r} has the credential {known.credential}, not oauth.")
        if not grant.strip():
            raise ConfigurationError(f"No {name.lower()} was given.")
        if code:
            redeem(settings, database, known, grant.strip())
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
    kept = {name: value for name, value in tenant.overrides.items() if name not in unset}
    return kept | parsed_overrides(set_)


def _cells(tenant: Tenant) -> tuple[str, ...]:
    enabled = "yes" if tenant.enabled else "no"
    return (
        tenant.tenant_id,
        tenant.ghl_account_id,
        tenant.account_kind.value,
        tenant.credential,
        enabled,
        " ".join(f"{name}={value:g}" for name, value in tenant.overrides.items()) or "-",
    )


@contextmanager
def _database() -> Iterator[tuple[Settings, Database]]:
    with product_environment() as settings:
        migrate_databases(settings)
        with open_database(settings) as database:
            yield settings, database


@contextmanager
def _registry() -> Iterator[TenantRegistry]:
    with _database() as (_, database):
        yield TenantRegistry(database)
