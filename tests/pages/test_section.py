"""Pages and sections in memory, against sorted lists; files behind them are tested with the store."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import StateError
from absdb.pages.decoded import DecodedCache
from absdb.pages.finder import BinaryFinder
from absdb.pages.key import KeySpec, to_list
from absdb.pages.section import DELETE, LSN, OP, UPSERT, Page, Section

SPECS = {
    "int64": (KeySpec.of(("c1",), (pa.int64(),)), st.tuples(st.integers(-(2**63), 2**63 - 1))),
    "small": (KeySpec.of(("c1",), (pa.int8(),)), st.tuples(st.integers(-128, 127))),
    "uint64": (KeySpec.of(("c1",), (pa.uint64(),)), st.tuples(st.integers(0, 2**64 - 1))),
    "text": (KeySpec.of(("c1",), (pa.string(),)), st.tuples(st.text("ab\0ä", max_size=4))),
    "pair": (
        KeySpec.of(("c1", "c2"), (pa.string(), pa.int16())),
        st.tuples(st.text("ab\0ä", max_size=2), st.integers(-2, 2)),
    ),
}
INTEGER = SPECS["int64"][0]


def section_of(spec: KeySpec, values: list[Any], rows_per_page: int, **columns: pa.Array) -> Section:
    """A section of rows in the order given."""
    data = {
        name: pa.array([row[at] for row in values], type_)
        for at, (name, type_) in enumerate(zip(spec.columns, spec.types, strict=True))
    }
    batch = spec.with_key(pa.RecordBatch.from_pydict(data | columns))
    return Section.of([batch.slice(n, rows_per_page) for n in range(0, len(values) + 1, rows_per_page)], spec)


@st.composite
def sections(draw: st.DrawFn, *, unique: bool) -> tuple[KeySpec, Section, list[Any], list[Any]]:
    """(spec, section, its keys in order, probes: some of the keys and some others)."""
    spec, values = draw(st.sampled_from(list(SPECS.values())))
    by_key = {spec.encode_one(row): row for row in draw(st.lists(values, max_size=20))}
    keys = [key for key in sorted(by_key) for _ in range(1 if unique else draw(st.integers(1, 4)))]
    section = section_of(spec, [by_key[key] for key in keys], draw(st.sampled_from([1, 2, 3, 50])))
    others = [spec.encode_one(row) for row in draw(st.lists(values, max_size=5))]
    return spec, section, keys, [*by_key, *others]


@given(sections(unique=True))
def test_rows_are_found_where_they_are(case: Any) -> None:
    _, section, keys, probes = case
    assert section.rows == len(keys)
    assert to_list(section.firsts) == [page.first for page in section.pages]
    assert to_list(section.lasts) == [page.last for page in section.pages]
    for probe in probes:
        found = section.find(probe)
        assert (found is None) == (probe not in keys)
        if found is not None:
            page, row = found
            assert to_list(page.keys())[row] == probe
            assert section.pages[section.page_for(probe)] is page
            assert section.rows_of(probe) == [(page, row)]
        before = sum(page.rows for page in section.pages[: section.page_for(probe)])
        if section.page_for(probe) < len(section.pages):
            before += section.pages[section.page_for(probe)].position(probe)
        assert before == bisect_left(keys, probe)


@given(sections(unique=False), st.data())
def test_slices_hold_the_keys_between_their_bounds(case: Any, data: st.DataObject) -> None:
    _, section, keys, probes = case
    bound = st.sampled_from([None, *probes])
    lo, hi = data.draw(bound), data.draw(bound)
    found = [
        key for page, start, stop in section.slice_keys(lo, hi) for key in to_list(page.keys())[start:stop]
    ]
    assert found == [key for key in keys if (lo is None or key >= lo) and (hi is None or key < hi)]
    for probe in probes:
        rows = section.rows_of(probe)
        assert [to_list(page.keys())[row] for page, row in rows] == [key for key in keys if key == probe]
        assert len(set(rows)) == len(rows)


def test_slicing_loads_only_the_pages_at_the_bounds() -> None:
    loaded: list[int] = []

    def page(number: int) -> Page:
        def load() -> pa.RecordBatch:
            loaded.append(number)
            return pa.RecordBatch.from_pydict({"c1": np.arange(number * 10, number * 10 + 10)})

        return Page(INTEGER, 10, number * 10, number * 10 + 9, load=load)

    section = Section(page(number) for number in range(10))
    assert [(start, stop) for _, start, stop in section.slice_keys(10, 90)] == [(0, 10)] * 8
    assert section.slice_keys(200, None) == section.slice_keys(None, -5) == section.slice_keys(30, 30) == []
    assert section.find(1000) is None
    assert loaded == []
    assert [stop - start for _, start, stop in section.slice_keys(15, 85)] == [5, *[10] * 6, 5]
    assert loaded == [1, 8]


def test_an_empty_section_has_nothing() -> None:
    empty = Section.EMPTY
    assert (empty.rows, empty.deletes, empty.has_deletes, len(empty)) == (0, 0, False, 0)
    assert (empty.find(1), empty.rows_of(b""), empty.slice_keys(None, None)) == (None, [], [])
    assert (len(empty.firsts), len(empty.lasts), empty.page_for(5)) == (0, 0, 0)


def test_lsns_and_ops_come_from_the_columns_or_are_constant() -> None:
    ops = pa.array([UPSERT, DELETE, UPSERT, UPSERT], pa.int8())
    plain = pa.array([1, 1, 5, 5], pa.int64())
    encoded = pa.RunEndEncodedArray.from_arrays(pa.array([2, 4], pa.int32()), pa.array([1, 5]))
    for lsns in (plain, encoded):
        section = section_of(INTEGER, [(n,) for n in range(4)], 2, **{OP: ops, LSN: lsns})
        assert [page.lsns().tolist() for page in section.pages] == [[1, 1], [5, 5]]
        assert [page.lsn for page in section.pages] == [None, None]
        assert section.pages[0].ops().tolist() == [0, 1]  # type: ignore[union-attr]
        assert section.pages[1].ops() is None
        assert (section.deletes, section.has_deletes) == (1, True)


def test_an_lsn_can_be_bound_later() -> None:
    section = section_of(INTEGER, [(n,) for n in range(4)], 2)
    with pytest.raises(StateError, match="no LSN"):
        section.pages[0].lsns()
    bound = section.with_lsn(99)
    assert [page.lsns().tolist() for page in bound.pages] == [[99, 99], [99, 99]]
    assert bound.table() == section.table()
    assert section.pages[0].lsn is None


def test_what_a_page_hands_out_cannot_be_changed() -> None:
    page = section_of(INTEGER, [(1,), (2,)], 2).with_lsn(5).pages[0]
    for array in (page.keys(), page.lsns()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_the_cache_takes_the_oldest_unused_first() -> None:
    cache = DecodedCache(250)
    pages = [_loaded(cache) for _ in range(3)]
    for page in pages:
        page.batch()
        page.used = False
        cache.admit(page, "_batch", 100)
    assert [page._batch is not None for page in pages] == [False, True, True]
    pages[1].used = True
    late = _loaded(cache)
    late.batch()
    late.used = False
    cache.admit(late, "_batch", 100)
    assert [page._batch is not None for page in (*pages, late)] == [False, True, False, True]
    assert cache.bytes_held == 200
    assert pages[0].batch().num_rows == 1


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = DecodedCache(10)
    page = _loaded(cache)
    page.batch()
    cache.admit(page, "_batch", 100)
    assert (cache.bytes_held, page._batch) == (0, None)


def _loaded(cache: DecodedCache) -> Page:
    return Page(INTEGER, 1, 1, 1, load=lambda: pa.RecordBatch.from_pydict({"c1": pa.array([1])}), cache=None)


def test_reprs_say_where_a_page_is() -> None:
    section = section_of(INTEGER, [(1,), (2,)], 2)
    assert repr(section.pages[0]) == "<Page memory, 2 rows, 1 to 2>"
    assert repr(section) == "<Section of 1 pages, 2 rows, 0 tombstones>"


@given(st.lists(st.binary(max_size=3), min_size=1, max_size=60), st.lists(st.binary(max_size=3)), st.data())
def test_binary_keys_are_found_between_fences(keys: list[bytes], others: list[bytes], data: Any) -> None:
    """As in a large page, but with few keys: the distance of the fences is drawn."""
    keys.sort()
    array = pa.array([b"before", *keys, b"after"], pa.binary()).slice(1, len(keys))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("absdb.pages.finder.FENCES", data.draw(st.integers(1, 20)))
        finder = BinaryFinder(array)
    for key in (*keys, *others):
        assert finder.find(key) == (keys.index(key) if key in keys else -1)
