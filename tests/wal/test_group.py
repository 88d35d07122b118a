"""Group commit: every request once and in order, errors to whom they belong, leadership always handed on."""

from __future__ import annotations

import _thread
import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from absdb.errors import AbsdbError, ConflictError, EnginePoisonedError, InvalidInputError, StateError
from absdb.wal.group import GroupCommit, Request, _Chain


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """A program started in the background may have been told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Job(Request):
    __slots__ = ("result", "value")

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value
        self.result = -1


def run_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in so many threads at once; fails if one hangs or raises."""
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def body(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive(), "a thread waits for ever"
    if failures:
        raise failures[0]


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(20_000):
        if condition():
            return
        time.sleep(0.0005)
    raise AssertionError("it did not come to this")


@pytest.mark.parametrize("threads", [1, 2, 16, 64])
def test_every_request_is_done_exactly_once(threads: int) -> None:
    log: list[int] = []
    sizes: list[int] = []

    def lead(batch: list[Job]) -> None:
        sizes.append(len(batch))
        for job in batch:
            job.result = len(log)
            log.append(job.value)

    group = GroupCommit(lead, batch_limit=8, wait_s=0.001)

    def work(number: int) -> None:
        mine = []
        for index in range(100):
            job = Job(number * 1000 + index)
            group.submit(job)
            assert job.done
            assert log[job.result] == job.value
            mine.append(job.result)
        assert mine == sorted(mine)

    run_threads(threads, work)
    assert sorted(log) == sorted(n * 1000 + i for n in range(threads) for i in range(100))
    assert 1 <= min(sizes) <= max(sizes) <= 8


def test_threads_share_batches() -> None:
    sizes: list[int] = []

    def lead(batch: list[Job]) -> None:
        sizes.append(len(batch))
        time.sleep(0.0005)

    group = GroupCommit(lead)
    run_threads(32, lambda number: [group.submit(Job(number)) for _ in range(20)] and None)
    assert sum(sizes) == 640
    assert len(sizes) < 320


def test_a_thread_alone_does_not_wait_for_others() -> None:
    group = GroupCommit(lambda batch: None, wait_s=10.0)
    for number in range(100):
        group.submit(Job(number))


def test_a_leader_waits_for_those_that_committed_last_time_but_not_for_ever() -> None:
    sizes: list[int] = []
    group = GroupCommit(lambda batch: sizes.append(len(batch)), wait_s=0.004)
    group._seen = 64
    group.submit(Job(1))
    assert sizes == [1]
    assert group._seen == 1


def test_a_leader_that_is_called_just_after_its_patience_ran_out_is_not_called_twice() -> None:
    """Somebody completes the batch between the leader's last wait and its look at the queue."""
    group = GroupCommit(lambda batch: None)
    real = group._full

    class Late:
        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
            if timeout < 0:
                return real.acquire(blocking=False)
            group._target = 0
            real.release()
            return False

    group._full = Late()  # type: ignore[assignment]
    group._seen = 64
    group.submit(Job(1))
    assert real.locked()


def test_threads_are_woken_one_after_the_other_unless_one_is_held_up() -> None:
    jobs = [Job(number) for number in range(5)]
    for job in jobs:
        job._gate = threading.Lock()
        job._gate.acquire()

    def woken() -> list[int]:
        return [job.value for job in jobs if job._gate is not None and not job._gate.locked()]

    chain = _Chain(list(jobs))
    chain._stepped_s = math.inf
    chain.step()
    assert woken() == [0]
    chain._stepped_s = math.inf
    chain.step()
    assert woken() == [0, 1]
    chain._stepped_s = -math.inf
    chain.step()
    assert woken() == [0, 1, 2, 3, 4]
    chain.step()


def test_a_leader_waits_for_most_of_the_others() -> None:
    targets: list[int] = []
    group = GroupCommit(lambda batch: None)

    class Full:
        def acquire(self, timeout: float = -1) -> bool:
            targets.append(group._target)
            return False

    group._full = Full()  # type: ignore[assignment]
    group._seen = 16
    group.submit(Job(1))
    assert targets == [15]


def test_errors_go_to_the_thread_they_belong_to() -> None:
    def lead(batch: list[Job]) -> None:
        for job in batch:
            if job.value % 3 == 0:
                job.error = ConflictError(f"job {job.value}")

    group = GroupCommit(lead)

    def work(number: int) -> None:
        for index in range(50):
            value = number * 100 + index
            if value % 3:
                group.submit(Job(value))
            else:
                with pytest.raises(ConflictError, match=f"job {value}$"):
                    group.submit(Job(value))

    run_threads(16, work)


def test_when_the_leader_fails_everyone_in_its_batch_gets_an_error_of_his_own() -> None:
    blame = EnginePoisonedError("the disk is gone", hint="reopen", lsn=5)
    entered, go_on = threading.Event(), threading.Event()
    calls: list[int] = []

    def lead(batch: list[Job]) -> None:
        calls.append(len(batch))
        if len(calls) == 1:
            entered.set()
            go_on.wait(10)
            return
        raise blame

    group = GroupCommit(lead)
    errors: list[EnginePoisonedError] = []

    def work(number: int) -> None:
        if number == 0:
            group.submit(Job(0))
            return
        entered.wait(10)
        if number == 9:
            wait_until(lambda: len(group._queue) == 8)
            go_on.set()
            return
        with pytest.raises(EnginePoisonedError) as caught:
            group.submit(Job(number))
        errors.append(caught.value)

    run_threads(10, work)
    assert calls == [1, 8]
    assert len({id(error) for error in errors}) == 8
    assert all(error.__cause__ is blame and error is not blame for error in errors)
    assert {(error.message, error.hint, error.lsn) for error in errors} == {("the disk is gone", "reopen", 5)}


def test_a_defect_in_the_leader_is_told_as_one() -> None:
    def lead(batch: list[Job]) -> None:
        raise ZeroDivisionError("oops")

    group = GroupCommit(lead)
    with pytest.raises(AbsdbError, match="ZeroDivisionError: oops") as caught:
        group.submit(Job(1))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_group_goes_on_after_a_failure() -> None:
    fail = True

    def lead(batch: list[Job]) -> None:
        if fail:
            raise ConflictError("no")

    group = GroupCommit(lead)
    with pytest.raises(ConflictError):
        group.submit(Job(1))
    fail = False
    group.submit(Job(2))


def test_queue_order_is_batch_order() -> None:
    entered, go_on = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def lead(batch: list[Job]) -> None:
        batches.append([job.value for job in batch])
        if len(batches) == 1:
            entered.set()
            go_on.wait(10)

    group = GroupCommit(lead, batch_limit=4)

    def work(number: int) -> None:
        if number:
            entered.wait(10)
            wait_until(lambda: len(group._queue) == number - 1)
        group.submit(Job(number))

    opener = threading.Thread(target=lambda: (wait_until(lambda: len(group._queue) == 10), go_on.set()))
    opener.start()
    run_threads(11, work)
    opener.join()
    assert batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_an_exclusive_section_has_its_place_in_the_queue() -> None:
    entered, go_on = threading.Event(), threading.Event()
    events: list[object] = []

    def lead(batch: list[Job]) -> None:
        events.append([job.value for job in batch])
        if len(events) == 1:
            entered.set()
            go_on.wait(10)

    group = GroupCommit(lead)

    def work(number: int) -> None:
        if number:
            entered.wait(10)
            wait_until(lambda: len(group._queue) == number - 1)
        if number == 3:
            with group.exclusive():
                events.append("exclusive")
                time.sleep(0.002)
                events.append("end")
        else:
            group.submit(Job(number))

    opener = threading.Thread(target=lambda: (wait_until(lambda: len(group._queue) == 5), go_on.set()))
    opener.start()
    run_threads(6, work)
    opener.join()
    assert events == [[0], [1, 2], "exclusive", "end", [4, 5]]


def test_sections_and_commits_never_overlap() -> None:
    busy = 0
    total = 0

    def alone() -> None:
        nonlocal busy, total
        busy += 1
        assert busy == 1
        if random.random() < 0.2:
            time.sleep(0.0001)
        total += 1
        busy -= 1

    group = GroupCommit(lambda batch: alone(), batch_limit=1)

    def work(number: int) -> None:
        for index in range(40):
            if (number + index) % 4:
                group.submit(Job(index))
            else:
                with group.exclusive():
                    alone()

    run_threads(16, work)
    assert total == 640


def test_an_exclusive_section_that_fails_lets_others_go_on() -> None:
    group = GroupCommit(lambda batch: None)
    with pytest.raises(ValueError, match="mine"), group.exclusive():
        raise ValueError("mine")
    group.submit(Job(1))
    with group.exclusive():
        pass


def test_waiting_for_oneself_is_refused() -> None:
    group = GroupCommit(lambda batch: group.submit(Job(2)))
    with pytest.raises(StateError, match="cannot wait for itself"):
        group.submit(Job(1))
    with group.exclusive(), pytest.raises(StateError, match="cannot wait for itself"):
        group.submit(Job(1))
    with group.exclusive(), pytest.raises(StateError, match="cannot wait for itself"), group.exclusive():
        pass


def test_a_request_is_submitted_once() -> None:
    group = GroupCommit(lambda batch: None)
    job = Job(1)
    group.submit(job)
    with pytest.raises(StateError, match="only once"):
        group.submit(job)


@pytest.mark.parametrize(("limit", "wait"), [(0, 0.1), (1, -1.0)])
def test_impossible_settings_are_refused(limit: int, wait: float) -> None:
    with pytest.raises(InvalidInputError):
        GroupCommit(lambda batch: None, batch_limit=limit, wait_s=wait)


# -- Ctrl-C in the main thread


class Stage:
    """A group whose first batch is held by another thread until told to go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.group = GroupCommit(self.lead)
        self.other = threading.Thread(target=self.group.submit, args=(Job(0),), daemon=True)
        self.other.start()
        self.entered.wait(10)

    def lead(self, batch: list[Job]) -> None:
        self.batches.append([job.value for job in batch])
        if len(self.batches) == 1:
            self.entered.set()
            self.go_on.wait(10)

    def finish(self) -> None:
        self.go_on.set()
        self.other.join(10)
        self.group.submit(Job(99))
        assert self.batches[-1] == [99]
        assert self.group._leader is None
        assert not self.group._queue


def interrupt_when(condition: Callable[[], bool]) -> threading.Thread:
    def wait() -> None:
        wait_until(condition)
        _thread.interrupt_main()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_ctrl_c_takes_a_waiting_request_out_of_the_queue() -> None:
    stage = Stage()
    thread = interrupt_when(lambda: len(stage.group._queue) == 1)
    job = Job(1)
    with pytest.raises(KeyboardInterrupt):
        stage.group.submit(job)
    thread.join()
    assert not job.done
    stage.finish()
    assert stage.batches == [[0], [99]]


def test_ctrl_c_takes_a_waiting_section_out_of_the_queue() -> None:
    stage = Stage()
    thread = interrupt_when(lambda: len(stage.group._queue) == 1)
    with pytest.raises(KeyboardInterrupt), stage.group.exclusive():
        raise AssertionError("the section was entered")
    thread.join()
    stage.finish()


def test_ctrl_c_waits_for_a_request_that_is_being_worked_on() -> None:
    """The main thread's request is in the batch of another thread when the signal comes."""
    held, go_on = threading.Event(), threading.Event()
    stage = Stage()

    def lead(batch: list[Job]) -> None:
        Stage.lead(stage, batch)
        if 1 in stage.batches[-1]:
            held.set()
            go_on.wait(10)

    stage.group._lead = lead
    second = threading.Thread(target=stage.group.submit, args=(Job(5),), daemon=True)
    second.start()
    wait_until(lambda: len(stage.group._queue) == 1)

    third = threading.Thread(target=stage.group.submit, args=(Job(6),), daemon=True)

    def script() -> None:
        wait_until(lambda: len(stage.group._queue) == 2)
        third.start()
        wait_until(lambda: len(stage.group._queue) == 3)
        stage.go_on.set()
        held.wait(10)
        _thread.interrupt_main()
        time.sleep(0.1)
        go_on.set()

    director = threading.Thread(target=script)
    director.start()
    job = Job(1)
    with pytest.raises(KeyboardInterrupt):
        stage.group.submit(job)
    assert job.done
    director.join()
    second.join(10)
    third.join(10)
    assert not third.is_alive(), "the one behind the interrupted thread was not woken"
    stage.finish()
    assert stage.batches == [[0], [5, 1, 6], [99]]


def test_ctrl_c_does_not_stop_a_leader_in_its_work() -> None:
    steps: list[str] = []

    def lead(batch: list[Job]) -> None:
        steps.append("begin")
        _thread.interrupt_main()
        time.sleep(0.001)
        steps.append("end")

    group = GroupCommit(lead)
    job = Job(1)
    with pytest.raises(KeyboardInterrupt):
        group.submit(job)
    assert steps == ["begin", "end"]
    assert job.done
    assert group._leader is None


def test_leadership_that_arrives_with_an_interrupt_is_passed_on() -> None:
    """An exception ends the wait just when the request has become the head of the queue."""
    group = GroupCommit(lambda batch: None)
    with group.exclusive():
        job, behind = Job(1), Job(2)
        other = threading.Thread(target=group.submit, args=(behind,), daemon=True)

        class Gate:
            def acquire(self, *args: object, **options: object) -> bool:
                raise KeyboardInterrupt

            def release(self) -> None: ...

        def enter() -> None:
            group._enter(job)

        entering = threading.Thread(target=enter)
        entering.start()
        entering.join()
        job._gate = Gate()  # type: ignore[assignment]
        other.start()
        wait_until(lambda: len(group._queue) == 2)
    wait_until(lambda: group._queue[0] is job and group._leader == 0)
    assert not group._withdraw(job)
    other.join(10)
    assert behind.done
    group.submit(Job(3))


def test_a_thread_killed_while_leading_tells_the_others_that_the_outcome_is_unknown() -> None:
    stage = Stage()
    errors: list[BaseException] = []

    def lead(batch: list[Job]) -> None:
        raise SystemExit

    stage.group._lead = lead

    def work(number: int) -> None:
        try:
            stage.group.submit(Job(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(stage.group._queue) == 2)
    stage.go_on.set()
    for thread in threads:
        thread.join(10)
    assert sorted(type(error).__name__ for error in errors) == ["StateError", "SystemExit"]
    stage.group._lead = stage.lead
    stage.finish()
