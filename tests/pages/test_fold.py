"""Folding against a model: a dict of key to row, to which the layers are applied one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from absdb.errors import InvalidInputError
from absdb.pages import fold as folding
from absdb.pages import key as keyed
from absdb.pages import lookup as looking
from absdb.pages import projection as projecting
from absdb.pages.fold import Fold, fold_pages, fold_table
from absdb.pages.key import KeyKind, KeySpec
from absdb.pages.lookup import lookup, lookup_one, row_values
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.section import Page, Section

thorough = settings(max_examples=3 * settings().max_examples)

KEYS = 40
"""Keys of the generated layers are numbers below this, each spec making its own key values of them."""


@dataclass(frozen=True)
class Layer:
    """Rows of one layer, number to value, None for a tombstone; and under which schema they are written."""

    rows: dict[int, int | None]
    cuts: tuple[int, ...] = ()
    widened: bool = True
    has_note: bool = True
    lsn_column: str = "none"
    rank: int = 0

    def lsn_of(self, number: int) -> int:
        return self.rank * 1000 + (0 if self.lsn_column == "none" else number // 3)

    def note_of(self, number: int) -> str | None:
        if not self.has_note:
            return "first"
        return None if self.rows[number] == 7 else f"{self.rank}/{number}"


@dataclass(frozen=True)
class Keying:
    """A key spec and the physical key columns of numbers; their order is the order of the numbers."""

    name: str
    types: dict[str, pa.DataType]
    columns: Callable[[Sequence[int]], list[Any]]
    spec: KeySpec = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "spec", KeySpec.of(tuple(self.types), tuple(self.types.values())))

    def arrays(self, numbers: Sequence[int]) -> list[pa.Array]:
        return [
            pa.array(values, of)
            for values, of in zip(self.columns(numbers), self.types.values(), strict=True)
        ]

    def key(self, number: int) -> Any:
        return keyed.first(self.spec.encode(self.arrays([number])))


KEYINGS = [
    Keying("integer", {"c1": pa.int64()}, lambda of: [[n - 20 for n in of]]),
    Keying("small integer", {"c1": pa.int16()}, lambda of: [[n - 20 for n in of]]),
    Keying("unsigned", {"c1": pa.uint64()}, lambda of: [[2**64 - 60 + n for n in of]]),
    Keying("timestamp", {"c1": pa.timestamp("us", "UTC")}, lambda of: [[n * 1_000_000 for n in of]]),
    Keying("string", {"c1": pa.string()}, lambda of: [[f"é{n:03d}" for n in of]]),
    Keying(
        "composite",
        {"c1": pa.int32(), "c2": pa.string()},
        lambda of: [[n // 5 for n in of], list(map(str, of))],
    ),
]
# Numbers as text sort otherwise than as numbers, but within five from a multiple of five they do not.


def section(keying: Keying, layer: Layer) -> Section:
    """The layer as a section of in-memory pages, cut before the rows whose positions are in `cuts`."""
    numbers = sorted(layer.rows)
    edges = [0, *sorted({cut for cut in layer.cuts if 0 < cut < len(numbers)}), len(numbers)]
    return Section(
        page(keying, layer, numbers[start:stop]) for start, stop in pairwise(edges) if start < stop
    )


def page(keying: Keying, layer: Layer, numbers: Sequence[int]) -> Page:
    values = [layer.rows[number] for number in numbers]
    columns = dict(zip(keying.types, keying.arrays(numbers), strict=True))
    columns["c7"] = pa.array(values, pa.int64() if layer.widened else pa.int16())
    if layer.has_note:
        notes = [None if layer.rows[number] is None else layer.note_of(number) for number in numbers]
        columns["c8"] = pa.array(notes, pa.string())
    lsns = pa.array([layer.lsn_of(number) for number in numbers], pa.int64())
    if layer.lsn_column != "none":
        columns["_lsn"] = lsns if layer.lsn_column == "plain" else pa.compute.run_end_encode(lsns)
    if None in values:
        columns["_op"] = pa.array([1 if value is None else 0 for value in values], pa.int8())
    batch = keying.spec.with_key(pa.record_batch(columns))
    return Page.of(batch, keying.spec, lsn=layer.rank * 1000 if layer.lsn_column == "none" else None)


def model_of(layers: Sequence[Layer]) -> dict[int, tuple[int, str | None, int]]:
    """number -> (value, note, lsn) after all layers, oldest first."""
    state: dict[int, tuple[int, str | None, int]] = {}
    for layer in layers:
        for number, value in layer.rows.items():
            if value is None:
                state.pop(number, None)
            else:
                state[number] = (value, layer.note_of(number), layer.lsn_of(number))
    return state


def projection_of(keying: Keying, *, extra: Sequence[str] = ()) -> Projection:
    columns = [OutputColumn(f"k{i}", name, of, of) for i, (name, of) in enumerate(keying.types.items())]
    columns.append(OutputColumn("value", "c7", pa.int64(), pa.int64()))
    columns.append(OutputColumn("note", "c8", pa.dictionary(pa.int32(), pa.string()), pa.string(), "first"))
    return Projection(columns, extra=extra)


def expected_rows(
    keying: Keying, model: dict[int, tuple[int, str | None, int]], *, lsn: bool = False
) -> list[Any]:
    numbers = sorted(model)
    keys = [array.to_pylist() for array in keying.arrays(numbers)]
    rest = [model[number][: 3 if lsn else 2] for number in numbers]
    return (
        [(*key, *values) for key, values in zip(zip(*keys, strict=True), rest, strict=True)]
        if numbers
        else []
    )


def rows_of(table: pa.Table | pa.RecordBatch) -> list[Any]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


@st.composite
def layer_lists(draw: st.DrawFn) -> list[Layer]:
    """Up to five layers, oldest first; any of them may be empty, the largest, or nothing but tombstones."""
    values = st.one_of(st.integers(0, 9), st.none())
    layers = []
    for rank in range(draw(st.integers(0, 5))):
        rows = draw(
            st.dictionaries(st.integers(0, KEYS - 1), values, max_size=draw(st.sampled_from([2, 8, KEYS])))
        )
        if draw(st.integers(0, 7)) == 0:
            rows = dict.fromkeys(rows)
        layers.append(
            Layer(
                rows,
                cuts=tuple(draw(st.sets(st.integers(1, KEYS), max_size=6))),
                widened=draw(st.booleans()),
                has_note=draw(st.booleans()),
                lsn_column=draw(st.sampled_from(["none", "plain", "runs"])),
                rank=rank + 1,
            )
        )
    return layers


keyings = st.sampled_from(KEYINGS)
ways = st.fixed_dictionaries(
    {
        "DELTA_ROWS_MAX": st.sampled_from([0, 10, 200_000]),
        "RANGE_ROWS": st.sampled_from([1, 7, 65_536]),
        "PIECES_SLICED_MAX": st.sampled_from([1, 4, 65]),
        "PIECES_JOINED_MAX": st.sampled_from([0, 3, 512]),
    }
)
"""Every way through the fold: merged whole or by range; sliced, joined or taken."""


@thorough
@given(
    keying=keyings,
    layers=layer_lists(),
    way=ways,
    max_chunks=st.sampled_from([1, 6, 5000]),
    slice_rows=st.sampled_from([1, 3, 9]),
)
def test_a_fold_is_the_state_the_layers_lead_to(
    keying: Keying, layers: list[Layer], way: dict[str, Any], max_chunks: int, slice_rows: int
) -> None:
    """Goal: whatever the layers, the fold has the rows of the model in key order, with their LSNs."""
    sections = [section(keying, layer) for layer in layers]
    projection = projection_of(keying, extra=["_lsn"])
    with patch.multiple(folding, **way):
        folded = Fold(keying.spec, sections)
        batches = list(folded.batches(projection, max_chunks=max_chunks, slice_rows=slice_rows))
    assert all(batch.num_rows for batch in batches)
    assert [row for batch in batches for row in rows_of(batch)] == expected_rows(
        keying, model_of(layers), lsn=True
    )


@thorough
@given(keying=keyings, layers=layer_lists(), way=ways, data=st.data())
def test_a_key_range_cuts_the_fold(
    keying: Keying, layers: list[Layer], way: dict[str, Any], data: st.DataObject
) -> None:
    """Goal: lo is included, hi is not, None is open; an empty range is an empty table of the same schema."""
    lo, hi = data.draw(st.tuples(*[st.one_of(st.none(), st.integers(0, KEYS))] * 2))
    bounds = (None if lo is None else keying.key(lo), None if hi is None else keying.key(hi))
    sections = [section(keying, layer) for layer in layers]
    projection = projection_of(keying)
    with patch.multiple(folding, **way):
        table = fold_table(keying.spec, sections, projection, key_range=bounds)
    kept = {
        number: row
        for number, row in model_of(layers).items()
        if (lo is None or number >= lo) and (hi is None or number < hi)
    }
    assert rows_of(table) == expected_rows(keying, kept)
    assert table.schema.equals(projection.schema)


@thorough
@given(
    keying=keyings,
    layers=layer_lists(),
    probes=st.lists(st.integers(0, KEYS + 3), max_size=60),
    aligned=st.sampled_from([1, 64]),
    pieces=st.sampled_from([0, 2]),
)
def test_lookup_and_fold_agree_with_the_model(
    keying: Keying, layers: list[Layer], probes: list[int], aligned: int, pieces: int
) -> None:
    """Goal: keys in any order, repeated too, find the rows the fold has and tell tombstones from nothing."""
    newest_first = [section(keying, layer) for layer in reversed(layers)]
    model, projection = model_of(layers), projection_of(keying)
    with patch.object(looking, "ALIGNED_MIN", aligned):
        found = lookup(keying.spec, newest_first, keying.spec.encode(keying.arrays(probes)))
    assert found.alive.tolist() == [number in model for number in probes]
    assert found.known.tolist() == [any(number in layer.rows for layer in layers) for number in probes]
    deciding = [
        next((layer for layer in reversed(layers) if number in layer.rows), None) for number in probes
    ]
    assert found.lsns().tolist() == [
        layer.lsn_of(number) if layer else 0 for number, layer in zip(probes, deciding, strict=True)
    ]
    assert [newest_first[number] if number >= 0 else None for number in found.layers.tolist()] == [
        newest_first[len(layers) - 1 - layers.index(layer)] if layer else None for layer in deciding
    ]
    rows = dict(zip(sorted(model), expected_rows(keying, model), strict=True))
    with patch.object(projecting, "PIECES_A_PAGE", pieces):
        taken = found.take(projection)
    assert rows_of(taken) == [rows[number] for number in probes if number in model]
    for number in probes:
        one = lookup_one(keying.spec, newest_first, keying.key(number))
        assert (one is not None) == (number in model)
        assert one is None or row_values(*one, projection) == rows[number]


@thorough
@given(keying=keyings, layers=layer_lists(), way=ways, rows_per_page=st.sampled_from([2, 5, 16, 40]))
def test_pages_of_a_fold_make_an_image_of_the_same_state(
    keying: Keying, layers: list[Layer], way: dict[str, Any], rows_per_page: int
) -> None:
    """Goal: the pages, as a section, are the state; kept pages are whole pages of a layer."""
    sections = [section(keying, layer) for layer in layers]
    columns: dict[str, tuple[Any, Any]] = {name: (of, None) for name, of in keying.types.items()}
    columns |= {"c7": (pa.int64(), None), "c8": (pa.string(), "first")}
    with patch.multiple(folding, **way):
        pages = list(fold_pages(keying.spec, sections, columns, rows_per_page=rows_per_page))
    extra = ["_lsn", "_key"] if keying.spec.kind is KeyKind.ENCODED else ["_lsn"]
    assert all(batch.schema.names == [*columns, *extra] for batch, _ in pages)
    assert all(batch.num_rows for batch, _ in pages)
    originals = {id(one) for layer in sections for one in layer.pages}
    for batch, kept in pages:
        if kept is None:
            assert batch.num_rows <= rows_per_page * 1.5
        else:
            assert id(kept) in originals
            assert (kept.rows, kept.deletes) == (batch.num_rows, 0)
    image = Section(Page.of(batch, keying.spec) for batch, _ in pages)
    projection = projection_of(keying, extra=["_lsn"])
    assert rows_of(fold_table(keying.spec, [image], projection)) == expected_rows(
        keying, model_of(layers), lsn=True
    )


# ---------------------------------------------------------------- larger pages, by hand

INTEGER = KEYINGS[0]
NUMBERS = Projection(
    [OutputColumn("id", "c1", pa.int64(), pa.int64()), OutputColumn("v", "c2", pa.int64(), pa.int64())]
)


def numbers_page(ids: np.ndarray[Any, Any], value: int, dead: bool = False) -> Page:
    columns = {"c1": pa.array(ids), "c2": pa.array(np.full(len(ids), value))}
    if dead:
        columns = {
            "c1": columns["c1"],
            "c2": pa.nulls(len(ids), pa.int64()),
            "_op": pa.array(np.ones(len(ids), np.int8)),
        }
    return Page.of(pa.record_batch(columns), INTEGER.spec, lsn=value)


@pytest.fixture
def base() -> Section:
    """The even ids below 20,000 in ten pages of 1,000."""
    return Section(numbers_page(np.arange(start, start + 2000, 2), 0) for start in range(0, 20_000, 2000))


def batches_of(*layers: Section, **options: Any) -> list[pa.RecordBatch]:
    return list(Fold(INTEGER.spec, layers).batches(NUMBERS, **options))


def same_memory(a: pa.RecordBatch, b: pa.RecordBatch) -> bool:
    return a.column(0).buffers()[1].address == b.column(0).buffers()[1].address


def test_a_page_without_changes_is_passed_through(base: Section) -> None:
    change = Section([numbers_page(np.array([4001, 4500]), 1)])
    batches = batches_of(base, change)
    assert len(batches) == 9 + 5
    assert same_memory(batches[0], base.pages[0].batch())
    assert [batch.num_rows for batch in batches[2:7]] == [1, 1, 249, 1, 749]


def test_few_changes_are_slices_and_many_are_a_new_page(base: Section) -> None:
    few = Section([numbers_page(np.arange(1, 64, 2), 1)])
    many = Section([numbers_page(np.arange(1, 68, 2), 1)])
    assert [len(batches_of(base, layer)) - 9 for layer in (few, many)] == [65, 1]
    assert same_memory(batches_of(base, few)[0], base.pages[0].batch())
    assert not same_memory(batches_of(base, many)[0], base.pages[0].batch())


def test_pages_are_written_anew_rather_than_cut_into_short_slices(base: Section) -> None:
    change = Section([numbers_page(np.array([100, 200, 2100]), 1)])
    whole = fold_table(INTEGER.spec, [base, change], NUMBERS)
    assert whole["id"].num_chunks == 8 + 5 + 3
    for slice_rows, chunks in ((200, 8 + 5 + 3), (201, 8 + 1 + 3), (334, 8 + 1 + 1)):
        table = fold_table(INTEGER.spec, [base, change], NUMBERS, slice_rows=slice_rows)
        assert table["id"].num_chunks == chunks
        assert table.equals(whole)


def test_a_page_written_anew_keeps_the_columns_that_an_update_left_alone(base: Section) -> None:
    updated = Section([numbers_page(np.arange(0, 200, 2), 1)])
    inserted = Section([numbers_page(np.arange(1, 201, 2), 1)])
    page = base.pages[0].batch()
    for layer, kept in ((updated, True), (inserted, False)):
        batch = batches_of(base, layer, slice_rows=1000)[0]
        assert same_memory(batch, page) == kept
        assert batch.column(1).to_pylist().count(1) == 100
    assert batches_of(base, Section([numbers_page(np.arange(0, 200, 4), 0)]), slice_rows=1000)[0].equals(
        batches_of(base)[0]
    )


@pytest.mark.parametrize(
    ("old", "new"), [(0.0, -0.0), (-0.0, 0.0), (float("nan"), 1.0), (None, 0.0)], ids=str
)
def test_an_update_that_changes_only_bits_is_read(old: float | None, new: float | None) -> None:
    kind = pa.float64()
    projection = Projection([OutputColumn("v", "c2", kind, kind)])
    pages = [
        Page.of(
            pa.record_batch({"c1": pa.array(range(100)), "c2": pa.array([value] * 100, kind)}), INTEGER.spec
        )
        for value in (old, new)
    ]
    layers = [Section([page]) for page in pages]
    layers[1] = Section([Page.of(pages[1].batch().take(pa.array([7, 50])), INTEGER.spec)])
    found = fold_table(INTEGER.spec, layers, projection, slice_rows=1000)["v"].to_pylist()
    assert list(map(str, found)) == [str(new if row in (7, 50) else old) for row in range(100)]


def test_neighbouring_changes_are_one_slice(base: Section) -> None:
    """Goal: a thousand new rows in a row cost a slice, not a rewritten page."""
    replaced = Section([numbers_page(np.arange(100, 1100), 1)])
    batches = batches_of(base, replaced)
    assert [batch.num_rows for batch in batches[:3]] == [50, 1000, 450]


def test_rows_beyond_the_base_stay_in_order(base: Section) -> None:
    outside = Section([numbers_page(np.array([-5, -3]), 1), numbers_page(np.array([19_999, 50_000]), 1)])
    ids = fold_table(INTEGER.spec, [base, outside], NUMBERS)["id"].to_pylist()
    assert ids == [-5, -3, *range(0, 20_000, 2), 19_999, 50_000]


def test_the_first_and_last_row_of_a_page_change_like_any_other(base: Section) -> None:
    edges = np.array([2000, 3998, 4000])
    for dead in (False, True):
        table = fold_table(INTEGER.spec, [base, Section([numbers_page(edges, 1, dead)])], NUMBERS)
        changed = [] if dead else edges.tolist()
        assert table.filter(pa.compute.equal(table["v"], 1))["id"].to_pylist() == changed
        assert table.num_rows == 10_000 - (3 if dead else 0)


def test_a_bound_on_chunks_is_kept_by_writing_pages_anew(base: Section) -> None:
    change = Section([numbers_page(np.arange(1, 20_000, 200), 1)])
    assert len(batches_of(base, change)) == 210
    for max_chunks in (0, 10, 30, 89, 100):
        batches = batches_of(base, change, max_chunks=max_chunks)
        assert len(batches) <= max(max_chunks, 10)
        assert pa.Table.from_batches(batches).equals(fold_table(INTEGER.spec, [base, change], NUMBERS))


def test_large_layers_that_do_not_overlap_pass_through(base: Section) -> None:
    """Goal: after an append nothing is copied, though neither layer is small."""
    appended = Section(
        numbers_page(np.arange(start, start + 1000), 1) for start in range(20_000, 29_000, 1000)
    )
    with patch.multiple(folding, DELTA_ROWS_MAX=0, RANGE_ROWS=1000):
        batches = batches_of(base, appended)
    sources = [*base.batches(), *appended.batches()]
    assert len(batches) == len(sources)
    assert all(same_memory(a, b) for a, b in zip(batches, sources, strict=True))


def test_large_layers_are_merged_a_bounded_part_at_a_time(base: Section) -> None:
    """Goal: no step's delta holds much more than a range's worth of rows, however many the layers have."""
    odd = Section(numbers_page(np.arange(start, start + 2000, 2), 1) for start in range(701, 16_000, 2000))
    with patch.multiple(folding, DELTA_ROWS_MAX=0, RANGE_ROWS=1000):
        steps = list(Fold(INTEGER.spec, [base, odd]).steps())
        table = fold_table(INTEGER.spec, [base, odd], NUMBERS)
    assert max(keyed.length(step.delta.keys) for step in steps if step.delta) <= 2000
    assert table["id"].to_pylist() == sorted([*range(0, 20_000, 2), *range(701, 16_701, 2)])


def test_the_base_may_be_in_the_middle(base: Section) -> None:
    """Goal: what is older than the largest layer loses against it, also against its tombstones."""
    older = Section([numbers_page(np.array([0, 1, 2, 3]), 5)])
    middle = Section(
        [numbers_page(np.array([0]), 1, dead=True), *base.pages[1:], numbers_page(np.array([30_000]), 0)]
    )
    newer = Section([numbers_page(np.array([3]), 7)])
    table = fold_table(INTEGER.spec, [older, middle, newer], NUMBERS)
    assert table.slice(0, 3).to_pylist() == [{"id": 1, "v": 5}, {"id": 2, "v": 5}, {"id": 3, "v": 7}]


def test_only_tombstones_are_an_empty_state(base: Section) -> None:
    graves = Section([numbers_page(np.arange(0, 20_000, 2), 1, dead=True)])
    assert batches_of(base, graves) == []
    assert batches_of(graves) == []
    assert batches_of() == []


def test_an_empty_state_has_its_schema() -> None:
    schema = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("v", pa.int64())], {"a": "b"})
    table = fold_table(INTEGER.spec, [], NUMBERS, schema)
    assert table.schema.equals(schema, check_metadata=True)
    with pytest.raises(InvalidInputError, match="expected a schema"):
        fold_table(INTEGER.spec, [], NUMBERS, pa.schema({"id": pa.int32()}))


def test_one_fold_serves_many_projections(base: Section) -> None:
    once = Fold(INTEGER.spec, [base, Section([numbers_page(np.array([1]), 1)])])
    only_id = Projection([OutputColumn("id", "c1", pa.int64(), pa.int64())])
    assert once.table(NUMBERS).select(["id"]).equals(once.table(only_id))
    assert once.table(NUMBERS).num_rows == 10_001


def pages_of(*layers: Section, rows_per_page: int = 1000) -> Iterator[tuple[pa.RecordBatch, Page | None]]:
    columns = {"c1": (pa.int64(), None), "c2": (pa.int64(), None)}
    return fold_pages(INTEGER.spec, layers, columns, rows_per_page=rows_per_page)


def test_compaction_keeps_untouched_pages(base: Section) -> None:
    change = Section([numbers_page(np.array([4500]), 1)])
    kept = [page for _, page in pages_of(base, change)]
    assert kept == [*base.pages[:2], None, *base.pages[3:]]


def test_compaction_does_not_fragment_pages_at_the_bounds_of_ranges(base: Section) -> None:
    """Goal: where two large layers begin their pages at different keys, pages still come out full."""
    change = Section(numbers_page(np.arange(start, start + 2000, 2), 1) for start in range(701, 16_000, 2000))
    with patch.multiple(folding, DELTA_ROWS_MAX=0, RANGE_ROWS=1):
        written = [batch.num_rows for batch, _ in pages_of(base, change)]
    assert sum(written) == 18_000
    assert min(written[:-1]) >= 750


def test_compaction_splits_a_page_that_grew_and_joins_what_shrank(base: Section) -> None:
    grown = Section([numbers_page(np.arange(2001, 4000, 2), 1)])
    assert [batch.num_rows for batch, page in pages_of(base, grown) if page is None] == [1000, 1000]
    shrunk = Section([numbers_page(np.arange(4, 4000, 2), 1, dead=True)])
    written = [
        (batch.num_rows, batch.column(0)[0].as_py()) for batch, page in pages_of(base, shrunk) if page is None
    ]
    assert written == [(2, 0)]
    more = Section([numbers_page(np.arange(4, 2004, 2), 1, dead=True)])
    assert [batch.num_rows for batch, page in pages_of(base, more) if page is None] == [1000]


def test_a_lone_small_page_is_kept() -> None:
    small = Section([numbers_page(np.array([1, 2, 3]), 0)])
    assert [page for _, page in pages_of(small)] == list(small.pages)
