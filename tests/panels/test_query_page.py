"""The Query page: what it runs, shows, draws, remembers and hands to the notebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

import absdb
from absdb.panels import query
from absdb.panels.model.chart import axes_of, chart
from absdb.panels.query_page import QueryPage


@pytest.fixture
def page(shop: absdb.Instance) -> Iterator[QueryPage]:
    made = query(shop)
    yield made
    made.close()


def run(page: QueryPage, text: str, **fields: str) -> None:
    """Type a text and press Run."""
    for name, value in fields.items():
        getattr(page, name).value = value
    page.editor.value = text
    page.run_button.click()
    assert page.hub.work.wait(10)


def cells(page: QueryPage) -> list[Any]:
    return [row["cells"] for row in page.rows.rows]


def test_a_query_runs_on_the_chosen_database_and_point(page, shop):
    assert page.database.options == ("main", "staging")
    text = "SELECT status FROM orders WHERE id <= 2 ORDER BY id"
    run(page, text)
    assert cells(page) == [["done"], ["paid"]]
    run(page, text, database="staging")
    assert cells(page) == [["open"], ["late"]]
    shop["main"].snapshot("now")
    shop["main"]["orders"].update({"id": 1, "status": "gone"})
    run(page, text, database="main", point="now")
    assert cells(page) == [["done"], ["paid"]]
    assert "2 rows" in page.said.value


def test_changes_are_made_and_told(page, shop):
    run(page, "UPDATE orders SET total = 1 WHERE id <= 10")
    assert "10 rows changed" in page.said.value
    assert page.after.layout.display == "none"
    assert shop["main"]["orders"].get(1)["total"] == 1


def test_a_transaction_stays_open_between_runs(page, shop):
    run(page, "BEGIN; DELETE FROM orders WHERE id = 1")
    assert "a transaction is open" in page.said.value
    assert shop["main"]["orders"].count() == 100
    run(page, "COMMIT")
    assert "a transaction is open" not in page.said.value
    assert shop["main"]["orders"].count() == 99


def test_an_error_is_a_message_with_the_place_in_the_text(page):
    run(page, "SELECT statsu FROM orders")
    assert 'role="alert"' in page.message.text
    assert "statsu" in page.message.text
    assert "status" in page.message.text, "it suggests the name that was meant"
    run(page, "SELECT 1", point="no such point")
    assert "no snapshot" in page.message.text
    run(page, "  ", point="")
    assert "Type a query" in page.message.text


def test_what_was_run_can_be_run_again(page):
    run(page, "SELECT 1")
    run(page, "SELECT\n  2", database="staging")
    run(page, "SELECT 1", database="main")
    assert [label for label, _ in page.before.options] == ["", "SELECT 1  (main)", "SELECT 2  (staging)"]
    page.before.value = page.before.options[2][1]
    assert (page.editor.value, page.database.value) == ("SELECT\n  2", "staging")


def test_a_result_larger_than_is_read_at_once_is_paged(page, monkeypatch):
    monkeypatch.setattr("absdb.panels.model.query.READ_BYTES_MAX", 1 << 16)
    run(page, "SELECT range AS n FROM range(200000)")
    assert page.rows.count == -1
    page.rows._handle_custom_msg({"type": "page", "offset": 150_000}, [])
    assert page.hub.work.wait(10)
    assert cells(page)[0] == ["150000"]
    page.variable.value = "big"
    page.after.children[1].children[1].click()
    assert "not read whole" in page.message.text


def test_a_running_query_can_be_cancelled(page):
    page.editor.value = "SELECT count(*) FROM range(1000000) a, range(1000000) b"
    page.run_button.click()
    assert not page.hub.work.wait(0.3)
    page.progress._cancel.click()
    assert page.hub.work.wait(10)
    run(page, "SELECT 1")
    assert cells(page) == [["1"]]


def test_ctrl_enter_runs(page):
    page.editor.value = "SELECT 7"
    page.editor._handle_custom_msg({"type": "run"}, [])
    assert page.hub.work.wait(5)
    assert cells(page) == [["7"]]


def test_a_result_becomes_a_variable_and_frames_are_read(page, monkeypatch):
    class Shell:
        user_ns: dict[str, Any] = {"frame": pa.table({"x": [5]})}  # noqa: RUF012

    monkeypatch.setattr("absdb.panels.notebook.get_ipython", Shell)
    run(page, "SELECT x + 1 AS y FROM frame")
    page.variable.value = "kept"
    page.keep()
    assert Shell.user_ns["kept"]["y"].tolist() == [6]
    page.variable.value = "no name"
    with pytest.raises(absdb.InvalidInputError, match="no name for a variable"):
        page.keep()


def test_a_chart_is_offered_and_drawn(page):
    run(page, "SELECT status, count(*) AS orders FROM orders GROUP BY ALL ORDER BY ALL")
    assert (page.heights.value, page.over.value) == ("orders", "status")
    assert page.drawn.value.count("<rect") == 3
    run(page, "SELECT status FROM orders")
    assert page.drawn.value == ""


def test_charts_are_exact_and_escape_what_they_label():
    table = pa.table({"name": ["<b>", None, "c"], "n": [1.0, None, -3.0], "t": [1, 2, 4]})
    bars = chart(table, "name", "n")
    assert "&lt;b&gt;" in bars
    assert "<b>" not in bars
    assert bars.count("<rect") == 2
    line = chart(table, "t", "n")
    assert 'points="70.0,' in line
    assert axes_of(table.schema).heights == ["n", "t"]
    with pytest.raises(absdb.InvalidInputError, match="not a number"):
        chart(table, "t", "name")
    assert "the first 40 of 100 rows" in chart(
        pa.table({"a": [str(n) for n in range(100)], "n": range(100)}), "a", "n"
    )


def test_a_database_that_is_dropped_leaves_the_list(page, shop):
    page.database.value = "staging"
    run(page, "SELECT 1")
    shop["staging"].drop()
    page.refresh()
    assert page.hub.work.wait(5)
    assert page.database.options == ("main",)
    assert page.database.value == "main"


def test_names_are_completed(page):
    for text, start, names in [
        ("SELECT sta", 7, ["status"]),
        ("FROM ord", 5, ["orders"]),
        ("FROM staging.", 13, ["main", "orders"]),
    ]:
        before = f"{text}" if text.startswith("FROM") else f"{text} FROM orders"
        page.editor._handle_custom_msg({"type": "complete", "text": before, "cursor": len(text)}, [])
        found = page.editor.completing
        assert (found["start"], found["end"]) == (start, len(text))
        assert set(names) & set(found["names"]), found["names"]
    page.editor._handle_custom_msg({"type": "complete", "text": "x", "cursor": 7}, [])
    assert page.editor.completing["text"] != "x", "a cursor outside of the text is not heeded"
