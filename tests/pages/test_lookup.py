"""Where keys are found. That lookups agree with folds and with a model is in test_fold.py."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.pages import key as keyed
from absdb.pages import lookup as looking
from absdb.pages.key import KeySpec
from absdb.pages.lookup import lookup, lookup_one, row_values
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.section import Page, Section

INTEGER = KeySpec.of(("c1",), (pa.int64(),))
STRING = KeySpec.of(("c1",), (pa.string(),))
PROJECTION = Projection(
    [OutputColumn("id", "c1", pa.int64(), pa.int64()), OutputColumn("v", "c2", pa.int64(), pa.int64())]
)


def page(ids: Sequence[int], value: int, dead: Sequence[int] = (), spec: KeySpec = INTEGER) -> Page:
    keys = pa.array(ids) if spec is INTEGER else pa.array([f"k{number:05d}" for number in ids])
    columns = {"c1": keys, "c2": pa.array([None if number in dead else value for number in ids], pa.int64())}
    if dead:
        columns["_op"] = pa.array([number in dead for number in ids]).cast(pa.int8())
    return Page.of(pa.record_batch(columns), spec, lsn=value)


def counted(pages: list[Page]) -> tuple[list[Page], list[Page]]:
    """The pages, loaded on demand, and a list to which each is added when its batch is loaded."""
    loaded: list[Page] = []

    def lazy(one: Page) -> Page:
        def load() -> pa.RecordBatch:
            loaded.append(copy)
            return one.batch()

        copy = Page(one.spec, one.rows, one.first, one.last, lsn=one.lsn, deletes=one.deletes, load=load)
        return copy

    return [lazy(one) for one in pages], loaded


def test_the_newest_layer_that_has_a_key_decides() -> None:
    layers = [
        Section([page([2, 4, 9], 3, dead=[4, 9])]),
        Section([page([2, 3, 4], 2, dead=[3])]),
        Section([page([1, 2, 3], 1), page([4, 5, 6], 1)]),
    ]
    found = lookup(INTEGER, layers, np.arange(8))
    assert len(found) == 8
    assert found.alive.tolist() == [False, True, True, False, False, True, True, False]
    assert found.known.tolist() == [False, True, True, True, True, True, True, False]
    assert found.lsns().tolist() == [0, 1, 3, 2, 3, 1, 1, 0]
    assert found.take(PROJECTION).to_pylist() == [
        {"id": 1, "v": 1}, {"id": 2, "v": 3}, {"id": 5, "v": 1}, {"id": 6, "v": 1},
    ]  # fmt: skip


def test_probes_come_back_in_their_own_order() -> None:
    layers = [Section([page([5], 2)]), Section([page([1, 3], 1), page([5, 7], 1)])]
    probes = np.array([7, 1, 5, 4, 1, 7])
    found = lookup(INTEGER, layers, probes)
    assert found.take(PROJECTION)["id"].to_pylist() == [7, 1, 5, 1, 7]
    assert found.lsns().tolist() == [1, 1, 2, 0, 1, 1]


@pytest.mark.parametrize("layers", [[], [Section.EMPTY], [Section.EMPTY, Section([page([1], 1)])]])
def test_nothing_to_find_gives_an_empty_batch(layers: list[Section]) -> None:
    found = lookup(INTEGER, layers, np.array([2, 3]))
    assert not found.known.any()
    assert found.take(PROJECTION).equals(PROJECTION.empty())
    assert list(found.batches(PROJECTION)) == []
    assert len(lookup(INTEGER, layers, np.empty(0, np.int64)).alive) == 0
    assert lookup_one(INTEGER, layers, 2) is None


def test_only_pages_that_can_decide_are_loaded() -> None:
    """Goal: fences keep a page shut, and so does a newer layer that has decided all its probes."""
    pages, loaded = counted([page([0, 10], 1), page([20, 30], 1), page([40, 50], 1)])
    layers = [Section([page([40], 2)]), Section(pages)]
    lookup(INTEGER, layers, np.array([15, 25, 40]))
    assert loaded == [pages[1]]
    assert lookup_one(INTEGER, layers, 40) is not None
    assert lookup_one(INTEGER, layers, 15) is None
    assert loaded == [pages[1]]


def test_few_rows_are_searched_in_many_probes_and_the_other_way_round() -> None:
    for probes in (np.arange(0, 5000), np.arange(0, 5000, 1000)):
        layers = [Section([page(range(0, 5000, 700), 2)]), Section([page(range(0, 5000, 2), 1)])]
        found = lookup(INTEGER, layers, probes)
        assert found.alive.tolist() == [number % 2 == 0 for number in probes.tolist()]
        assert found.lsns().tolist() == [
            2 if number % 700 == 0 else 1 - number % 2 for number in probes.tolist()
        ]


def test_rows_of_a_page_without_gaps_are_placed_without_reading_it() -> None:
    """Goal: not so where a tombstone or a gap lies between its fences, and not above a newer layer."""
    pages, loaded = counted(
        [page(range(0, 10), 1), page([10, 12], 1), page(range(20, 30), 1, dead=[25]), page(range(30, 40), 1)]
    )
    layers = [Section([page([3, 33], 2)]), Section(pages)]
    found = lookup(INTEGER, layers, np.array([3, 4, 9, 11, 12, 24, 25, 33, 39, 40]))
    assert loaded == [pages[1], pages[2]]
    assert found.alive.tolist() == [True] * 3 + [False, True, True, False, True, True, False]
    assert found.layers.tolist() == [0, 1, 1, -1, 1, 1, 1, 0, 1, -1]
    assert found.take(PROJECTION)["id"].to_pylist() == [3, 4, 9, 12, 24, 33, 39]


@pytest.mark.parametrize("spec", [INTEGER, STRING])
@pytest.mark.parametrize(
    ("start", "step", "count"), [(0, 2, 300), (100, 2, 150), (101, 2, 150), (100, 4, 70)]
)
def test_a_stretch_of_a_page_is_found_as_it_is(spec: KeySpec, start: int, step: int, count: int) -> None:
    section = Section([page(range(0, 600, 2), 1, spec=spec)])
    wanted = range(start, start + step * count, step)
    keys = np.array(wanted) if spec is INTEGER else keyed.from_list(spec, [b"k%05d" % one for one in wanted])
    found = lookup(spec, [section], keys)
    assert found.alive.tolist() == [one % 2 == 0 and one < 600 for one in wanted]
    rows = found.take(Projection([OutputColumn.plain("c1", spec.types[0])]))
    assert keyed.to_list(spec.keys_of(rows)) == keyed.to_list(keyed.take(keys, np.flatnonzero(found.alive)))


def test_rows_come_in_batches_of_bounded_size() -> None:
    found = lookup(INTEGER, [Section([page(range(10), 1)])], np.arange(3, 20))
    batches = list(found.batches(PROJECTION, 3))
    assert [batch.num_rows for batch in batches] == [3, 3, 1]
    assert pa.Table.from_batches(batches)["id"].to_pylist() == list(range(3, 10))


def test_logical_columns_are_made_of_what_was_found() -> None:
    logical = pa.dictionary(pa.int32(), pa.int64())
    projection = Projection([OutputColumn("v", "c2", logical, pa.int64())])
    layers = [Section([page([1], 2)]), Section([page([1, 2], 1)])]
    batch = lookup(INTEGER, layers, np.array([1, 2])).take(projection)
    assert (batch.column(0).type, batch.column(0).to_pylist()) == (logical, [2, 1])


# ---------------------------------------------------------------- one key


def test_one_row_of_the_newest_version() -> None:
    layers = [Section([page([2, 4], 2, dead=[4])]), Section([page([1, 2, 4], 1)])]
    rows = [lookup_one(INTEGER, layers, key) for key in range(6)]
    assert [None if one is None else row_values(*one, PROJECTION) for one in rows] == [
        None, (1, 1), (2, 2), None, None, None,
    ]  # fmt: skip


@given(
    keys=st.sets(st.binary(max_size=4), min_size=1, max_size=60),
    others=st.lists(st.binary(max_size=5), max_size=20),
    offset=st.integers(0, 3),
    limits=st.sampled_from([(0, 1), (0, 3), (0, 16), (0, 100), (4096, 1024)]),
)
def test_binary_keys_are_found_one_by_one(
    keys: set[bytes], others: list[bytes], offset: int, limits: tuple[int, int]
) -> None:
    """Goal: every key of a page, sliced or not, small or large, is found at its row, and no other key is."""
    ordered = sorted(keys)
    array = pa.array([b""] * offset + ordered, pa.binary()).slice(offset)
    with patch.multiple(looking, FINDER_DICT_ROWS=limits[0], FINDER_FENCES=limits[1]):
        finder = looking._Finder(array)
        assert [finder.find(key) for key in ordered] == list(range(len(ordered)))
        for key in others:
            assert finder.find(key) == (ordered.index(key) if key in keys else -1)


@pytest.mark.parametrize("rows", [10, 9_000])
def test_string_keys_are_found_one_by_one(rows: int) -> None:
    section = Section(
        [page(range(0, rows, 2), 1, spec=STRING), page(range(rows, rows * 2, 2), 1, spec=STRING)]
    )
    newer = Section([page([4, 5], 2, dead=[4], spec=STRING)])

    def value(number: int) -> Any:
        one = lookup_one(STRING, [newer, section], b"k%05d" % number)
        return one and one[0].batch()["c2"][one[1]].as_py()

    probes = [0, 1, 4, 5, rows - 2, rows, rows + 1, 2 * rows - 2, 2 * rows]
    assert [value(number) for number in probes] == [1, None, None, 2, 1, 1, None, 1, None]


def test_what_single_lookups_remember_goes_with_the_keys() -> None:
    gc.collect()
    before = len(looking._finders)
    section = Section([page([1, 2], 1, spec=STRING)])
    assert lookup_one(STRING, [section], b"k00001") == (section.pages[0], 0)
    assert len(looking._finders) == before + 1
    del section
    gc.collect()
    assert len(looking._finders) == before


def test_keys_of_another_order_are_found_too() -> None:
    """Goal: unsorted string keys with repeats; the order of bytes decides, not that of numbers."""
    section = Section([page([1, 2, 30], 1, spec=STRING)])
    keys = keyed.from_list(STRING, [b"k00030", b"k00001", b"k00009", b"k00030"])
    found = lookup(STRING, [section], keys)
    assert found.alive.tolist() == [True, True, False, True]
