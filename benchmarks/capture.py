"""How fast and how lean captures are.

python -m benchmarks.capture [--locations 50] [--large 2000] [--threads 32] [--repeat 3] [--brief]
    [--markdown]

About six minutes on two cores. Each row is the median of three runs, each in a process of its own against a
simulated GHL in another; those that take long run once. The rows of one latency and number of threads take
turns, so that a busy machine meets them alike, and `CPU/plain` is the median of each turn's ratio.
`ideal` is calls x latency over threads or, where that takes longer, the company's rate limit; of a single
location, which leaves threads idle, it is the longest chain of calls that follow from one another: so many
were answered one after the other. `CPU` is the client's alone. The first row of each is a plain loop that
neither checks nor stores: the same `requests` library, as many threads, each location's token in hand, the
first page of each list.
"""

import argparse
import math
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from statistics import median

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.capture_work import ALL_TYPES, Capturing, Done, PlainLoop, Storing, World, median_of
from ghl_snapshots.simulator.server import Simulator

_SPAWN = multiprocessing.get_context("spawn")
_HEADINGS = (
    "locations",
    "threads",
    "latency",
    "what",
    "calls",
    "429s",
    "records",
    "wall s",
    "calls/s",
    "ideal s",
    "wall/ideal",
    "CPU ms a call",
    "CPU/plain",
    "peak MB",
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table; `work` is done against a base URL."""

    name: str
    world: World
    work: Callable[[str, World], Done]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that take turns; the first one is the plain loop that the others' CPU is compared with."""

    rows: Sequence[Row]
    once: bool = False
    """They take so long that they run once."""


def brief(locations: int, threads: int) -> Iterator[Group]:
    """One typical location and an agency of them, stored, at two latencies and by GHL's own limits."""
    for latency in (20, 100):
        for world in (
            World(locations=1, threads=threads, latency_ms=latency),
            World(locations=locations, threads=threads, latency_ms=latency),
        ):
            yield Group(rows=[*_plain(world), *_stored(world)])
    world = World(locations=1, threads=threads, latency_ms=100, burst=100)
    yield Group(rows=[*_plain(world), Row(name="100 in 10 s, stored", world=world, work=Storing())])


def groups(locations: int, large: int, threads: int) -> Iterator[Group]:
    """Every line of the table, in order."""
    for latency in (0, 20, 100):
        world = World(locations=locations, threads=threads, latency_ms=latency)
        yield Group(rows=[*_plain(world), *_captures(world), *_stored(world)])
    # Fewer threads, at which the latency and not this machine is what is waited for.
    for part in (2, 4):
        world = World(locations=locations, threads=threads // part, latency_ms=20)
        yield Group(rows=[*_plain(world), *_stored(world)])
    tight = World(locations=locations, threads=threads, latency_ms=20, burst=20, interval_seconds=1.0)
    yield Group(
        rows=[
            *_plain(World(locations=locations, threads=threads, latency_ms=20)),
            Row(name="20 a second, limiter off", world=tight, work=Capturing(limited=False, at_once=True)),
            Row(name="20 a second, limiter on", world=tight, work=Capturing(at_once=True)),
        ]
    )
    many = World(locations=4 * locations, threads=threads, latency_ms=20)
    yield Group(
        once=True,
        rows=[
            *_plain(many),
            Row(
                name="20 a second, limiter on",
                world=replace(many, burst=20, interval_seconds=1.0),
                work=Capturing(at_once=True),
            ),
            Row(name="100 in 10 s, stored", world=replace(many, burst=100), work=Storing()),
        ],
    )
    if large:
        world = World(locations=large, threads=threads)
        yield Group(
            once=True,
            rows=[
                *_plain(replace(world, locations=locations)),
                *(
                    Row(name=f"type {snapshot_type}", world=world, work=Capturing(types=(snapshot_type,)))
                    for snapshot_type in ALL_TYPES
                ),
            ],
        )


def _plain(world: World) -> Iterator[Row]:
    yield Row(name="plain requests loop", world=world, work=PlainLoop())


def _captures(world: World) -> Iterator[Row]:
    yield Row(name="one type after the other", world=world, work=Capturing())
    yield Row(name="types at once, limiter off", world=world, work=Capturing(limited=False, at_once=True))
    yield Row(name="types at once, limiter on", world=world, work=Capturing(at_once=True))


def _stored(world: World) -> Iterator[Row]:
    yield Row(name="types at once, stored", world=world, work=Storing())
    yield Row(name="the same again", world=world, work=Storing(again=True))


def run(row: Row) -> Done:
    """Do a row's work in a process of its own, with GHL in another."""
    channel, far = _SPAWN.Pipe()
    server = _SPAWN.Process(target=_serve, args=(far, row.world))
    server.start()
    far.close()
    base_url = channel.recv()
    answer, sender = _SPAWN.Pipe(duplex=False)
    client = _SPAWN.Process(target=_work, args=(sender, base_url, row))
    client.start()
    sender.close()
    try:
        done: Done = answer.recv()
        channel.send(done.began_at)
        in_a_row = channel.recv() if row.world.locations == 1 else 0
    finally:
        client.join()
        channel.close()
        server.join()
    return replace(done, in_a_row=in_a_row)


def _work(answer: Connection, base_url: str, row: Row) -> None:
    answer.send(row.work(base_url, row.world))


def _serve(channel: Connection, world: World) -> None:
    """Serve a world in this process until the other end hangs up, with or without having read everything."""
    with Simulator(
        world.accounts(),
        latency_seconds=world.latency_ms / 1000,
        burst_limit=world.burst,
        burst_window_seconds=world.interval_seconds,
        daily_limit=10**9,
    ) as simulator:
        channel.send(simulator.base_url)
        with suppress(EOFError, ConnectionResetError):
            began_at = channel.recv()
            answered = sorted(each.at.timestamp() for each in simulator.request_log)
            channel.send(_in_a_row([at for at in answered if at > began_at], world.latency_ms / 1000))
            channel.recv()


def _in_a_row(moments: Sequence[float], latency_seconds: float) -> int:
    """How many requests at most were each answered a latency after the one before."""
    count, before = 0, -math.inf
    for moment in moments:
        if moment >= before + latency_seconds:
            count, before = count + 1, moment
    return count


def main() -> None:
    """Run every row and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locations", type=int, default=50, help="locations of the agency (50)")
    parser.add_argument("--large", type=int, default=2000, help="of the large agency; 0 leaves it out (2000)")
    parser.add_argument("--threads", type=int, default=32, help="requests under way at once (32)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each row; the table has medians (3)")
    parser.add_argument("--brief", action="store_true", help="one location and the agency, stored, only")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    options = parser.parse_args()
    table = Table(box=box.MARKDOWN if options.markdown else box.HEAVY_HEAD)
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "what" else "right", no_wrap=True)
    chosen = (
        brief(options.locations, options.threads)
        if options.brief
        else groups(options.locations, options.large, options.threads)
    )
    for group in chosen:
        turns = [[run(row) for row in group.rows] for _ in range(1 if group.once else options.repeat)]
        for number, row in enumerate(group.rows):
            to_plain = median(turn[number].cpu_a_call / turn[0].cpu_a_call for turn in turns)
            table.add_row(*_cells(row, median_of([turn[number] for turn in turns]), to_plain))
    Console(width=180).print(table)


def _cells(row: Row, done: Done, to_plain: float) -> list[str]:
    ideal = row.world.ideal_seconds(done)
    return [
        f"{row.world.locations}",
        f"{row.world.threads}",
        f"{row.world.latency_ms} ms",
        row.name,
        f"{done.calls:.0f}",
        f"{done.refused:.0f}",
        f"{done.records:.0f}",
        f"{done.wall_seconds:.2f}",
        f"{done.calls / done.wall_seconds:.0f}",
        f"{ideal:.2f}" if ideal else "",
        f"{done.wall_seconds / ideal:.2f}" if ideal else "",
        f"{done.cpu_a_call * 1000:.2f}",
        f"{to_plain:.2f}",
        f"{done.peak_mb:.0f}",
    ]


if __name__ == "__main__":
    main()
