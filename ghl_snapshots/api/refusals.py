"""How often each caller was refused lately: nobody may fill the audit trail, which nobody may purge.

Every refused call is in the log. In the audit trail are those with a key, and of the others the first of each
address in a minute, sixty a minute of all addresses together; the next event of an address says how many have
none. Past a number of them the answer is that alone.
"""

import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

_SECONDS = 60.0
_MAX_ADDRESSES = 1000
_OTHERS = "others"
"""All addresses together beyond the most that are counted apart."""
_IPV6_NETWORK_BITS = 64
"""What one machine has of IPv6 addresses by itself."""


@dataclass(slots=True, kw_only=True)
class _Minute:
    ends: float
    calls: int = 0
    unrecorded: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One of a caller's refused calls."""

    recorded: bool
    """Whether it is to be an event of the audit trail."""
    unrecorded: int
    """The caller's calls without an event since the last one that has one."""
    wait_seconds: int
    """How long the caller must wait, because it was refused too often; 0 if it need not."""


@dataclass(slots=True, kw_only=True)
class Refusals:
    """The refused calls of the last minute by caller, in this process. Thread-safe."""

    per_minute: int = 60
    """Of a caller; and so many events a minute of all calls without a key."""
    clock: Callable[[], float] = time.monotonic
    _keys: dict[str, _Minute] = field(default_factory=dict)
    _addresses: dict[str, _Minute] = field(default_factory=dict)
    _strangers: _Minute = field(default_factory=lambda: _Minute(ends=0.0))
    """The events of calls without a key; its calls are those."""
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def count(self, *, key_id: str | None, address: str) -> Refusal:
        """Count a refused call of the key, or of the address that none was sent from."""
        with self._mutex:
            now = self.clock()
            minute = self._of_key(key_id, now) if key_id else self._of_address(_network(address), now)
            minute.calls += 1
            excess = minute.calls > self.per_minute
            recorded = not excess and (key_id is not None or (minute.calls == 1 and self._has_room(now)))
            unrecorded, minute.unrecorded = minute.unrecorded, 0 if recorded else minute.unrecorded + 1
            wait_seconds = max(1, round(minute.ends - now)) if excess else 0
            return Refusal(recorded=recorded, unrecorded=unrecorded, wait_seconds=wait_seconds)

    def _of_key(self, key_id: str, now: float) -> _Minute:
        self._keys[key_id] = minute = _current(self._keys.get(key_id), now)
        return minute

    def _of_address(self, address: str, now: float) -> _Minute:
        if address not in self._addresses and len(self._addresses) >= _MAX_ADDRESSES:
            self._addresses = {name: each for name, each in self._addresses.items() if each.ends > now}
            if len(self._addresses) >= _MAX_ADDRESSES:
                address = _OTHERS
        self._addresses[address] = minute = _current(self._addresses.get(address), now)
        return minute

    def _has_room(self, now: float) -> bool:
        """Whether a call without a key can still be an event of this minute; it is, if so."""
        self._strangers = _current(self._strangers, now)
        self._strangers.calls += 1
        return self._strangers.calls <= self.per_minute


def _current(minute: _Minute | None, now: float) -> _Minute:
    """The minute, or the one after it if it is over."""
    if minute is not None and minute.ends > now:
        return minute
    return _Minute(ends=now + _SECONDS, unrecorded=minute.unrecorded if minute else 0)


def _network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed.packed, _IPV6_NETWORK_BITS), strict=False))
    return address
