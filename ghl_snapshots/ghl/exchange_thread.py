"""The thread of a token exchange, which goes on when the capture that asked for it ends.

Signal handlers run in the main thread, so none interrupts it; as it is no daemon thread the interpreter does
not end before it; and what it needs is closed only after `wait_for_exchanges`.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final

from ghl_snapshots.core.signals import deferred_signals
from ghl_snapshots.core.tokens import EXCHANGE_SECONDS, AccessToken
from ghl_snapshots.ghl.budget import Budget

_POLL_SECONDS: Final = 0.5
"""How long it may take until a waiting thread sees that the capture was interrupted."""

_log = logging.getLogger(__name__)


class _ExchangeThread(threading.Thread):
    """Does one exchange to its end."""

    def __init__(self, exchange: Callable[[], AccessToken]) -> None:
        super().__init__(name="ghl-token-exchange", daemon=False)
        self._exchange = exchange
        self.result: Future[AccessToken] = Future()

    def run(self) -> None:
        """Do it."""
        try:
            self.result.set_result(self._exchange())
        except BaseException as error:  # noqa: BLE001 (it is raised where the result is asked for)
            self.result.set_exception(error)


def finished(exchange: Callable[[], AccessToken], budget: Budget) -> AccessToken:
    """What comes of an exchange, waited for as long as the budget has time.

    Raises:
        GhlError: TIMEOUT; the exchange goes on, and the next capture finds what it stores.
    """
    budget.deadline.check()
    thread = _ExchangeThread(exchange)
    thread.start()
    while remaining := budget.deadline.remaining:
        if wait([thread.result], timeout=min(_POLL_SECONDS, remaining)).done:
            return thread.result.result()
    raise budget.deadline.error()


def wait_for_exchanges() -> None:
    """Wait until no exchange of this process is under way; signals that end it take effect afterwards."""
    under_way = [thread for thread in threading.enumerate() if isinstance(thread, _ExchangeThread)]
    if not under_way:
        return
    with deferred_signals():
        _log.warning(
            "Waiting up to %d s for GHL's answer to a token request, which comes once.", EXCHANGE_SECONDS
        )
        for thread in under_way:
            thread.join()
