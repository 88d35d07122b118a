"""Dry runs of merges, reverts and cherry-picks: they tell what the real ones do, to readers too, and write nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import absdb
from absdb.errors import StateError
from absdb.merge_result import MergeResult

ROWS = 2000


def _parted(shop: absdb.Instance) -> None:
    """Main and a branch with rows that merge, rows in conflict, rows without keys, and a column of main's own."""
    main = shop["main"]
    main.create_table("t", pa.table({"id": range(ROWS), "a": [0] * ROWS, "b": [0] * ROWS}), key="id")
    main.create_table("events", pa.table({"what": ["begun"]}))
    main.create_sequence("numbers")
    branch = main.branch("branch")
    main.sql("ALTER TABLE events ADD COLUMN number BIGINT DEFAULT nextval('numbers')")
    branch["events"].insert([{"what": "one"}, {"what": "two"}])
    branch["t"].update(pa.table({"id": range(ROWS), "a": [1] * ROWS}))
    main["t"].update([{"id": 1, "a": 2}, {"id": 2, "b": 3}])


def _told(result: MergeResult) -> tuple[object, ...]:
    return result.kind, result.summary().to_dict("list"), result.conflicts.astype(str).to_dict("list")


def _merged(shop: absdb.Instance) -> MergeResult:
    return shop["main"].merge(shop["branch"], dry_run=True)


def _picked(shop: absdb.Instance) -> MergeResult:
    lsn = shop["branch"].log()["lsn"].iloc[0]
    return shop["main"].cherry_pick(shop["branch"], lsn=lsn, dry_run=True)


def _reverted(shop: absdb.Instance) -> MergeResult:
    return shop["main"].revert(lsn=shop["main"].log()["lsn"].iloc[0], dry_run=True)


@pytest.mark.parametrize("run", [_merged, _picked, _reverted])
def test_a_reader_is_told_what_a_writer_is(
    run: Callable[[absdb.Instance], MergeResult], tmp_path: Path
) -> None:
    with absdb.connect(tmp_path, bulk_threshold=1000) as shop:
        _parted(shop)
        told = _told(run(shop))
        assert told[1]["table_name"]  # type: ignore[index]
        with absdb.connect(tmp_path, read_only=True) as reader:
            assert _told(run(reader)) == told
            with pytest.raises(StateError, match="reading only"):
                reader["main"].merge(reader["branch"], on_conflict="ours")


def test_conflicts_are_listed_in_sql_for_a_reader(tmp_path: Path) -> None:
    query = "SELECT key, column_name, our_value, their_value FROM absdb_conflicts('branch', 'main')"
    with absdb.connect(tmp_path) as shop:
        _parted(shop)
    with absdb.connect(tmp_path, read_only=True) as reader:
        assert reader["main"].sql(query).fetchall() == [("1", "a", "2", "1")]
        told = reader["main"].sql("MERGE DATABASE branch INTO main DRY RUN").fetchall()
        assert ("t", "conflict", 1) in told
        assert ("events", "added", 2) in told


@pytest.mark.parametrize("run", [_merged, _picked, _reverted])
def test_nothing_is_written(run: Callable[[absdb.Instance], MergeResult], tmp_path: Path) -> None:
    with absdb.connect(tmp_path) as shop:
        _parted(shop)
        number, lsn = shop["main"].next_value("numbers"), shop.lsn
        run(shop)
        assert shop.lsn == lsn
        assert shop["main"].next_value("numbers") == number + 1


def test_undoing_a_fast_forward_is_tried_without_a_branch_for_it(tmp_path: Path) -> None:
    with absdb.connect(tmp_path) as shop:
        main = shop["main"]
        main.create_table("t", [{"id": 1, "a": 0, "b": 0}, {"id": 2, "a": 0, "b": 0}], key="id")
        branch = main.branch("branch")
        branch["t"].update([{"id": 1, "a": 1}, {"id": 2, "a": 1}])
        merged = main.merge(branch)
        assert merged.kind == "fast-forward"
        main["t"].update({"id": 2, "b": 7})
        lsn, databases = shop.lsn, list(shop.databases()["name"])
        tried = main.revert(lsn=str(merged.lsn), dry_run=True)
        assert (shop.lsn, list(shop.databases()["name"])) == (lsn, databases)
        assert (tried.kind, tried.clean) == ("undo", True)
        with absdb.connect(tmp_path, read_only=True) as reader:
            again = reader["main"].revert(lsn=str(merged.lsn), dry_run=True)
            assert _told(again) == _told(tried)
        undone = main.revert(lsn=str(merged.lsn))
        assert _told(undone) == _told(tried)
        assert main["t"].to_arrow().to_pylist() == [{"id": 1, "a": 0, "b": 0}, {"id": 2, "a": 0, "b": 7}]
