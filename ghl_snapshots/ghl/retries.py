"""How often a request is tried, and how long is waited in between."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a request is tried, the first time included, and how long is waited in between.

    The wait before try n is a random part of `first_wait_seconds` x 2^(n-2), or of `longest_wait_seconds` if
    that is less.
    """

    max_attempts: int = 4
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 20.0

    def wait(self, attempts: int) -> float:
        """Seconds to wait after so many attempts."""
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** (attempts - 1))
        return random.uniform(0.0, longest)  # noqa: S311 (spreads load, guards nothing)
