"""Runs against a model: a plain dictionary of versions per key."""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError, SchemaMismatchError, StateError, StorageError
from absdb.io.memory import MemoryFileSystem
from absdb.pages import run as run_module
from absdb.pages import run_merge, run_versions
from absdb.pages.cuts import CutCache
from absdb.pages.key import KeySpec, is_increasing, to_list
from absdb.pages.run import Run, build_run, merge_runs, store_run
from absdb.pages.section import DELETE, LSN, OP, UPSERT, Section
from absdb.pages.store import PageStore

INTEGER = KeySpec.of(("c1",), (pa.int64(),))
SMALL = KeySpec.of(("c1",), (pa.int16(),))
TEXT = KeySpec.of(("c1",), (pa.string(),))
PAIR = KeySpec.of(("c1", "c2"), (pa.string(), pa.int32()))

KEYS = {
    INTEGER: st.integers(-5, 5).map(lambda n: (n,)),
    SMALL: st.integers(-5, 5).map(lambda n: (n,)),
    TEXT: st.sampled_from(["", "a", "ab", "b", "ä", "z\0"]).map(lambda s: (s,)),
    PAIR: st.tuples(st.sampled_from(["", "a", "a\0", "b"]), st.integers(-2, 2)),
}

FILLS = {"c8": (pa.int64(), None), "c9": (pa.string(), "new")}

# A version as the model knows it: its LSN, the key's values, and the other columns, None if deleted.
Change = tuple[int, tuple[Any, ...], dict[str, Any] | None]


def batch_of(spec: KeySpec, changes: list[Change], *, with_c9: bool, c8: pa.DataType) -> pa.RecordBatch:
    """Changes in commit order as rows for `build_run`."""
    columns = {
        name: pa.array([key[at] for _, key, _ in changes], type_)
        for at, (name, type_) in enumerate(zip(spec.columns, spec.types, strict=True))
    }
    columns["c8"] = pa.array([row and row["c8"] for _, _, row in changes], c8)
    if with_c9:
        columns["c9"] = pa.array([row and row["c9"] for _, _, row in changes], pa.string())
    columns[OP] = pa.array([UPSERT if row is not None else DELETE for _, _, row in changes], pa.int8())
    columns[LSN] = pa.array([lsn for lsn, _, _ in changes], pa.int64())
    return pa.RecordBatch.from_pydict(columns)


class Model:
    """All versions of all keys; of several versions in one commit the last counts."""

    def __init__(self, spec: KeySpec, changes: list[Change]) -> None:
        self.versions: dict[Any, dict[int, dict[str, Any] | None]] = defaultdict(dict)
        for lsn, key, row in changes:
            self.versions[spec.encode_one(key)][lsn] = row

    def at(self, lsn: int) -> dict[Any, tuple[int, dict[str, Any] | None]]:
        found = {}
        for key in sorted(self.versions):
            reached = [each for each in self.versions[key] if each <= lsn]
            if reached:
                found[key] = (max(reached), self.versions[key][max(reached)])
        return found

    def superseded(self) -> list[tuple[Any, int]]:
        return [(key, lsn) for key in sorted(self.versions) for lsn in sorted(self.versions[key])[:-1]]

    def between(self, after: int, upto: int) -> list[Any]:
        return [
            key for key in sorted(self.versions) if any(after < lsn <= upto for lsn in self.versions[key])
        ]


def rows_of(section: Section, *, c9: bool) -> dict[Any, tuple[int, dict[str, Any] | None]]:
    """A section of newest versions in the model's terms; keys must be strictly increasing."""
    found: dict[Any, tuple[int, dict[str, Any] | None]] = {}
    last = None
    for page in section.pages:
        batch, lsns, ops, keys = page.batch(), page.lsns(), page.ops(), page.keys()
        assert is_increasing(keys)
        assert last is None or last < page.first
        last = page.last
        assert (to_list(keys)[0], to_list(keys)[-1]) == (page.first, page.last)
        for row, key in enumerate(to_list(keys)):
            values = {
                name: batch.column(name)[row].as_py() for name in ("c8", "c9") if name in batch.schema.names
            }
            if c9 and "c9" not in values:
                values["c9"] = "new"
            deleted = ops is not None and ops[row] == DELETE
            assert not deleted or batch.schema.get_field_index("c9") < 0 or values["c9"] is None
            found[key] = (int(lsns[row]), None if deleted else values)
    return found


@st.composite
def histories(draw: st.DrawFn) -> tuple[KeySpec, list[tuple[list[Change], bool, pa.DataType]]]:
    """A key and a few stretches of commits; the column c9 is added, and c8 widened, at some point."""
    spec = draw(st.sampled_from([INTEGER, SMALL, TEXT, PAIR]))
    lsn = 0
    stretches = []
    count = draw(st.integers(1, 4))
    added = draw(st.integers(0, count))
    widened = draw(st.integers(0, count))
    for number in range(count):
        changes: list[Change] = []
        for commit in draw(st.lists(st.lists(st.tuples(KEYS[spec], st.booleans()), max_size=4), max_size=5)):
            lsn += 10
            for key, deleted in commit:
                row = {"c8": lsn + len(changes)} | ({"c9": f"v{len(changes)}"} if number >= added else {})
                changes.append((lsn, key, None if deleted else row))
        stretches.append((changes, number >= added, pa.int64() if number >= widened else pa.int32()))
    return spec, stretches


def runs_of(
    spec: KeySpec, stretches: list[tuple[list[Change], bool, pa.DataType]], rows_per_page: int
) -> list[Run]:
    runs, lo = [], 0
    for changes, with_c9, c8 in stretches:
        hi = max([lo, *(lsn for lsn, _, _ in changes)])
        batch = batch_of(spec, changes, with_c9=with_c9, c8=c8)
        runs.append(build_run(spec, batch, lo, hi, rows_per_page=rows_per_page))
        lo = hi
    return runs


def check(run: Run, spec: KeySpec, changes: list[Change], *, c9: bool) -> None:
    """The run says what the model says, at every LSN there is."""
    model = Model(spec, [(lsn, key, _filled(row, c9)) for lsn, key, row in changes])
    assert rows_of(run.newest, c9=c9) == model.at(run.hi)
    written = [
        (key, int(lsn))
        for page in run.superseded.pages
        for key, lsn in zip(to_list(page.keys()), page.lsns(), strict=True)
    ]
    assert written == model.superseded()
    for lsn in range(run.lo, run.hi + 6, 5):
        expected = model.at(lsn) if lsn > run.lo else {}
        assert rows_of(run.at(lsn), c9=c9) == expected
        assert to_list(run.after(lsn)) == model.between(lsn, run.hi)
        assert to_list(run.between(lsn, run.hi - 10)) == model.between(lsn, run.hi - 10)
    for key, versions in model.versions.items():
        found = run.versions(key)
        assert [(each.lsn, each.op == DELETE) for each in found] == [
            (lsn, versions[lsn] is None) for lsn in sorted(versions)
        ]


def _filled(row: dict[str, Any] | None, c9: bool) -> dict[str, Any] | None:
    return row if row is None or not c9 or "c9" in row else row | {"c9": "new"}


@given(histories(), st.sampled_from([1, 2, 3, 100]), st.sampled_from([1, 512]))
def test_a_run_is_what_its_commits_did(history: Any, rows_per_page: int, rows_per_slice: int) -> None:
    """Inside its interval too, whether pages are sliced there or rewritten."""
    spec, stretches = history
    runs = runs_of(spec, stretches, rows_per_page)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_versions, "ROWS_PER_SLICE_MIN", rows_per_slice)
        for run, (changes, with_c9, _) in zip(runs, stretches, strict=True):
            check(run, spec, changes, c9=with_c9)


@given(histories(), st.sampled_from([1, 2, 3, 100]))
def test_merged_runs_are_the_run_of_all_commits(history: Any, rows_per_page: int) -> None:
    spec, stretches = history
    run = merge_runs(spec, runs_of(spec, stretches, rows_per_page), FILLS, rows_per_page=rows_per_page)
    check(run, spec, [each for changes, _, _ in stretches for each in changes], c9=stretches[-1][1])


@given(histories(), st.sampled_from([1, 2, 3, 100]), st.sampled_from([None, "lz4", "zstd"]), st.booleans())
def test_stored_runs_read_the_same(history: Any, rows_per_page: int, compression: Any, stream: bool) -> None:
    spec, stretches = history
    store = PageStore(MemoryFileSystem())
    before = run_module.MEMORY_ROWS_MAX, run_merge.RANGE_ROWS
    run_module.MEMORY_ROWS_MAX, run_merge.RANGE_ROWS = (0, 3) if stream else before
    try:
        run = merge_runs(
            spec,
            runs_of(spec, stretches, rows_per_page),
            FILLS,
            store=store,
            compression=compression,
            rows_per_page=rows_per_page,
        )
    finally:
        run_module.MEMORY_ROWS_MAX, run_merge.RANGE_ROWS = before
    assert run.is_stored
    changes = [each for changes, _, _ in stretches for each in changes]
    again = Run.from_json(PageStore(store.fs), spec, json.loads(json.dumps(run.to_json())))
    for each in (run, again):
        check(each, spec, changes, c9=stretches[-1][1])


def rows(keys: list[int], lsn: int, **columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(
        {"c1": pa.array(keys, pa.int64())} | columns | {LSN: pa.array([lsn] * len(keys), pa.int64())}
    )


def test_of_several_rows_of_a_key_in_one_commit_the_last_counts() -> None:
    run = build_run(INTEGER, rows([2, 1, 2, 2], 10, c8=pa.array([1, 2, 3, 4])), 0, 10)
    assert run.newest.table().column("c8").to_pylist() == [2, 4]
    assert run.superseded.rows == 0


def test_sorted_rows_are_not_copied() -> None:
    batch = rows([1, 2, 3], 10, c8=pa.array([1, 2, 3]))
    run = build_run(INTEGER, batch, 0, 10)
    assert (
        run.newest.pages[0].batch().column("c8").buffers()[1].address
        == batch.column("c8").buffers()[1].address
    )


def test_ops_without_a_tombstone_are_left_out() -> None:
    run = build_run(INTEGER, rows([2, 1], 10, **{OP: pa.array([0, 0], pa.int8())}), 0, 10)
    assert OP not in run.newest.pages[0].batch().schema.names
    assert run.newest.pages[0].ops() is None


def test_rows_may_come_run_end_encoded_and_as_a_table() -> None:
    lsns = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([10, 20]))
    table = pa.table({"c1": pa.array([5, 4, 5]), LSN: lsns})
    for given_rows in (table, table.to_batches(), table.slice(0, 3)):
        run = build_run(INTEGER, given_rows, 0, 20)
        assert [int(lsn) for lsn in run.newest.pages[0].lsns()] == [10, 20]
        assert run.superseded.rows == 1
    assert build_run(INTEGER, table.slice(0, 0), 0, 20).rows == 0


def test_rows_out_of_commit_order_are_refused() -> None:
    batch = pa.concat_batches([rows([1, 2], 20), rows([2], 10)])
    with pytest.raises(InvalidInputError, match="commit order"):
        build_run(INTEGER, batch, 0, 20)
    with pytest.raises(InvalidInputError, match="no _lsn"):
        build_run(INTEGER, batch.drop_columns([LSN]), 0, 20)


def test_runs_out_of_order_are_refused() -> None:
    older, newer = build_run(INTEGER, rows([1], 5), 0, 10), build_run(INTEGER, rows([1], 15), 10, 20)
    with pytest.raises(InvalidInputError, match="out of order"):
        merge_runs(INTEGER, [newer, older], {})
    with pytest.raises(InvalidInputError, match="no runs"):
        merge_runs(INTEGER, [], {})


def test_columns_without_a_common_type_are_refused() -> None:
    older = build_run(INTEGER, rows([1], 5, c8=pa.array(["x"])), 0, 10)
    newer = build_run(INTEGER, rows([1], 15, c8=pa.array([1])), 10, 20)
    with pytest.raises(SchemaMismatchError, match="c8"):
        merge_runs(INTEGER, [older, newer], {})


def test_merging_widens_columns_and_fills_missing_ones_with_their_initial_default() -> None:
    nested = pa.struct([("a", pa.list_(pa.int32()))])
    ops = pa.array([UPSERT, DELETE], pa.int8())
    older = build_run(INTEGER, rows([1, 2], 5, c2=pa.array([7, None], pa.int8()), **{OP: ops}), 0, 10)
    extra = {
        "c2": pa.array([1 << 40]),
        "c3": pa.array([{"a": [1]}], nested),
        "c4": pa.array([Decimal("1.5")], pa.decimal128(5, 2)),
        "c5": pa.array([5], pa.timestamp("us", "UTC")),
    }
    newer = build_run(INTEGER, rows([9], 15, **extra), 10, 20)
    fills = {
        "c1": (pa.int64(), None),
        "c2": (pa.int64(), None),
        "c3": (nested, {"a": [0, None]}),
        "c4": (pa.decimal128(7, 2), Decimal("2.25")),
        "c5": (pa.timestamp("us", "UTC"), 1_000_000),
        "c6": (pa.int8(), 1),
    }
    merged = merge_runs(INTEGER, [older, newer], fills).newest.table()
    assert merged.schema.names == ["c1", "c2", "c3", "c4", "c5", OP, LSN]
    assert merged.schema.types[1:5] == [fills[name][0] for name in ("c2", "c3", "c4", "c5")]
    assert merged.column("c2").to_pylist() == [7, None, 1 << 40]
    assert merged.column("c3").to_pylist() == [{"a": [0, None]}, None, {"a": [1]}]
    assert merged.column("c4").to_pylist() == [Decimal("2.25"), None, Decimal("1.50")]
    assert merged.column("c5").cast(pa.int64()).to_pylist() == [1_000_000, None, 5]


def test_runs_that_lie_apart_are_passed_on_uncopied() -> None:
    left = build_run(INTEGER, rows(list(range(10)), 5, c8=pa.array(range(10))), 0, 10)
    right = build_run(INTEGER, rows(list(range(-10, 0)), 15, c8=pa.array(range(10))), 10, 20)
    merged = merge_runs(INTEGER, [left, right], {}, rows_per_page=10)
    before = {run.newest.pages[0].batch().column("c8").buffers()[1].address for run in (left, right)}
    assert {page.batch().column("c8").buffers()[1].address for page in merged.newest.pages} == before
    assert [page.first for page in merged.newest.pages] == [-10, 0]


def test_a_small_run_is_one_file_and_a_run_with_much_history_is_two() -> None:
    store = PageStore(MemoryFileSystem())
    changes = [rows([1, 2, 3], lsn) for lsn in range(10, 60, 10)]
    small = store_run(store, build_run(INTEGER, changes, 0, 50))
    assert len(store.names()) == 1
    large = store_run(store, build_run(INTEGER, changes, 0, 50), rows_per_page=4)
    assert len(store.names()) == 3
    for run in (small, large):
        assert [int(each.lsn) for each in run.versions(2)] == [10, 20, 30, 40, 50]
    assert store_run(store, build_run(INTEGER, changes[0].slice(0, 0), 0, 50)).rows == 0
    assert len(store.names()) == 3


def test_lsns_are_run_end_encoded_where_that_is_smaller() -> None:
    store = PageStore(MemoryFileSystem())
    few = build_run(INTEGER, rows(list(range(100)), 10), 0, 10)
    many = build_run(INTEGER, [rows([n], n + 1) for n in range(100)], 0, 100)
    types = [store_run(store, run).newest.pages[0].batch().schema.field(LSN).type for run in (few, many)]
    assert types == [pa.run_end_encoded(pa.int32(), pa.int64()), pa.int64()]


def test_a_bulk_run_gets_its_lsn_after_it_was_written() -> None:
    store = PageStore(MemoryFileSystem())
    batch = rows(list(range(100)), 0).drop_columns([LSN])
    file = store.write([batch], batch.schema, INTEGER, rows_per_page=30)
    bulk = Run(lo=0, hi=0, newest=store.section(file, INTEGER), spec=INTEGER)
    with pytest.raises(StateError, match="no LSN"):
        bulk.newest.pages[0].lsns()
    run = bulk.with_lsn(500)
    again = Run.from_json(store, INTEGER, json.loads(json.dumps(run.to_json())))
    for each in (run, again):
        assert each.hi == 500
        assert all((page.lsns() == 500).all() for page in each.newest.pages)
        assert each.at(499).rows == 0
        assert each.after(499).tolist() == list(range(100))
    later = build_run(INTEGER, rows([5, 700], 600), 500, 600)
    merged = merge_runs(INTEGER, [again, later], {}, store=store)
    assert merged.newest.rows == 101
    assert merged.at(500).rows == 100
    assert {int(lsn) for page in merged.newest.pages for lsn in page.lsns()} == {500, 600}
    rewritten = store_run(store, again)
    assert LSN not in rewritten.newest.pages[0].batch().schema.names
    assert rewritten.newest.pages[0].lsn == 500


def test_a_run_in_memory_has_no_json() -> None:
    with pytest.raises(StateError, match="in memory"):
        build_run(INTEGER, rows([1], 5), 0, 10).to_json()


def test_cuts_are_kept_and_bounded_over_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = CutCache(20_000)
    monkeypatch.setattr(run_module, "CUTS", cuts)
    made = [build_run(INTEGER, [rows([1, n], n) for n in range(2, 30)], 0, 30) for _ in range(50)]
    for run in made:
        assert run.at(10) is run.at(10)
        for lsn in range(2, 29):
            run.at(lsn)
        assert 0 < cuts.bytes_held <= cuts.bytes_max
    assert cuts.bytes_held > cuts.bytes_max - 2_000, "there was room for another one"
    assert made[-1].at(28) is made[-1].at(28)
    assert made[0].at(30) is made[0].newest
    assert made[0].at(0) is Section.EMPTY


def test_a_cut_larger_than_all_room_is_kept_until_the_next() -> None:
    cuts = CutCache(10)
    run = build_run(INTEGER, [rows([1, n], n) for n in range(2, 30)], 0, 30)
    first, second = run.at(10), run.at(11)
    cuts.put(run, 10, first)
    assert cuts.get(run, 10) is first
    cuts.put(run, 11, second)
    assert cuts.get(run, 10) is None
    assert cuts.get(run, 11) is second


def test_the_cuts_of_a_run_go_with_it() -> None:
    cuts = CutCache(1 << 30)
    runs = [build_run(INTEGER, [rows([1, n], n) for n in range(2, 9)], 0, 9) for _ in range(3)]
    section = runs[0].at(5)
    for run in runs:
        for lsn in range(2, 8):
            cuts.put(run, lsn, section)
    del run, runs[1:]
    gc.collect()
    cuts.put(runs[0], 8, section)
    assert {lsn for lsn in range(9) if cuts.get(runs[0], lsn)} == set(range(2, 9))
    alone = CutCache(1 << 30)
    alone.put(runs[0], 8, section)
    assert cuts.bytes_held == 7 * alone.bytes_held


def test_pages_without_a_later_change_are_not_cut() -> None:
    batches = [rows(list(range(100)), 10), rows([55], 20)]
    run = build_run(INTEGER, batches, 0, 20, rows_per_page=10)
    cut = run.at(15)
    shared = [page for page in cut.pages if page in run.newest.pages]
    assert len(shared) == 9
    assert cut.rows == 100


def test_a_failed_write_leaves_no_file() -> None:
    store = PageStore(MemoryFileSystem())
    batches = [rows([1, 2, 3], lsn) for lsn in range(10, 60, 10)]
    run = build_run(INTEGER, batches, 0, 50)
    wrong = Run(lo=0, hi=50, newest=run.superseded, superseded=run.newest, spec=INTEGER)
    with pytest.raises(InvalidInputError, match="twice"):
        store_run(store, wrong, rows_per_page=2)
    assert store.names() == []


def test_a_failed_sync_leaves_neither_of_two_files(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PageStore(MemoryFileSystem())
    run = build_run(INTEGER, [rows([1, 2, 3], lsn) for lsn in range(10, 60, 10)], 0, 50)
    syncs: list[str] = []

    def sync_directory(self: Any, path: str) -> None:
        syncs.append(path)
        if len(syncs) == 2:
            raise StorageError("input/output error", path=path, errno=5)

    monkeypatch.setattr(MemoryFileSystem, "sync_directory", sync_directory)
    with pytest.raises(StorageError, match="input/output"):
        store_run(store, run, rows_per_page=2)
    assert (len(syncs), store.names()) == (2, [])


def test_runs_among_each_other_without_history_go_to_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    store = PageStore(MemoryFileSystem())
    monkeypatch.setattr(run_module, "MEMORY_ROWS_MAX", 0)
    older = build_run(INTEGER, rows(list(range(0, 100, 2)), 5), 0, 10)
    newer = build_run(INTEGER, rows(list(range(1, 100, 2)), 15), 10, 20)
    merged = merge_runs(INTEGER, [older, newer], {}, store=store)
    assert (merged.newest.rows, merged.superseded.rows, len(store.names())) == (100, 0, 1)


def test_a_large_merge_goes_range_by_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a merge holds at once is bounded by the range, not by the runs."""
    store = PageStore(MemoryFileSystem())
    monkeypatch.setattr(run_module, "MEMORY_ROWS_MAX", 1000)
    monkeypatch.setattr(run_merge, "RANGE_ROWS", 2000)
    rng = np.random.default_rng(7)
    runs = []
    for number in range(4):
        keys = np.sort(rng.choice(40_000, 10_000, replace=False)).tolist()
        run = build_run(INTEGER, rows(keys, 10 * number + 5), 10 * number, 10 * number + 10)
        runs.append(store_run(store, run, rows_per_page=500))
    seen = []
    original = run_merge.split_versions

    def watched(spec: KeySpec, batch: pa.RecordBatch) -> Any:
        seen.append(batch.num_rows)
        return original(spec, batch)

    monkeypatch.setattr(run_merge, "split_versions", watched)
    merged = merge_runs(INTEGER, runs, {}, store=store, rows_per_page=500)
    assert sum(seen) == 40_000
    assert max(seen) <= 2000 + 4 * 500
    assert merged.newest.rows == len({key for run in runs for key in to_list(run.after(0))})
    assert merged.rows == 40_000
    assert max(page.rows for page in merged.newest.pages) == 500
