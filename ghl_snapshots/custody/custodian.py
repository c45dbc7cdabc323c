"""The side of the process that asks: starts a custodian for each exchange and waits for what it tells."""

import logging
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.core.model import Tenant
from ghl_snapshots.custody.messages import Deployment, Errand, Outcome
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.tokens import Token

# The working folder stays out of the search path: a file there could be taken for a library.
COMMAND: Final = (sys.executable, "-P", "-m", "ghl_snapshots.custody")
_GLANCE_SECONDS: Final = 0.5
"""How long it may take until a waiting thread sees that the capture was interrupted."""


class Custodian:
    """Exchanges grants in a process that outlives this one, and is waited for while the budget has time."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def refreshed(self, tenant: Tenant, *, refused: str | None, budget: Budget) -> Token:
        """A good access token that is not the refused one."""
        return self._token(replace(self._errand(tenant, budget), refused=refused), budget)

    def redeemed(self, tenant: Tenant, code: str, *, budget: Budget) -> Token:
        """The access token for an authorization code, with which the tenant's tokens begin anew."""
        return self._token(replace(self._errand(tenant, budget), code=code), budget)

    def _errand(self, tenant: Tenant, budget: Budget) -> Errand:
        return Errand(
            deployment=self._deployment,
            tenant=tenant,
            settings=budget.settings,
            patience_seconds=budget.deadline.remaining,
        )

    def _token(self, errand: Errand, budget: Budget) -> Token:
        outcome = _outcome(errand, budget)
        _log(outcome)
        for endpoint, status in outcome.calls:
            budget.count(endpoint, status)
        if outcome.failure is not None:
            raise outcome.failure.error()
        if outcome.token is None:
            raise _untold(errand, "it told of neither a token nor an error")
        return outcome.token


def _outcome(errand: Errand, budget: Budget) -> Outcome:
    budget.deadline.check()
    try:
        # Not subprocess.run, which kills its child when the waiting is interrupted.
        process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise _untold(errand, f"it did not start: {error.strerror}") from None
    try:
        told, complaint = _told(process, TypeAdapter(Errand).dump_json(errand), budget)
    except BaseException:
        # The process goes on without us, and what it stores the next capture finds.
        threading.Thread(target=_hear_out, args=(process,), daemon=True).start()
        raise
    try:
        return TypeAdapter(Outcome).validate_json(told)
    except ValidationError:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise _untold(errand, f"it ended with {process.returncode} and said {quoted(last)}") from None


def _told(process: subprocess.Popen[bytes], errand: bytes, budget: Budget) -> tuple[bytes, bytes]:
    """What the process wrote, once it has ended.

    Raises:
        GhlError: TIMEOUT, when the budget's time is up before.
    """
    unsent: bytes | None = errand
    while remaining := budget.deadline.remaining:
        try:
            return process.communicate(unsent, timeout=min(_GLANCE_SECONDS, remaining))
        except subprocess.TimeoutExpired:
            unsent = None
    raise budget.deadline.error()


def _hear_out(process: subprocess.Popen[bytes]) -> None:
    """Log what a process still has to say that is not waited for any more, and collect it at its end."""
    told, _ = process.communicate()
    with suppress(ValidationError):
        _log(TypeAdapter(Outcome).validate_json(told))


def _log(outcome: Outcome) -> None:
    for line in outcome.lines:
        logging.getLogger(line.logger).log(line.level, line.event, extra=line.fields)


def _untold(errand: Errand, why: str) -> GhlError:
    return GhlError(
        ErrorKind.INTERNAL,
        f"the process that exchanges tokens for tenant {errand.tenant.tenant_id} did not tell what came of "
        f"it, because {why}; what it stored the next capture finds",
        attempts=0,
    )
