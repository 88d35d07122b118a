"""Holding back Ctrl-C: noted inside the block, delivered at its end, and only once."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from absdb.wal.interrupt import HeldInterrupts


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A program started in the background may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    _thread.interrupt_main()
    time.sleep(0.001)


def test_a_signal_is_delivered_at_the_end_of_the_block() -> None:
    done = False

    def work() -> None:
        nonlocal done
        with HeldInterrupts():
            interrupt()
            interrupt()
            done = True

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_the_programs_own_handler_is_kept_and_called_once() -> None:
    calls: list[int] = []

    def own(number: int, frame: object) -> None:
        calls.append(number)

    before = signal.signal(signal.SIGINT, own)
    try:
        with HeldInterrupts():
            interrupt()
            interrupt()
            assert calls == []
        assert calls == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_nested_blocks_leave_it_to_the_outermost() -> None:
    reached = False

    def work() -> None:
        nonlocal reached
        with HeldInterrupts():
            with HeldInterrupts():
                interrupt()
            reached = True

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached


def test_a_block_that_raises_restores_the_handler() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="mine"), HeldInterrupts():
        raise ValueError("mine")
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with HeldInterrupts():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with HeldInterrupts() as held:
            seen.append((held.main, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]
