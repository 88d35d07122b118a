"""Merges of more than may be in memory at once: what they write goes into page files on the way."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import absdb
from absdb.engine import candidates, spill
from absdb.engine.expiry import expire
from absdb.engine.garbage import retire
from absdb.versioning import merge_sides

ROWS = 3000


def _rows(keys: range, text: str) -> pa.Table:
    return pa.table({"id": pa.array(keys, pa.int64()), "text": [f"{text} {key}" for key in keys]})


def _diverged(shop: absdb.Instance) -> tuple[absdb.Database, absdb.Database, dict[int, str]]:
    """Main and a branch that changed, removed and added other rows of one table; and what they come to together."""
    main = shop["main"]
    main.create_table("t", _rows(range(ROWS), "base"), key="id")
    branch = main.branch("branch")
    branch["t"].upsert(_rows(range(0, ROWS, 3), "theirs"))
    branch["t"].delete(_rows(range(1, ROWS, 30), ""))
    branch["t"].insert(_rows(range(ROWS, ROWS + 100), "new"))
    main["t"].upsert(_rows(range(2, ROWS, 3), "ours"))
    wanted = {key: f"{('theirs', 'base', 'ours')[key % 3]} {key}" for key in range(ROWS)}
    for key in range(1, ROWS, 30):
        del wanted[key]
    return main, branch, wanted | {key: f"new {key}" for key in range(ROWS, ROWS + 100)}


def _content(database: absdb.Database) -> dict[int, str]:
    rows = database["t"].to_arrow().to_pydict()
    return dict(zip(rows["id"], rows["text"], strict=True))


def _page_files(path: Path) -> set[str]:
    return {file.name for file in (path / "pages").glob("*.arrow")}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a merge works on at a time is small."""
    monkeypatch.setattr(spill, "SPILL_BYTES", 4000)
    monkeypatch.setattr(merge_sides, "SLICE_ROWS", 100)


@pytest.mark.usefixtures("small")
def test_what_a_large_merge_writes_lies_in_page_files_one_behind_the_other(tmp_path: Path) -> None:
    with absdb.connect(tmp_path, page_rows=64, bulk_threshold=1000) as shop:
        main, branch, wanted = _diverged(shop)
        before = _page_files(tmp_path)
        merged = main.merge(branch)
        assert dict(merged.summary()[["operation", "row_count"]].itertuples(index=False)) == {
            "added": 100,
            "modified": 1000,
            "removed": 100,
        }
        assert _content(main) == wanted
        written = _page_files(tmp_path) - before
        assert len(written) > 5
    with absdb.connect(tmp_path) as shop:
        assert _content(shop["main"]) == wanted
        assert _page_files(tmp_path) >= written
        shop.maintain()
        assert _content(shop["main"]) == wanted
        shop["main"].revert(lsn=str(merged.lsn))
        assert shop["main"]["t"].count() == ROWS
        assert [row for row in shop.check().to_dict("records") if row["severity"] != "remark"] == []


@pytest.mark.usefixtures("small")
def test_candidates_that_come_in_no_order_give_the_same_rows(tmp_path: Path) -> None:
    """Without the history that names the candidates, theirs are looked at after ours, and their page files overlap."""
    with absdb.connect(tmp_path, page_rows=64, bulk_threshold=1000, history_retention="0 s") as shop:
        main, branch, wanted = _diverged(shop)
        shop.maintain()
        expire(main._scope.engine)
        assert main.merge(branch).kind == "merge"
        assert _content(main) == wanted


@pytest.mark.usefixtures("small")
def test_a_large_merge_in_conflict_leaves_nothing_behind(tmp_path: Path) -> None:
    with absdb.connect(tmp_path, page_rows=64, bulk_threshold=1000) as shop:
        main, branch, _ = _diverged(shop)
        main["t"].upsert({"id": 0, "text": "mine"})
        shop.checkpoint()
        before, content = _page_files(tmp_path), _content(main)
        with pytest.raises(absdb.MergeConflictError):
            main.merge(branch)
        assert _content(main) == content
        retire(main._scope.engine)
        assert _page_files(tmp_path) == before


def test_wide_rows_are_merged_fewer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    looked_up = merge_sides.Slice.__init__

    def noting(self: merge_sides.Slice, keys: object, *rest: object) -> None:
        looked_up(self, keys, *rest)  # type: ignore[arg-type]
        seen.append(len(self))

    monkeypatch.setattr(merge_sides.Slice, "__init__", noting)
    monkeypatch.setattr(candidates, "SLICE_BYTES", 2000)
    with absdb.connect(tmp_path) as shop:
        main, branch, wanted = _diverged(shop)
        main.merge(branch)
        assert _content(main) == wanted
    assert max(seen) < 200
