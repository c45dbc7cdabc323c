"""Calls to GHL: each one sent, read and checked, and tried again where that can help.

One layer of retries lies around sending, reading, parsing and checking together, because a body cut short or
an HTML page under a 200 is as transient as a 503, and only known for what it is once it has been read.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.endpoints import Endpoint
from ghl_snapshots.ghl.json_slices import Answer, Slice, read_answer, read_object
from ghl_snapshots.ghl.limits import RateLimiter
from ghl_snapshots.ghl.quoting import quoted
from ghl_snapshots.ghl.refusals import refusal
from ghl_snapshots.ghl.request import Request, Tries
from ghl_snapshots.ghl.token_source import TokenSource
from ghl_snapshots.ghl.transport import Reply, Transport

_OAUTH_VERSION: Final = "2021-07-28"
Content = TypeVar("Content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One answered call; the times are those of the request that was answered."""

    answer: Answer
    status: int
    requested_at: datetime
    duration_ms: int
    attempts: int
    """HTTP requests sent for it."""

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The answer's entities."""
        return self.answer.slices

    @property
    def total(self) -> int | None:
        """How many entities the whole list has, if GHL says."""
        return self.answer.total

    @property
    def has_more(self) -> bool | None:
        """Whether another page follows, if GHL says."""
        return self.answer.has_more


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
        self, endpoint: Endpoint, path: str, query: Mapping[str, str], *, bearer: TokenSource, budget: Budget
    ) -> Fetched:
        """Ask an endpoint once and give its answer, with a renewed token if GHL refuses the present one.

        Raises:
            GhlError: with `attempts` set to the number of requests sent.
            CredentialError: the credential's reference yields no token.
        """
        tries = Tries()
        token = bearer.token()
        try:
            return self._fetch(endpoint, path, query, token, bearer, budget, tries)
        except GhlError as error:
            renewed = bearer.renewed(token) if error.kind is ErrorKind.INVALID_CREDENTIAL else None
            if renewed is None:
                raise
        return self._fetch(endpoint, path, query, renewed, bearer, budget, tries)

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
        _, content = self._tried(request, read_object, budget, Tries())
        return content

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def _fetch(
        self,
        endpoint: Endpoint,
        path: str,
        query: Mapping[str, str],
        token: str,
        bearer: TokenSource,
        budget: Budget,
        tries: Tries,
    ) -> Fetched:
        request = Request(
            method="GET",
            path=path,
            endpoint=endpoint.name,
            api_version=endpoint.api_version,
            scope=endpoint.scope,
            reference=bearer.reference,
            resource_id=bearer.resource_id,
            token=token,
            query=query,
        )
        reply, answer = self._tried(request, lambda body: read_answer(body, endpoint), budget, tries)
        return Fetched(
            answer=answer,
            status=reply.status,
            requested_at=tries.requested_at or self._clock(),
            duration_ms=round(tries.duration_seconds * 1000),
            attempts=tries.sent,
        )

    def _tried(
        self, request: Request, read: Callable[[bytes], Content], budget: Budget, tries: Tries
    ) -> tuple[Reply, Content]:
        """The answer to the first try that succeeds; the last try's error if none does."""
        settings = budget.settings
        retrying = Retrying(
            stop=stop_after_attempt(settings.max_attempts),
            wait=wait_random_exponential(
                multiplier=settings.retry_wait_seconds, max=settings.longest_retry_wait_seconds
            ),
            retry=retry_if_exception(lambda error: _may_help(error, budget)),
            before_sleep=lambda state: tries.note(state.outcome),
            sleep=budget.deadline.sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, request, read, budget, tries)
        except GhlError as error:
            raise tries.summed_up(error) from None

    def _once(
        self, request: Request, read: Callable[[bytes], Content], budget: Budget, tries: Tries
    ) -> tuple[Reply, Content]:
        budget.deadline.check()
        reply = self._sent_within_limits(request, budget, tries)
        if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(reply, reference=request.reference, scope=request.scope, secrets=request.secrets)
        return reply, _read(read, reply, request)

    def _sent_within_limits(self, request: Request, budget: Budget, tries: Tries) -> Reply:
        if request.resource_id is None:
            return self._sent(request, budget, tries)
        reply = None
        day = self.limiter.acquire(
            request.resource_id, budget.deadline, daily_reserve=budget.settings.daily_reserve
        )
        try:
            reply = self._sent(request, budget, tries)
        finally:
            headers, status = (reply.headers, reply.status) if reply else ({}, None)
            self.limiter.observe(request.resource_id, headers, status, day=day)
        return reply

    def _sent(self, request: Request, budget: Budget, tries: Tries) -> Reply:
        """The answer, whatever its status; every request that left is counted."""
        tries.requested_at, started = self._clock(), self._monotonic()
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
                self._count(request, None, budget, tries)
            raise
        tries.duration_seconds = self._monotonic() - started
        self._count(request, reply.status, budget, tries)
        return reply

    def _count(self, request: Request, status: int | None, budget: Budget, tries: Tries) -> None:
        tries.sent += 1
        budget.count(request.endpoint, status)


def _may_help(error: BaseException, budget: Budget) -> bool:
    """Whether to try again after the error."""
    return isinstance(error, GhlError) and error.kind.retryable and budget.deadline.remaining > 0


def _read(read: Callable[[bytes], Content], reply: Reply, request: Request) -> Content:
    try:
        return read(reply.body)
    except GhlError as error:
        # The answers of the token paths are not quoted, because they may hold tokens.
        received = quoted(reply.body, *request.secrets) if request.method == "GET" else "a token's answer"
        text = f"{error.message}; received {received}"
        raise GhlError(error.kind, text, status=reply.status) from None
