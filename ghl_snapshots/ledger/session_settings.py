"""What each session with the database is asked to be, and whether the server says that it is.

The defaults of a server, a database or a login decide nothing that the ledger promises: a session asks for
every setting that does. A connection pooler drops or refuses what is asked for, and a session without it has
the rights of its login; so what was asked for is compared with what is there.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import tuple_row

from ghl_snapshots.core.errors import ConfigurationError, DatabaseLostError, LedgerError
from ghl_snapshots.ledger.queries import query

# A client's machine that is lost is missed after a minute, and so is a server's; until then the locks of a
# lost client hold others up. The first are libpq's, for our side, the second the server's own.
NETWORK = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_SERVERS_NETWORK = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
PINNED = {
    # What was acknowledged outlives the server.
    "synchronous_commit": "on",
    # An append relies on seeing what others committed while it waited for its place in the chain.
    "default_transaction_isolation": "read committed",
    "row_security": "on",
    # Until a transaction names its tenant it sees none.
    "app.tenant_id": "",
    # A deep verification reads every byte.
    "statement_timeout": "0",
    # How text and moments are written and read, by our functions and by psycopg.
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
}
"""What every session asks for, each value as SHOW writes it."""
STANDBY = "in_hot_standby"
"""What the server says of itself; a session of it can only read, whatever it asked for."""
_KNOWS_TRANSACTION_TIMEOUT = 170000
_UNITS = {"h": 3_600_000, "min": 60_000, "s": 1_000}
POOLER = (
    "A connection pooler such as PgBouncer drops or refuses what a session asks for: "
    "the database URL must name the server itself"
)


def connection_string(url: str, settings: Mapping[str, str] = PINNED) -> str:
    """What psycopg needs to connect and to miss a server that is lost; what the URL itself says of it stays.

    Raises:
        ConfigurationError: like `connection_parameters`.
    """
    given = connection_parameters(url)
    asked = (f"-c {name}={_escaped(value)}" for name, value in {**_SERVERS_NETWORK, **settings}.items())
    options = " ".join([given.get("options", ""), *asked]).strip()
    return make_conninfo("", **{**NETWORK, **given, "options": options, "application_name": "ghl_snapshots"})


def connection_parameters(url: str) -> dict[str, Any]:
    """The parts of a database URL by libpq's names, such as dbname and host.

    Raises:
        ConfigurationError: the URL cannot be understood; it is not quoted, for the password in it.
    """
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "The database URL cannot be understood; "
            "it has the form postgresql://user:password@host:port/database."
        ) from None


def prepare_session(connection: Connection[Any], settings: Mapping[str, str]) -> None:
    """Ask a new session for what an older server would not let it begin with; then `check_session`."""
    if connection.info.server_version >= _KNOWS_TRANSACTION_TIMEOUT:
        connection.execute("SET transaction_timeout = 0")
        connection.commit()
    check_session(connection, settings)


def check_session(connection: Connection[Any], settings: Mapping[str, str]) -> None:
    """Compare what the connection's session is with these settings; closes it if it raises.

    Raises:
        DatabaseLostError: the server takes no writes, and the session is to write.
        LedgerError: a setting has another value; names it.
        psycopg.OperationalError: the connection is broken.
    """
    try:
        _compare(connection, settings)
    except BaseException:
        connection.close()
        raise


def _compare(connection: Connection[Any], settings: Mapping[str, str]) -> None:
    parameters = {"names": list(settings), "expected": list(settings.values())}
    connection.autocommit = True  # or it would be two round trips more, for a transaction
    with connection.cursor(row_factory=tuple_row) as cursor:
        different = cursor.execute(query("different_settings"), parameters).fetchall()
    connection.autocommit = False
    if STANDBY in dict(different):
        # Where the database's name leads to for a while, when the server that took writes has gone.
        raise DatabaseLostError("The database takes no writes: its server is a standby.")
    if different:
        described = ", ".join(f"{name} is {actual!r}, not {settings[name]!r}" for name, actual in different)
        raise LedgerError(
            f"The database session is not what was asked for: {described}. {POOLER}. "
            "If it does, reset these settings of the server, the database and the login."
        )


def duration_setting(milliseconds: float) -> str:
    """A time as SHOW writes it: in the largest unit of which it is a whole number."""
    whole = round(milliseconds)
    unit = next((unit for unit, size in _UNITS.items() if whole and whole % size == 0), "ms")
    return f"{whole // _UNITS.get(unit, 1)}{unit}" if whole else "0"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
