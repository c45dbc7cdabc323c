"""What rounds of trouble cost, counted and in a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.measuring import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was acknowledged, of it lost or stored twice, and how long something took afterwards."""

    acknowledged: int
    lost: int
    doubled: int
    seconds: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of a table."""
        took = "" if self.seconds is None else f"{self.seconds:.1f} s"
        return str(self.acknowledged), str(self.lost), str(self.doubled), took


def together(rounds: Sequence[Round]) -> Round:
    """The sum; of the seconds the most."""
    return Round(
        acknowledged=sum(each.acknowledged for each in rounds),
        lost=sum(each.lost for each in rounds),
        doubled=sum(each.doubled for each in rounds),
        seconds=max((each.seconds for each in rounds if each.seconds is not None), default=None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubles:
    """The rounds of each trouble."""

    title: str
    took: str
    """What the seconds are."""
    rounds: Mapping[str, Sequence[Round]]

    @property
    def together(self) -> Round:
        """All of it."""
        return together([each for rounds in self.rounds.values() for each in rounds])

    def print(self, *, markdown: bool) -> None:
        """Show a row for each trouble."""
        table = Comparison(self.title, "acknowledged", "lost", "doubled", self.took, markdown=markdown)
        for trouble, rounds in self.rounds.items():
            table.row(trouble, *together(rounds).cells)
        table.row("together", *self.together.cells[:3])
        table.print()
