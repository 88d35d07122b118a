"""The Diff page: sides, summary, marked rows, filters, profiles, exports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest

import absdb
from absdb.panels import diff
from absdb.panels.diff_page import ANY, DiffPage


@pytest.fixture
def page(shop: absdb.Instance) -> Iterator[DiffPage]:
    staging = shop["staging"]
    staging["orders"].delete([3])
    staging["orders"].insert({"id": 101, "status": "<i>new</i>", "total": 1.0})
    made = diff(shop)
    settle(made)
    yield made
    made.close()


def settle(page: DiffPage) -> None:
    assert page.hub.work.wait(10)


def cells(grid: Any) -> list[Any]:
    return [row["cells"] for row in grid.rows]


def choose(page: DiffPage, **values: Any) -> None:
    for name, value in values.items():
        getattr(page, name).value = value
        settle(page)


def test_it_opens_with_the_newest_branch_against_the_first(page):
    assert (page.target.value, page.source.value) == ("staging", "main")
    assert cells(page.summary_rows) == [
        ["orders", "added", "1", None],
        ["orders", "modified", "2", "2"],
        ["orders", "removed", "1", None],
    ]
    assert [row["sign"] for row in page.rows.rows] == ["~", "~", "\N{MINUS SIGN}", "+"]
    assert cells(page.rows)[1] == ["2", {"old": "paid", "new": "late"}, "9.5"]
    assert page.rows.count == 4


def test_points_in_the_past_and_the_other_way_round(page, shop):
    page.swap_button.click()
    settle(page)
    assert (page.target.value, page.source.value) == ("main", "staging")
    assert cells(page.rows)[1] == ["2", {"old": "late", "new": "paid"}, "9.5"]
    choose(page, source="main", source_point=str(shop["main"].log().lsn.iloc[-1]))
    assert cells(page.rows) == [["1", {"old": "open", "new": "done"}, "9.5"]]
    choose(page, source_point="")
    assert cells(page.summary_rows) == []
    assert page.rows.columns == []
    assert "same" in page.summary_rows.empty


def test_rows_are_filtered_by_kind_column_condition_and_text(page):
    choose(page, kinds=("added",))
    assert [row["sign"] for row in page.rows.rows] == ["+"]
    choose(page, kinds=("added", "modified", "removed"), column="total")
    assert page.rows.count == 0
    choose(page, column="status")
    assert page.rows.count == 2
    choose(page, column=ANY, condition="id > 2")
    assert page.rows.count == 2
    choose(page, condition="", search="LATE")
    assert cells(page.rows) == [["2", {"old": "paid", "new": "late"}, "9.5"]]
    choose(page, search="it's")
    assert page.rows.count == 0
    assert page.message.text == ""
    choose(page, search="", condition="nonsense > 2")
    assert "nonsense" in page.message.text
    choose(page, condition="", kinds=())
    assert "no kind of change" in page.message.text


def test_both_sides_are_profiled(page):
    choose(page, column="status")
    page.profile_button.click()
    settle(page)
    assert "distinct (about)" in page.profiled.value
    assert page.profiled.value.count('class="absdb-from"') == 5
    assert "&lt;i&gt;new&lt;/i&gt;" in page.profiled.value
    assert "<i>" not in page.profiled.value


def test_definitions_that_differ_are_listed(page, shop):
    shop["staging"].sql("ALTER TABLE orders ADD COLUMN note TEXT")
    page.refresh()
    settle(page)
    assert any("note" in row for row in cells(page.definitions))


def test_exports_to_a_variable_to_files_and_as_a_patch(page, shop, tmp_path, monkeypatch):
    class Shell:
        user_ns: dict[str, Any] = {}  # noqa: RUF012

    monkeypatch.setattr("absdb.panels.notebook.get_ipython", Shell)
    buttons = {"To variable": page.variable_button, "Save": page.save_button}

    def press(name: str, value: str) -> None:
        page.name.value = value
        buttons[name].click()
        settle(page)

    press("To variable", "")
    assert "Type a name" in page.message.text
    press("To variable", "not a name")
    assert "no name for a variable" in page.message.text
    press("To variable", "changes")
    assert Shell.user_ns["changes"]["diff_type"].tolist() == ["modified", "modified", "removed", "added"]

    path = tmp_path / "rows.parquet"
    press("Save", str(path))
    assert pq.read_table(path).num_rows == 4
    press("Save", str(path))
    assert "is there already" in page.message.text
    choose(page, kinds=("added",))
    press("Save", str(path))
    page.message.actions[0].click()
    settle(page)
    assert pq.read_table(path).num_rows == 1

    press("Save", str(tmp_path / "patch.sql"))
    shop["main"].sql((tmp_path / "patch.sql").read_text())
    assert not shop["staging"].diff(shop["main"])["orders"]
    shop["staging"]["orders"].delete([10])
    page.refresh()
    settle(page)
    press("Save", str(tmp_path / "rows.xyz"))
    assert "does not tell the format" in page.message.text


def test_a_database_dropped_under_the_page(page, shop):
    shop["staging"].drop()
    page.refresh()
    settle(page)
    settle(page)
    assert (page.target.value, page.source.value) == ("main", "main")
    assert cells(page.summary_rows) == []


def test_many_rows_are_paged_not_sent(shop):
    shop["staging"].sql("INSERT INTO orders SELECT range + 1000, 'bulk', 1.0 FROM range(200000)")
    page = diff(shop)
    settle(page)
    assert page.rows.count == 200_002
    page.rows._handle_custom_msg({"type": "page", "offset": 200_000}, [])
    settle(page)
    assert len(page.rows.rows) == 2
    page.close()
