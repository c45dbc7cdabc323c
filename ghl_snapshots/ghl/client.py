"""Calls to GHL: each one sent, read and checked, and tried again where that can help.

One layer of retries lies around sending, reading, parsing and checking together, because a body cut short or
an HTML page under a 200 is as transient as a 503, and only known for what it is once it has been read.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ghl.json_slices import Answer, read_answer, read_object
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.refusals import refusal
from ghl_snapshots.ghl.request import Attempts, Request
from ghl_snapshots.ghl.token_source import TokenSource
from ghl_snapshots.ghl.transport import Reply, Transport

_OAUTH_VERSION: Final = "2021-07-28"
_LARGE_BYTES: Final = 100_000
_LARGE_ANSWERS: Final = threading.Lock()
"""Held while a large answer is taken apart, which takes several times its size in memory.

The interpreter would do one at a time anyway, but with the others begun.
"""
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Answer):
    """One answered call; the times are those of the request that was answered."""

    status: int
    requested_at: datetime
    duration_ms: int
    attempts: int
    """HTTP requests sent for it."""


class GhlClient:
    """Reads from GHL within its limits; safe to use from many threads at once."""

    def __init__(
        self,
        transport: Transport,
        limiter: RateLimiter,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self.limiter = limiter
        self._clock = clock
        self._monotonic = monotonic

    def fetch(
        self, target: FetchTarget, paging: Mapping[str, str], *, token_source: TokenSource, budget: Budget
    ) -> Fetched:
        """Make one call and give its answer.

        Raises:
            GhlError: with `attempts` set to the number of requests sent.
            CredentialError: the credential's reference yields no token.
        """
        attempts = Attempts()
        endpoint = target.endpoint
        request = Request(
            method="GET",
            path=target.path(),
            endpoint=endpoint.name,
            api_version=endpoint.api_version,
            scope=endpoint.scope,
            reference=token_source.reference,
            resource_id=token_source.resource_id,
            token=token_source.token(),
            query={**target.query(), **paging},
        )
        status, answer = self._retried(
            request,
            lambda body: read_answer(body, endpoint, target.location_id, target.parent_id),
            budget,
            attempts,
        )
        return Fetched(
            entities=answer.entities,
            named_locations=answer.named_locations,
            named_companies=answer.named_companies,
            total=answer.total,
            has_more=answer.has_more,
            trace_id=answer.trace_id,
            status=status,
            requested_at=attempts.requested_at or self._clock(),
            duration_ms=round(attempts.duration_seconds * 1000),
            attempts=attempts.sent,
        )

    def exchange(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        reference: str,
        budget: Budget,
        scope: str = "",
        resource_id: str | None = None,
        token: str | None = None,
    ) -> dict[str, Any]:
        """Ask one of the two token paths; `form` is what to send, `token` the one that authorizes it.

        Raises:
            GhlError: like `fetch`.
        """
        request = Request(
            method="POST",
            path=path,
            endpoint=path,
            api_version=_OAUTH_VERSION,
            scope=scope,
            reference=reference,
            resource_id=resource_id,
            token=token,
            form=form,
        )
        _, content = self._retried(request, read_object, budget, Attempts())
        return content

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def _retried(
        self, request: Request, read: Callable[[bytes], Content], budget: Budget, attempts: Attempts
    ) -> tuple[int, Content]:
        """Status and content of the first attempt that succeeds; the last one's error if none does."""
        settings = budget.settings
        retrying = Retrying(
            stop=stop_after_attempt(settings.max_attempts),
            wait=wait_random_exponential(
                multiplier=settings.retry_wait_seconds, max=settings.longest_retry_wait_seconds
            ),
            retry=retry_if_exception(lambda error: _may_help(error, budget)),
            before_sleep=lambda state: attempts.note(state.outcome),
            sleep=budget.deadline.sleep,
            reraise=True,
        )
        try:
            return retrying(self._ask, request, read, budget, attempts)
        except GhlError as error:
            raise attempts.summarized(error) from None

    def _ask(
        self, request: Request, read: Callable[[bytes], Content], budget: Budget, attempts: Attempts
    ) -> tuple[int, Content]:
        budget.deadline.check()
        reply = self._send_within_limits(request, budget, attempts)
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(reply, reference=request.reference, scope=request.scope, secrets=request.secrets)
        return reply.status, _read(read, reply, request)

    def _send_within_limits(self, request: Request, budget: Budget, attempts: Attempts) -> Reply:
        if request.resource_id is None:
            return self._send(request, budget, attempts)
        reply = None
        day = self.limiter.acquire(
            request.resource_id, budget.deadline, daily_reserve=budget.settings.daily_reserve
        )
        try:
            reply = self._send(request, budget, attempts)
        finally:
            headers, status = (reply.headers, reply.status) if reply else ({}, None)
            self.limiter.observe(request.resource_id, headers, status, day=day)
        return reply

    def _send(self, request: Request, budget: Budget, attempts: Attempts) -> Reply:
        """The answer, whatever its status; every request that left is counted."""
        attempts.requested_at, started = self._clock(), self._monotonic()
        try:
            reply = self._transport.send(
                request.method,
                request.path,
                headers=request.headers(),
                deadline=budget.deadline,
                settings=budget.settings,
                query=request.query,
                form=request.form,
            )
        except GhlError as error:
            if error.kind is not ErrorKind.REFUSED:
                self._count(request, None, budget, attempts)
            raise
        attempts.duration_seconds = self._monotonic() - started
        self._count(request, reply.status, budget, attempts)
        return reply

    def _count(self, request: Request, status: int | None, budget: Budget, attempts: Attempts) -> None:
        attempts.sent += 1
        budget.count(request.endpoint, status)


def _may_help(error: BaseException, budget: Budget) -> bool:
    """Whether to try again after the error."""
    return isinstance(error, GhlError) and error.kind.retryable and budget.deadline.remaining > 0


def _read(read: Callable[[bytes], Content], reply: Reply, request: Request) -> Content:
    try:
        with _LARGE_ANSWERS if len(reply.body) > _LARGE_BYTES else nullcontext():
            return read(reply.body)
    except GhlError as error:
        # The answers of the token paths are not quoted, because they may hold tokens.
        received = quoted(reply.body, *request.secrets) if request.method == "GET" else "a token's answer"
        text = f"{error.message}; received {received}"
        raise GhlError(error.kind, text, status=reply.status) from None
