"""Which tenants a command means: by id, by pattern, from a file, or all of them."""

import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ghl_snapshots.core.errors import ConfigurationError, UnknownTenantError
from ghl_snapshots.ledger.tenants import TenantRegistry

_WILD = frozenset("*?[")


def selected(
    registry: TenantRegistry, named: Sequence[str], file: Path | None, *, all_enabled: bool
) -> list[str]:
    """Ids of the enabled tenants that are meant, each once; a pattern passes disabled ones over.

    Raises:
        UnknownTenantError: a tenant is named that is not in the registry.
        ConfigurationError: a tenant is named that is disabled, a pattern matches none, or nothing is meant.
    """
    wanted = [*named, *(_lines(file) if file else ())]
    if all_enabled == bool(wanted):
        raise ConfigurationError("Say which tenants: --tenant ID or PATTERN, --file FILE, or --all alone.")
    tenants = {tenant.tenant_id: tenant.enabled for tenant in registry.list()}
    enabled = [tenant_id for tenant_id, is_enabled in tenants.items() if is_enabled]
    if all_enabled and not enabled:
        raise ConfigurationError("No tenant is enabled; `ghl-snapshots tenants list` shows all.")
    if all_enabled:
        return enabled
    return list(dict.fromkeys(match for one in wanted for match in _matches(one, tenants, enabled)))


def _matches(wanted: str, tenants: dict[str, bool], enabled: Sequence[str]) -> Sequence[str]:
    if _WILD & set(wanted):
        found = [tenant_id for tenant_id in enabled if fnmatchcase(tenant_id, wanted)]
        if not found:
            raise ConfigurationError(
                f"No enabled tenant matches {wanted!r}; `ghl-snapshots tenants list` shows all."
            )
        return found
    if wanted not in tenants:
        raise UnknownTenantError(wanted)
    if not tenants[wanted]:
        raise ConfigurationError(
            f"Tenant {wanted!r} is disabled; `ghl-snapshots tenants enable {wanted}` enables it."
        )
    return [wanted]


def _lines(file: Path) -> Sequence[str]:
    """A tenant or pattern a line; `-` is standard input, and # begins a remark."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is not UTF-8 text.") from None
    lines = list(filter(None, (line.partition("#")[0].strip() for line in text.splitlines())))
    if not lines:
        raise ConfigurationError(f"{file} names no tenant.")
    return lines
