"""Work beside the kernel: order, cancelling, newest wins, errors."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from absdb.errors import InvalidInputError, StateError
from absdb.panels.model import work as module
from absdb.panels.model.work import Job, Work


class Heard:
    """What the work told."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self.errors: list[BaseException] = []
        self.jobs: list[str | None] = []
        self.work = Work(lambda job: self.jobs.append(job and f"{job.title} {job.done}"))

    def start(self, title: str, task: Any, key: str | None = None) -> Job:
        return self.work.start(title, task, self.results.append, self.errors.append, key=key)


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_tasks_run_one_after_the_other_in_another_thread(heard):
    for number in range(3):
        heard.start("task", lambda job, number=number: (number, threading.current_thread().name))
    assert heard.work.wait(5)
    assert heard.results == [(number, "absdb-panels") for number in range(3)]


def test_what_waits_under_a_key_gives_way_and_what_runs_is_cancelled(heard):
    begun, go = threading.Event(), threading.Event()

    def first(job: Job) -> str:
        begun.set()
        go.wait(5)
        job.report(1)
        return "first"

    heard.start("one", first, key="slider")
    begun.wait(5)
    heard.start("two", lambda job: "second", key="slider")
    heard.start("three", lambda job: "third", key="slider")
    go.set()
    assert heard.work.wait(5)
    assert heard.results == ["third"]
    assert heard.errors == []


def test_cancel_stops_what_runs_through_what_it_registered_and_forgets_what_waits(heard):
    begun, stopped = threading.Event(), threading.Event()

    def query(job: Job) -> None:
        job.on_cancel(stopped.set)
        begun.set()
        stopped.wait(5)
        raise InvalidInputError("interrupted")

    heard.start("query", query)
    heard.start("next", lambda job: "never")
    begun.wait(5)
    heard.work.cancel()
    assert heard.work.wait(5)
    assert stopped.is_set()
    assert (heard.results, heard.errors) == ([], [])


def test_an_error_is_handed_on_and_the_next_task_runs(heard, caplog):
    caplog.set_level(logging.ERROR)
    heard.start("bad", lambda job: 1 // 0)
    heard.start("good", lambda job: "good")
    assert heard.work.wait(5)
    assert [type(error) for error in heard.errors] == [ZeroDivisionError]
    assert heard.results == ["good"]
    assert "bad failed" in caplog.text, "what absdb did not raise on purpose is in the log with its traceback"


def test_reports_are_told_and_the_end_is_none(heard):
    heard.start("counting", lambda job: job.report(3, 9))
    assert heard.work.wait(5)
    while heard.jobs[-1] is not None:
        pass
    assert heard.jobs == ["counting 0", "counting 3", None]


def test_too_much_waiting_is_refused(heard, monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 2)
    go, begun = threading.Event(), threading.Event()
    heard.start("first", lambda job: (begun.set(), go.wait(5)))
    begun.wait(5)
    heard.start("second", lambda job: 2)
    heard.start("third", lambda job: 3)
    with pytest.raises(StateError, match="2 tasks are waiting"):
        heard.start("fourth", lambda job: 4)
    go.set()
    assert heard.work.wait(5)
