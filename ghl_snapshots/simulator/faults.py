"""Faults on demand: which requests are hit, and what goes wrong with the answer on its way to the client."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ghl_snapshots.simulator.messages import Reply, Request
from ghl_snapshots.simulator.routes import find_route


class Wire(Protocol):
    """What an effect can do to the client's connection."""

    def send(self, data: bytes) -> None:
        """Send the bytes."""

    def pause(self, seconds: float) -> None:
        """Wait; ends the exchange at once when the simulator stops."""

    def close(self) -> None:
        """End the exchange and close the connection in good order."""

    def reset(self) -> None:
        """End the exchange and close the connection with a TCP reset."""


class Effect:
    """What happens to a request that a fault hits; by itself nothing does."""

    @property
    def answered(self) -> bool:
        """Whether the client gets to see a status."""
        return True

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The reply to send; `answer` gives the right one."""
        return answer(request)

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Send the reply's head and body."""
        wire.send(head + body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond(Effect):
    """Answer with this instead; the request counts against no limit. `headers` override the usual ones."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The planned answer."""
        return Reply(status=self.status, body=self.body, headers=self.headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceBody(Effect):
    """Answer rightly but for the body, which `change` makes from the right one."""

    change: Callable[[bytes], bytes]

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The right answer with its body changed."""
        right = answer(request)
        return replace(right, body=self.change(right.body))


@dataclass(frozen=True, slots=True)
class StuckPage(Effect):
    """Answer with the first page whichever is asked for, and say that there is more."""

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The right answer to another question."""
        route, _ = find_route(request.path)
        first_page = route.paging.first_page if route and route.paging else {}
        right = answer(replace(request, query={**request.query, **first_page}))
        return replace(right, body=right.body.replace(b'"hasMore":false', b'"hasMore":true'))


@dataclass(frozen=True, slots=True)
class EndlessPages(Effect):
    """Answer with full pages of made-up entities, all different, of which there are a billion."""

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """A page of made-up entities."""
        return answer(replace(request, invent_entities=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortPage(Effect):
    """Answer as if at most so many entities had been asked for; the list goes on behind them."""

    entities: int

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The right answer to a smaller question."""
        route, _ = find_route(request.path)
        size = {route.paging.size: str(self.entities)} if route and route.paging else {}
        return answer(replace(request, query={**request.query, **size}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanwhile(Effect):
    """Answer rightly, but after something has happened in GHL: `happens` changes the simulated accounts."""

    happens: Callable[[], object]

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The right answer to the changed state."""
        self.happens()
        return answer(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang(Effect):
    """Answer rightly, but only after this time."""

    seconds: float

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Wait, then send."""
        wire.pause(self.seconds)
        wire.send(head + body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip(Effect):
    """Send the head at once and the body at this pace, ten times a second or byte by byte if slower."""

    bytes_per_second: float

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Send in small pieces with pauses."""
        wire.send(head)
        piece = max(1, int(self.bytes_per_second / 10))
        for start in range(0, len(body), piece):
            wire.pause(piece / self.bytes_per_second)
            wire.send(body[start : start + piece])


@dataclass(frozen=True, slots=True, kw_only=True)
class CutBody(Effect):
    """Announce the whole body, send only this much of it and close the connection."""

    after_bytes: int

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Send a part."""
        wire.send(head + body[: self.after_bytes])
        wire.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetConnection(Effect):
    """Reset the connection: before any answer, or `after_bytes` into the body."""

    after_bytes: int | None = None

    @property
    def answered(self) -> bool:
        """Whether the head is sent."""
        return self.after_bytes is not None

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Send what is to be sent and reset."""
        if self.after_bytes is not None:
            wire.send(head + body[: self.after_bytes])
        wire.reset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Which requests are hit and with what effect; a field that is None matches every request.

    `route` is a template such as `/locations/{locationId}/tags`. `location_id` and `company_id` match what
    the request names in its path, query or form as well as whose token it carries. `query` must be part of
    the request's. The first `after` matching requests pass, the next `times` (None: all) are hit.
    """

    effect: Effect
    route: str | None = None
    location_id: str | None = None
    company_id: str | None = None
    agent_id: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    times: int | None = None

    def matches(
        self, route: str, account_ids: frozenset[str], path: Mapping[str, str], request: Request
    ) -> bool:
        """Whether the request is one of those meant."""
        return (
            self.route in (None, route)
            and (self.location_id is None or self.location_id in account_ids)
            and (self.company_id is None or self.company_id in account_ids)
            and self.agent_id in (None, path.get("agentId"))
            and self.query.items() <= request.query.items()
        )
