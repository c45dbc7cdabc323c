"""Signals that end the process end it in order, and none is lost."""

import signal

import pytest

from ghl_snapshots.core.signals import deferred_signals, ended_by_signals


def receive(number: signal.Signals, done: list[str], failure: Exception | None = None) -> None:
    """Receive a signal in a block that ends by itself or with a failure."""
    with ended_by_signals(), deferred_signals():
        signal.raise_signal(number)
        done.append("the rest of the block")
        if failure is not None:
            raise failure


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_deferred_signal_takes_effect_after_the_block(number: signal.Signals) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        receive(number, done)
    assert done


def test_a_deferred_signal_is_not_lost_where_the_block_fails() -> None:
    with pytest.raises(KeyboardInterrupt):
        receive(signal.SIGTERM, [], OSError("disk full"))
