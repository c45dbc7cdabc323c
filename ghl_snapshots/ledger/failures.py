"""What a failure of the database is to us: the server is gone and may come back, or it refused something."""

import re

import psycopg

from ghl_snapshots.core.errors import DatabaseLostError, LedgerError
from ghl_snapshots.ledger.session_settings import POOLER

# Of a connection; ended by an administrator, a crash, a start or for being idle; no slot free; a server that
# takes no writes, since another one took its place.
_LOST = re.compile(r"08...|57P0[1235]|53300|25006")
# libpq gives no code for a connection that was refused. Where the server does not speak English, waiting in
# vain is all that comes of it.
_REFUSED = re.compile(
    r"does not exist|authentication failed|permission denied|no pg_hba\.conf entry|not permitted to log in"
    r"|unsupported startup parameter|unrecognized configuration parameter|invalid value for parameter"
)


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection or the server is gone, so that the same may succeed once it is back."""
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
        return False
    return says_lost(error.sqlstate, str(error))


def says_lost(sqlstate: str | None, message: str) -> bool:
    """The same of an operational error by its code, or by its message where it has none."""
    return _LOST.fullmatch(sqlstate) is not None if sqlstate else not _REFUSED.search(message)


def ledger_error(error: psycopg.Error, *, what: str = "The database failed") -> LedgerError:
    """The error of ours that it amounts to, which says so in one line."""
    kind = DatabaseLostError if is_lost(error) else LedgerError
    return kind(f"{what}: {describe_failure(error)}.")


def describe_failure(error: psycopg.Error) -> str:
    """The first line of what the server or libpq says, without a full stop; what to do where we know it."""
    line = str(error).strip().split("\n", 1)[0].rstrip(".") or type(error).__name__
    return f"{line}. {POOLER}" if "unsupported startup parameter" in line else line
