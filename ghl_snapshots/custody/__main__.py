"""`python -m ghl_snapshots.custody`: do the errand that standard input tells, and tell what came of it."""

import logging
import signal
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ghl_snapshots.core.errors import ConfigurationError, CredentialError, GhlError, LedgerError
from ghl_snapshots.custody.messages import Deployment, Errand, Failure, Line, Outcome
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.deadline import Deadline
from ghl_snapshots.ghl.endpoint_fetch import defect
from ghl_snapshots.ghl.exchange import EXCHANGE_SECONDS, STORING_SECONDS, OAuthApp, StoringExchange
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.tokens import Token
from ghl_snapshots.ghl.transport import Transport
from ghl_snapshots.ledger.database import LOCK_SECONDS, Database
from ghl_snapshots.ledger.oauth_tokens import OAuthTokens

_CONNECTING_SECONDS: Final = 60
"""More than it takes to get a connection to the database, or to miss one that is lost."""
_STORING_LOCKS: Final = 3
"""So many statements store tokens, and each of them may wait for a lock."""
_ASKING_SECONDS: Final = int(_CONNECTING_SECONDS + LOCK_SECONDS + EXCHANGE_SECONDS)
"""No waits of ours until there is an answer are longer; it is there for a machine or a library that hangs."""
_TRY_SECONDS: Final = _CONNECTING_SECONDS + LOCK_SECONDS + _STORING_LOCKS * LOCK_SECONDS
_HOLDING_SECONDS: Final = int(_STORING_LOCKS * LOCK_SECONDS + STORING_SECONDS + _TRY_SECONDS)
"""Nor are those with the answer in hand: the first try to store it, those that follow, and the last one."""


def main() -> int:
    """Do one errand; exit code 2 if it was not told whole, and then nothing was asked of GHL."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.alarm(_ASKING_SECONDS)
    try:
        errand = TypeAdapter(Errand).validate_json(sys.stdin.buffer.read())
    except ValidationError:
        return 2
    told = TypeAdapter(Outcome).dump_json(done(errand))
    with suppress(BrokenPipeError):  # nobody is left who waits for it
        sys.stdout.buffer.write(told)
        sys.stdout.buffer.flush()
    return 0


def done(errand: Errand) -> Outcome:
    """The outcome of an errand; whatever goes wrong is a part of it."""
    budget = Budget(deadline=Deadline(errand.patience_seconds), settings=errand.settings)
    token, failure, logged = None, None, _Logged()
    logging.getLogger("ghl_snapshots").addHandler(logged)
    logging.getLogger("ghl_snapshots").setLevel(logging.INFO)
    try:
        token = _exchanged(errand, budget)
    except (GhlError, LedgerError, CredentialError, ConfigurationError) as error:
        failure = Failure.of(error)
    except Exception as error:  # noqa: BLE001 (it is told to the process that waits)
        failure = Failure.of(defect(error))
    calls = tuple(call for call, count in budget.calls().items() for _ in range(count))
    return Outcome(token=token, failure=failure, calls=calls, lines=tuple(logged.lines))


class _Logged(logging.Handler):
    """Keeps what is logged."""

    _EVERY_RECORD: Final = frozenset(vars(logging.makeLogRecord({})))

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record without what is only true of this process."""
        own = {name: value for name, value in vars(record).items() if name not in self._EVERY_RECORD}
        self.lines.append(
            Line(logger=record.name, level=record.levelno, event=record.getMessage(), fields=own)
        )


def _exchanged(errand: Errand, budget: Budget) -> Token:
    deployment = errand.deployment
    client = GhlClient(Transport(deployment.ghl_base_url), RateLimiter(), clock=_now)
    with closing(client), Database(deployment.database_url) as database:
        exchange = StoringExchange(
            app=_app(deployment),
            store=OAuthTokens(database, deployment.encryption_keys),
            client=client,
            clock=_now,
            on_answer=_live_on,
        )
        if errand.code is not None:
            return exchange.redeemed(errand.tenant, errand.code, budget=budget)
        return exchange.refreshed(errand.tenant, refused=errand.refused, budget=budget)


def _live_on() -> None:
    """Begin the life of the only holder of GHL's answer anew."""
    signal.alarm(_HOLDING_SECONDS)


def _app(deployment: Deployment) -> OAuthApp:
    return OAuthApp(client_id=deployment.client_id, client_secret=deployment.client_secret)


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    sys.exit(main())
