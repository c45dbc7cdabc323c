"""The YAML file that `ghl-snapshots tenants import` reads."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ghl_snapshots.core.capture_settings import checked_overrides
from ghl_snapshots.core.errors import ConfigurationError
from ghl_snapshots.core.model import AccountKind, Tenant

EXAMPLE = """\
tenants:
  - id: acme
    account: ve9EPM428h8vShlRW1KT
    credential: env:ACME_GHL_TOKEN
  - id: northwind
    account: 5DP4iH6HLkQsiKESj6rh
    kind: company
    credential: oauth
    overrides: {daily_reserve: 0.8, concurrency: 4}
"""


def _no_number(value: object) -> object:
    """YAML reads an unquoted 12345 as a number and 1e5 as another one; guessing the text would alter it."""
    if isinstance(value, str):
        return value
    raise ValueError("must be a text; put it in quotes")


_Text = Annotated[str, BeforeValidator(_no_number)]


class _TenantEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    id: _Text
    account: _Text
    kind: AccountKind = AccountKind.LOCATION
    credential: _Text
    enabled: bool = True
    overrides: dict[str, object] = Field(default_factory=dict)


class _TenantFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    tenants: list[_TenantEntry] = Field(min_length=1)


def read_tenants(path: Path) -> list[Tenant]:
    """Every tenant of the file, in its order; all of them are valid, or none is returned.

    Raises:
        ConfigurationError: naming the file, the entry and the field, and what is wrong with it.
    """
    entries = _parsed(path).tenants
    tenants = [_tenant(path, number, entry) for number, entry in enumerate(entries, start=1)]
    seen: set[str] = set()
    for tenant in tenants:
        if tenant.tenant_id in seen:
            raise ConfigurationError(f"{path}: tenant {tenant.tenant_id!r} stands in the file twice.")
        seen.add(tenant.tenant_id)
    return tenants


def _parsed(path: Path) -> _TenantFile:
    try:
        return _TenantFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8 text.") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{path}{line} is not valid YAML: {error.problem}.") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {error}.") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_problems(error)}.\nA valid file looks so:\n{EXAMPLE}") from None


def _problems(error: ValidationError) -> str:
    return "; ".join(
        f"{_place(problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _place(location: tuple[int | str, ...]) -> str:
    match location:
        case ("tenants", int(index), *rest):
            return " ".join([f"tenant {index + 1}", *(str(part) for part in rest)])
        case ():
            return "the file"
        case _:
            return ".".join(str(part) for part in location)


def _tenant(path: Path, number: int, entry: _TenantEntry) -> Tenant:
    try:
        return Tenant(
            tenant_id=entry.id,
            ghl_account_id=entry.account,
            account_kind=entry.kind,
            credential=entry.credential,
            enabled=entry.enabled,
            overrides=checked_overrides(entry.overrides),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: tenant {number}: {error}") from None
