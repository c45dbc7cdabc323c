"""How GHL is asked on behalf of one tenant: how patiently, how persistently and how much at once."""

from dataclasses import dataclass, field

from ghl_snapshots.ghl.retries import Retries
from ghl_snapshots.ghl.transport import Timeouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The deployment's way of asking, with what one tenant overrides of it."""

    timeouts: Timeouts = field(default_factory=Timeouts)
    retries: Retries = field(default_factory=Retries)
    daily_reserve: float = 0.5
    """Part of the day's quota that is left to the customer's own integrations."""
    capture_timeout_seconds: float = 300.0
    concurrency: int = 32
    """Requests of one capture under way at once; a process never has more of them under way than its own."""
