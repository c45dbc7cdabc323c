"""What the process that asks and its custodian tell each other: the errand, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ghl_snapshots.core.capture_settings import CaptureSettings
from ghl_snapshots.core.errors import ConfigurationError, CredentialError, ErrorKind, GhlError, LedgerError
from ghl_snapshots.core.model import Tenant
from ghl_snapshots.ghl.tokens import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where GHL and the token store are, with the secrets that open them."""

    ghl_base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    database_url: str = field(repr=False)
    encryption_keys: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One exchange for a tenant: of an authorization code if there is one, else of its refresh token."""

    deployment: Deployment
    tenant: Tenant
    settings: CaptureSettings
    patience_seconds: float
    """How long to wait for another process that has the tenant's tokens."""
    refused: str | None = field(default=None, repr=False)
    """The access token that GHL does not accept any more."""
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of ours on its way from one process to the other."""

    message: str
    kind: ErrorKind | None = None
    """Of a GhlError."""
    status: int | None = None
    attempts: int = 0
    of_ledger: bool = False
    of_configuration: bool = False

    @classmethod
    def of(cls, error: GhlError | LedgerError | CredentialError | ConfigurationError) -> "Failure":
        """The error without its traceback."""
        if isinstance(error, GhlError):
            return cls(message=error.message, kind=error.kind, status=error.status, attempts=error.attempts)
        return cls(
            message=str(error),
            of_ledger=isinstance(error, LedgerError),
            of_configuration=isinstance(error, ConfigurationError),
        )

    def error(self) -> GhlError | LedgerError | CredentialError | ConfigurationError:
        """The error, to be raised anew."""
        if self.kind is not None:
            return GhlError(self.kind, self.message, status=self.status, attempts=self.attempts)
        if self.of_ledger:
            return LedgerError(self.message)
        return ConfigurationError(self.message) if self.of_configuration else CredentialError(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line for the log of the process that asks, since the custodian has none."""

    logger: str
    level: int
    event: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an errand: a token or a failure, each request that was sent for it, each log line."""

    token: Token | None = None
    failure: Failure | None = None
    calls: tuple[tuple[str, int | None], ...] = ()
    """Endpoint and status; None where no whole answer came."""
    lines: tuple[Line, ...] = ()
