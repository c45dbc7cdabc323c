"""Work on several items at once comes to an end when nobody wants the rest."""

import threading

import pytest

from ghl_snapshots.ledger.parallel_map import parallel_map


def test_results_come_in_the_order_of_their_items() -> None:
    first_waits = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            first_waits.wait(10)
        else:
            first_waits.set()
        return item * 2

    assert list(parallel_map(work, range(20))) == [2 * item for item in range(20)]


def test_what_waits_is_not_begun_after_a_failure() -> None:
    """Ctrl-C in a long verification ends it after what is under way."""
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError(item)
        failed.wait(10)
        return item

    failed = threading.Event()
    threading.Timer(0.5, failed.set).start()
    with pytest.raises(ValueError, match="0"):
        list(parallel_map(work, range(100)))
    assert len(begun) < 4
