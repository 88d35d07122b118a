"""What pages share: opening, following, and saying what went wrong."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import pytest

import absdb
from absdb.panels import instance as instance_page
from absdb.panels import workbench
from absdb.panels.hub import Hub


def until(holds: Any, seconds: float = 5) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


def test_a_page_follows_what_other_cells_commit(shop):
    page = instance_page(shop)
    before = page.facts.value
    time.sleep(0.5)
    shop["main"]["orders"].update({"id": 3, "status": "late"})
    until(lambda: page.facts.value != before)
    assert str(shop.lsn) in page.facts.value
    page.close()


def _hold(path: str, held: Any, end: Any) -> None:
    with absdb.connect(path) as instance:
        held.set()
        end.wait(30)
        instance["main"].create_table("late", {"id": [1]}, key="id")
        held.clear()
        end.clear()
        end.wait(30)


def test_an_instance_that_another_process_holds_is_shown_read_only_and_followed(tmp_path):
    path = str(tmp_path / "shop")
    context = multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(path, held, end))
    other.start()
    try:
        assert held.wait(30)
        page = instance_page(path)
        assert page.instance.read_only
        assert str(other.pid) in page.hub.banner
        assert "Read-only" in page.children[1].value
        assert page.checkpoint_button.disabled
        end.set()
        until(lambda: "late" in list(page.instance["main"]), 20)
        page.close()
    finally:
        end.set()
        other.join(30)
        end.set()
        other.join(30)
    assert other.exitcode == 0


def test_what_is_no_instance_is_refused(tmp_path):
    with pytest.raises(absdb.InvalidInputError, match="not int"):
        Hub(7)  # type: ignore[arg-type]
    with pytest.raises(absdb.NotFoundError):
        workbench(tmp_path / "nothing")


def test_a_closed_instance_becomes_a_message(shop):
    page = instance_page(shop)
    shop.close()
    page.refresh()
    assert page.hub.work.wait(5)
    assert 'role="alert"' in page.message.text
    assert "closed" in page.message.text


def test_a_notebook_without_a_kernel_shows_a_summary(shop):
    bench = workbench(shop)
    data = bench._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "Branches" in data["text/html"]
    assert data["text/plain"] == "<Workbench of :memory:>"
    bench.close()


def test_a_page_of_a_workbench_is_made_when_it_is_turned_to(shop):
    bench = workbench(shop)
    assert [page.TITLE for page in bench.pages if page.children] == ["Branches"]
    bench.hub.select("staging")
    page = bench.turn("Time travel")
    assert bench.hub.work.wait(10)
    assert page.database.value == "staging", "it follows what was selected before it was there"
    assert page.point.title == "on staging"
    bench.close()
    assert not any(page.children for page in bench.pages[2:])
