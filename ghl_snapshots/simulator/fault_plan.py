"""The faults in force, and the choice of the one that a request suffers."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from ghl_snapshots.simulator.faults import Effect, Fault
from ghl_snapshots.simulator.messages import Request


@dataclass(slots=True)
class InjectedFault:
    """A fault in force; `matched` and `hits` count the requests it saw and those it spoiled."""

    fault: Fault
    matched: int = 0
    hits: int = 0
    _plan: "FaultPlan | None" = field(default=None, repr=False)

    def remove(self) -> None:
        """Take the fault out of force; a second time does nothing."""
        if self._plan is not None:
            self._plan.remove(self)

    def hit(self) -> bool:
        """Count a matching request and say whether it is to be spoiled."""
        self.matched += 1
        turn = self.matched - self.fault.after
        if turn <= 0 or (self.fault.times is not None and turn > self.fault.times):
            return False
        self.hits += 1
        return True


class FaultPlan:
    """The faults in force; the first one that hits a request has it."""

    def __init__(self) -> None:
        self._injected: list[InjectedFault] = []
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether any is in force."""
        return bool(self._injected)

    def inject(self, fault: Fault) -> InjectedFault:
        """Put a fault in force."""
        with self._lock:
            injected = InjectedFault(fault, _plan=self)
            self._injected.append(injected)
            return injected

    def remove(self, injected: InjectedFault) -> None:
        """Take one out of force, if it is."""
        with self._lock:
            self._injected = [other for other in self._injected if other is not injected]

    def clear(self) -> None:
        """Take all out of force."""
        with self._lock:
            self._injected = []

    def effect(
        self, route: str, account_ids: frozenset[str], path: Mapping[str, str], request: Request
    ) -> Effect | None:
        """The effect that a request suffers."""
        with self._lock:
            for injected in self._injected:
                if injected.fault.matches(route, account_ids, path, request) and injected.hit():
                    return injected.fault.effect
        return None
