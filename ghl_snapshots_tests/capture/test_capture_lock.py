"""At most one capture of a tenant and type at a time, and every trigger gets its own."""

import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from itertools import pairwise
from typing import TypeAlias

import pytest

from ghl_snapshots.capture.capture_lock import CaptureLock
from ghl_snapshots.capture.composition import capture_engine, open_database
from ghl_snapshots.capture.locked_captures import CaptureFailure, CaptureResult, LockedCaptures
from ghl_snapshots.core.errors import SnapshotRefusedError
from ghl_snapshots.core.model import Capture, SnapshotType, Source
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.ledger.append import Appended
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.session_locks import SessionLocks
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots.simulator.faults import Fault, Hang
from ghl_snapshots_tests.orchestration.product import Product

pytestmark = pytest.mark.slow

WORKFLOWS = SnapshotType.WORKFLOWS
Store: TypeAlias = Callable[[Capture], Appended]
PROGRAM = """
import sys
from ghl_snapshots.definitions import all_definitions
from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.orchestration.launch import capture_now

print("ready", flush=True)
sys.stdin.readline()
types = [SnapshotType.WORKFLOWS, SnapshotType.PIPELINES]
launched = capture_now(all_definitions(), ["t00", "t01", "t02", "t03"], types, reason="test")
sys.exit(0 if launched.success else str(launched.failures))
"""


def captured_at_once(processes: int) -> Sequence[int]:
    """The exit codes of processes that begin to capture the same tenants at the same moment."""
    command = [sys.executable, "-c", PROGRAM]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=120)
    return [process.returncode for process in started]


def assert_one_after_the_other(product: Product, *, captures: int, of: int) -> None:
    """So many captures of so many tenants and types, none of which overlap."""
    spans: dict[tuple[object, object], list[tuple[object, object]]] = {}
    for row in product.rows(
        "SELECT tenant_id, snapshot_type, correlation_id, captured_at, "
        "captured_at + duration_ms * interval '1 ms' AS ended FROM ghl.snapshot ORDER BY captured_at"
    ):
        spans.setdefault((row["tenant_id"], row["snapshot_type"]), []).append(
            (row["captured_at"], row["ended"])
        )
    assert len(spans) == of
    for times in spans.values():
        assert len(times) == captures
        for (_, ended), (began, _) in pairwise(times):
            assert ended - began < timedelta(milliseconds=1), "a duration is kept in whole milliseconds"  # type: ignore[operator]


def test_two_processes_capture_the_same_tenants_one_after_the_other(product: Product) -> None:
    product.simulator.latency_seconds = 0.3
    assert captured_at_once(2) == [0, 0]
    assert_one_after_the_other(product, captures=2, of=8)


class WatchedLock(CaptureLock):
    """The lock, which notes how many locks its run holds whenever it waits for another one."""

    def __init__(self, locks: SessionLocks) -> None:
        super().__init__(locks)
        self.held = 0
        self.held_while_waiting: list[int] = []

    @contextmanager
    def acquire(
        self, tenant_id: str, snapshot_type: SnapshotType, *, timeout_seconds: float = 0.0
    ) -> Iterator[bool]:
        if timeout_seconds > 0:
            self.held_while_waiting.append(self.held)
        with super().acquire(tenant_id, snapshot_type, timeout_seconds=timeout_seconds) as acquired:
            self.held += acquired
            try:
                yield acquired
            finally:
                self.held -= acquired


class Run:
    """What a run has of its own: an engine, and a connection that holds its locks."""

    def __init__(self, product: Product, database: Database, stack: ExitStack, **settings: float) -> None:
        self.product = product
        self.ledger = Ledger(database)
        changed = product.settings.model_copy(update=settings)
        engine = stack.enter_context(capture_engine(changed, database))
        self.lock = WatchedLock(stack.enter_context(SessionLocks(database)))
        self.captures = LockedCaptures(engine, self.lock, timeout_seconds=60)

    def capture_all(
        self, tenant_ids: Iterable[str], *, trigger: str = "manual_1", store: Store | None = None
    ) -> Generator[CaptureResult]:
        """Capture the workflows of the tenants in this order."""
        tenants = (self.product.tenants[tenant_id] for tenant_id in tenant_ids)
        return self.captures.capture_all(
            tenants,
            WORKFLOWS,
            source=Source.MANUAL,
            correlation_id=trigger,
            store=store or self.ledger.append,
        )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def database(product: Product, stack: ExitStack) -> Database:
    return stack.enter_context(open_database(product.settings))


def test_two_runs_that_take_the_same_tenants_in_opposite_order_capture_each_once(
    product: Product, database: Database, stack: ExitStack
) -> None:
    """Each tries the other's first tenant while both hold the lock of their own first one."""
    both_hold_a_lock = threading.Barrier(4, timeout=60)
    runs = [Run(product, database, stack, concurrency=2) for _ in range(2)]
    second_was_tried = {run: threading.Event() for run in runs}

    def capture(run: Run, tenant_ids: Sequence[str], trigger: str) -> list[CaptureResult]:
        def coming() -> Iterator[str]:
            yield tenant_ids[0]
            both_hold_a_lock.wait()
            yield tenant_ids[1]
            second_was_tried[run].set()
            yield from tenant_ids[2:]

        def store(capture: Capture) -> Appended:
            if capture.tenant_id == tenant_ids[0]:
                both_hold_a_lock.wait()
                assert all(event.wait(60) for event in second_was_tried.values())
            return run.ledger.append(capture)

        return list(run.capture_all(coming(), trigger=trigger, store=store))

    with ThreadPoolExecutor(2) as threads:
        there = threads.submit(capture, runs[0], ["t00", "t04", "t01", "t02", "t03"], "manual_there")
        back = threads.submit(capture, runs[1], ["t04", "t00", "t03", "t02", "t01"], "manual_back")
        results = [*there.result(120), *back.result(120)]
    assert {held for run in runs for held in run.lock.held_while_waiting} == {0}
    assert [result for result in results if isinstance(result, CaptureFailure)] == []
    assert_one_after_the_other(product, captures=2, of=5)
    rows = product.rows("SELECT DISTINCT tenant_id, correlation_id FROM ghl_snapshot")
    assert len(rows) == len(results) == 10


def test_the_lock_is_held_until_the_capture_is_stored(
    product: Product, database: Database, stack: ExitStack
) -> None:
    run, other = Run(product, database, stack), stack.enter_context(SessionLocks(database))
    free_while_storing = []

    def store(capture: Capture) -> Appended:
        free_while_storing.append(other.try_lock("capture t00 workflows"))
        return run.ledger.append(capture)

    [stored] = run.capture_all(["t00"], store=store)
    assert isinstance(stored, Appended)
    assert free_while_storing == [False]
    assert other.try_lock("capture t00 workflows"), "it is free again"


def test_a_capture_that_is_refused_costs_no_other_tenant_and_frees_its_lock(
    product: Product, database: Database, stack: ExitStack
) -> None:
    run, other = Run(product, database, stack), stack.enter_context(SessionLocks(database))

    def store(capture: Capture) -> Appended:
        if capture.tenant_id == "t01":
            raise SnapshotRefusedError("not this one")
        return run.ledger.append(capture)

    results = list(run.capture_all(["t00", "t01", "t02"], store=store))
    [failure] = [result for result in results if isinstance(result, CaptureFailure)]
    assert failure == CaptureFailure(tenant_id="t01", status="not stored", cause="not this one")
    assert len(results) == 3
    assert other.try_lock("capture t01 workflows")


def test_a_capture_that_is_broken_off_is_not_stored(
    product: Product, database: Database, stack: ExitStack
) -> None:
    """It would say that GHL had failed."""
    hanging = product.tenants["t01"].ghl_account_id
    product.simulator.inject(Fault(effect=Hang(seconds=60), route="/workflows/", location_id=hanging))
    run = Run(product, database, stack, read_timeout_seconds=1)
    with closing(run.capture_all(["t01", "t00"])) as results:
        assert isinstance(next(results), Appended)
    rows = product.rows("SELECT tenant_id FROM ghl_snapshot")
    assert [row["tenant_id"] for row in rows] == ["t00"]


def test_a_tenant_whose_lock_is_never_free_is_named_and_the_others_are_captured(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_CAPTURE_TIMEOUT_SECONDS", "1")
    with open_database(product.settings) as database, SessionLocks(database) as locks:
        for tenant in ("t01", "t02"):
            assert locks.try_lock(f"capture {tenant} workflows")
        launched = capture_now(all_definitions(), product.tenant_ids, [WORKFLOWS], reason="test")
    [failure] = launched.failures
    assert "t01 (busy): another run was still capturing it" in failure
    assert "t02 (busy)" in failure
    rows = product.rows("SELECT tenant_id FROM ghl_snapshot ORDER BY tenant_id")
    assert [row["tenant_id"] for row in rows] == ["t00", "t03", "t04"]
