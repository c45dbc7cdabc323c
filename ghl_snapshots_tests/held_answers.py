"""Answers of the simulated GHL that are made, but sent only when a test says so."""

import threading
from dataclasses import dataclass

from ghl_snapshots.simulator.faults import Effect, Fault, Wire
from ghl_snapshots.simulator.server import Simulator

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class HoldBack(Effect):
    """The answer is made, and the refresh token spent, but the answer is sent only when it is released."""

    reached: threading.Event
    released: threading.Event

    def deliver(self, wire: Wire, head: bytes, body: bytes) -> None:
        """Say so and wait."""
        self.reached.set()
        self.released.wait(TIMEOUT_SECONDS)
        wire.send(head + body)


def hold_back(simulator: Simulator, route: str, location_id: str | None = None) -> HoldBack:
    """Have the next answer of a route held back, or the next one to a location."""
    effect = HoldBack(threading.Event(), threading.Event())
    simulator.inject(Fault(effect=effect, route=route, location_id=location_id, times=1))
    return effect
