"""When a schedule is due: a cron expression in a time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from ghl_snapshots.core.errors import ConfigurationError

_FIELDS = 5
_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)
# Long enough for every pattern of hours, weekdays and days of the month to show its longest pause.
_SAMPLE = timedelta(days=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A cron expression of five fields (minute, hour, day of month, month, day of week) and its time zone."""

    expression: str
    timezone: str

    def __post_init__(self) -> None:
        """Refuse what is never due, or cannot be understood, with a ConfigurationError."""
        if len(self.expression.split()) != _FIELDS:
            raise ConfigurationError(
                f"{self.expression!r} is not a cron expression of five fields (minute, hour, day of month, "
                "month, day of week), such as '0 2 * * *'"
            )
        zone(self.timezone)
        try:
            if next(self.ticks(_SOME_DAY), None) is None:
                raise ConfigurationError(f"the cron expression {self.expression!r} is never due")
        except CronSimError as error:
            problem = str(error)
            raise ConfigurationError(
                f"{self.expression!r} is not a cron expression: {problem[:1].lower()}{problem[1:]}"
            ) from None

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """Every moment after that one at which it is due, in UTC."""
        for tick in CronSim(self.expression, after.astimezone(zone(self.timezone))):
            yield tick.astimezone(UTC)

    def longest_pause(self, after: datetime) -> timedelta:
        """The longest time between one tick and the next in the month after that moment."""
        ticks = self.ticks(after)
        sampled = [*islice(ticks, 3), *takewhile(lambda tick: tick < after + _SAMPLE, ticks)]
        return max(later - earlier for earlier, later in pairwise(sampled))


def zone(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigurationError(f"{name!r} is not a time zone, such as Europe/Berlin or UTC") from None
