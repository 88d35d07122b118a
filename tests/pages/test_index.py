"""Index runs: every row without nulls is found by its values, and only rows that had them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError
from absdb.pages import index
from absdb.pages.index import IndexSpec, build_index, encode_values, merge_index, probe, probe_one
from absdb.pages.key import KeySpec, from_list, is_increasing, to_list

KEYS = {
    "int": KeySpec.of(["c0"], [pa.int64()]),
    "text": KeySpec.of(["c0"], [pa.string()]),
    "pair": KeySpec.of(["c0", "c1"], [pa.int64(), pa.string()]),
}
VALUES: dict[str, tuple[pa.DataType, ...]] = {
    "int": (pa.int32(),),
    "unsigned": (pa.uint64(),),
    "text": (pa.string(),),
    "pair": (pa.string(), pa.int8()),
    "float": (pa.float64(),),
}
SMALL: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int32(): st.integers(-3, 3),
    pa.uint64(): st.integers(2**63, 2**63 + 3),
    pa.int8(): st.integers(0, 1),
    pa.string(): st.sampled_from(["", "a", "b\x00", "c"]),
    pa.float64(): st.sampled_from([0.0, -0.0, 1.5, float("nan")]),
}
Row = tuple[Any, ...]


@st.composite
def tables(draw: st.DrawFn) -> tuple[IndexSpec, list[pa.RecordBatch], list[tuple[Any, Row]]]:
    """A spec, pages in key order, perhaps with tombstones, and (row key, values) of the rows that count."""
    key = KEYS[draw(st.sampled_from(sorted(KEYS)))]
    types = VALUES[draw(st.sampled_from(sorted(VALUES)))]
    names = [f"c{i + 5}" for i in range(len(types))]
    ids = draw(st.lists(st.integers(0, 50), unique=True, max_size=20).map(sorted))
    values = [draw(st.tuples(*[st.none() | SMALL[type_] for type_ in types])) for _ in ids]
    deleted = [draw(st.booleans()) for _ in ids]
    texts = [f"{n:03}" for n in ids]
    columns = {"c0": pa.array(texts if key.types == (pa.string(),) else ids, key.types[0])}
    columns |= {"c1": pa.array(texts, pa.string())}
    for i, (name, type_) in enumerate(zip(names, types, strict=True)):
        columns[name] = pa.array([row[i] for row in values], type_)
    if draw(st.booleans()):
        columns["_op"] = pa.array(deleted, pa.bool_()).cast(pa.int8())
    else:
        deleted = [False] * len(ids)
    batch = key.with_key(pa.record_batch(columns))
    cut = draw(st.integers(0, len(ids)))
    keys = to_list(key.keys_of(batch))
    kept = [
        (k, row) for k, row, gone in zip(keys, values, deleted, strict=True) if not gone and None not in row
    ]
    return IndexSpec.of(names, types, key), [batch.slice(0, cut), batch.slice(cut)], kept


def entries_of(batches: list[pa.RecordBatch]) -> list[tuple[Any, Any]]:
    return [(row["_value"], row["_row"]) for batch in batches for row in batch.to_pylist()]


@given(tables())
def test_an_index_holds_each_row_under_its_values(table: Any) -> None:
    spec, batches, rows = table
    built = build_index(spec, batches)
    expected = sorted((spec.values.encode_one(values), key) for key, values in rows)
    assert len(built) == 1
    assert entries_of(built) == expected


@given(tables(), st.randoms())
def test_probing_gives_all_candidates(table: Any, random: Any) -> None:
    spec, batches, rows = table
    built = [page for batch in batches for page in build_index(spec, [batch])]
    wanted = [values for _, values in rows]
    random.shuffle(wanted)
    encoded = [spec.values.encode_one(values) for values in wanted]
    positions, keys = probe(built, from_list(spec.values, encoded))
    found = sorted(zip(positions.tolist(), to_list(keys), strict=True))
    by_value = [(spec.values.encode_one(values), key) for key, values in rows]
    assert found == sorted(
        (i, key) for i, value in enumerate(encoded) for known, key in by_value if known == value
    )
    for value in encoded:
        assert sorted(probe_one(built, value)) == sorted(key for known, key in by_value if known == value)


@given(tables(), tables())
def test_values_that_are_not_there_give_nothing(table: Any, other: Any) -> None:
    spec, batches, rows = table
    built = build_index(spec, batches)
    known = {spec.values.encode_one(values) for _, values in rows}
    if spec.types == (pa.int32(),):
        absent: list[Any] = [value for value in (-99, -1, 0, 1, 99) if value not in known]
    elif spec.types == (pa.uint64(),):
        absent = [0, 2**64 - 1]
    else:
        absent = [b"", b"\xff\xff"] if b"" not in known else [b"\xff\xff"]
    positions, keys = probe(built, from_list(spec.values, absent))
    assert (positions.tolist(), to_list(keys)) == ([], [])
    assert [probe_one(built, value) for value in absent] == [[]] * len(absent)
    assert probe(built, from_list(spec.values, []))[0].tolist() == []


@given(tables())
def test_merging_runs_is_building_one(table: Any) -> None:
    spec, batches, _ = table
    parts = [page for batch in reversed(batches) for page in build_index(spec, [batch])]
    assert entries_of(merge_index(spec, [*parts, parts[0]])) == entries_of(build_index(spec, batches))


def test_values_are_encoded_as_the_index_does() -> None:
    key = KEYS["int"]
    for arrays in (
        [pa.array([3, 1, 2], pa.int32())],
        [pa.array(["b", "a"])],
        [pa.array(["b", "a"]), pa.array([1, 2], pa.int8())],
    ):
        names = [f"c{i + 5}" for i in range(len(arrays))]
        batch = pa.record_batch([pa.array(range(len(arrays[0]))), *arrays], names=["c0", *names])
        spec = IndexSpec.of(names, [array.type for array in arrays], key)
        positions, keys = probe(build_index(spec, [batch]), encode_values(arrays))
        assert (positions.tolist(), to_list(keys)) == (
            list(range(len(arrays[0]))),
            list(range(len(arrays[0]))),
        )


def test_rows_out_of_key_order_are_sorted() -> None:
    spec = IndexSpec.of(["c5"], [pa.int64()], KEYS["int"])
    batch = pa.record_batch({"c0": [3, 1, 2], "c5": [7, 7, 7]})
    assert entries_of(build_index(spec, [batch])) == [(7, 1), (7, 2), (7, 3)]


def test_nothing_makes_an_empty_index() -> None:
    for name, key in KEYS.items():
        spec = IndexSpec.of(["c5"], [pa.string()], key)
        built = build_index(spec, [])
        assert [batch.num_rows for batch in built] == [0]
        positions, keys = probe(built, pa.array([b"a"]))
        assert len(positions) == len(keys) == 0
        assert isinstance(keys, np.ndarray) == (name == "int")
    assert len(probe([], np.array([1]))[0]) == 0
    assert probe_one([], 1) == []


def test_an_index_past_the_bounds_of_a_batch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = IndexSpec.of(["c5"], [pa.int64()], KEYS["int"])
    batches = [
        pa.record_batch({"c0": list(range(n, n + 4)), "c5": [n % 3, 0, 1, 2]}) for n in range(0, 40, 4)
    ]
    whole = build_index(spec, batches)
    for bound, value in (("BATCH_ROWS_MAX", 10), ("BATCH_BYTES_MAX", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(index, bound, value)
            cut = build_index(spec, batches)
        assert len(cut) > 1
        assert all(is_increasing(batch.column("_value").to_numpy(), strict=False) for batch in cut)
        assert sorted(entries_of(cut)) == entries_of(whole)
        assert sorted(probe_one(cut, 2)) == probe_one(whole, 2)


def test_values_of_another_form_are_refused() -> None:
    built = build_index(IndexSpec.of(["c5"], [pa.uint64()], KEYS["int"]), [])
    with pytest.raises(
        InvalidInputError, match="an index over uint64 values cannot be probed with int64 values"
    ):
        probe(built, np.array([1], np.int64))


def test_a_column_without_order_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"column 'c5' of type list\[int64\] cannot be part of a key"):
        IndexSpec.of(["c5"], [pa.list_(pa.int64())], KEYS["int"])
