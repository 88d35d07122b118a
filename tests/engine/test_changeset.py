"""The body of a COMMIT record: what goes in comes out, damage is noticed, old bodies are read forever."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.changeset import RowChange, TableChange, count_rows, decode, decode_table, encode
from absdb.errors import CorruptionError
from absdb.ids import ColumnId, EraId, TableId
from tests.engine.golden import BODIES, ERA, GOLDEN, SCHEMA, pages, rows

# ---------------------------------------------------------------- golden bodies


@pytest.mark.parametrize("name", BODIES)
def test_bodies_are_written_as_ever(name: str) -> None:
    assert BODIES[name]() == (GOLDEN / f"{name}.bin").read_bytes()


def test_golden_rows_are_read() -> None:
    found = decode((GOLDEN / "rows.bin").read_bytes())
    assert (found.era, found.meta, found.used) == (ERA, {"author": "ann", "message": "first"}, {"row:3": 17})
    ((kind, table, data),) = found.tables
    change = decode_table(kind, SCHEMA, data)
    assert table == 3
    assert change == rows()
    assert (change.inserted, change.updated, change.deleted) == (1, 1, 1)
    assert change.rows is not None
    assert change.rows[0].row == (1, "Grüße", Decimal("12.50"), True)


def test_golden_definitions_are_read() -> None:
    found = decode((GOLDEN / "schema.bin").read_bytes())
    assert found.schema_changes == {
        ("table", 3): SCHEMA,
        ("namespace", "sales"): {"name": "sales"},
        ("sequence", 9): None,
    }


def test_golden_pages_are_read() -> None:
    found = decode((GOLDEN / "pages.bin").read_bytes())
    ((kind, _, data),) = found.tables
    assert decode_table(kind, SCHEMA, data) == pages()
    assert found.meta == {"kind": "merge"}


# ---------------------------------------------------------------- anything that can be written can be read

KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "i": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "f": (pa.float64(), st.floats(allow_nan=False)),
    "s": (pa.string(), st.text(max_size=20)),
    "b": (pa.binary(), st.binary(max_size=20)),
    "d": (pa.decimal128(12, 3), st.decimals(-999, 999, places=3)),
    "t": (pa.timestamp("us"), st.integers(-(2**60), 2**60)),
    "o": (pa.bool_(), st.booleans()),
}


@st.composite
def changes(draw: Any) -> TableChange:
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=9))
    columns = [Column(id=ColumnId(1), name="id", type=pa.int64())]
    columns += [
        Column(id=ColumnId(at), name=f"{name}{at}", type=KINDS[name][0])
        for at, name in enumerate(names, start=2)
    ]
    schema = TableSchema(id=TableId(9), name="t", columns=tuple(columns), key=(ColumnId(1),))
    made = []
    for key in draw(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1, max_size=6)):
        row, before = [
            (key, *[draw(st.none() | KINDS[name][1]) for name in names]) if draw(st.booleans()) else None
            for _ in range(2)
        ]
        if row is not None or before is not None:
            made.append(RowChange(key, row, before))
    change = TableChange(schema, rows=made)
    count_rows(change)
    return change


@given(changes())
def test_rows_come_back(change: TableChange) -> None:
    body = encode(EraId(1), [change], meta={}, schema_changes={}, used={})
    ((kind, _, data),) = decode(body).tables
    assert decode_table(kind, change.schema, data) == change


@pytest.mark.parametrize("with_before", [True, False])
def test_batches_come_back(with_before: bool) -> None:
    batch = pa.record_batch(
        {"c4": pa.array([1, 2], pa.int64()), "c5": ["a", None], "_op": pa.array([0, 1], pa.int8())}
    )
    before = pa.record_batch({"c4": pa.array([2], pa.int64()), "c5": ["b"]}) if with_before else None
    body = encode(ERA, [TableChange(SCHEMA, batch=batch, before=before)], meta={}, schema_changes={}, used={})
    ((kind, _, data),) = decode(body).tables
    change = decode_table(kind, SCHEMA, data)
    assert change.batch.equals(batch)
    assert change.before is None if before is None else change.before.equals(before)


# ---------------------------------------------------------------- damage


def test_another_format_is_refused() -> None:
    with pytest.raises(CorruptionError, match="format 2, this absdb knows 1"):
        decode(b"\x02" + BODIES["rows"]()[1:])


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(CorruptionError, match="unknown kind 99"):
        decode(BODIES["rows"]() + b"\x63" + bytes(8))


def test_a_body_cut_short_is_noticed() -> None:
    body = BODIES["rows"]()
    whole = {8}
    offset = 8
    while offset < len(body):
        offset += 9 + int.from_bytes(body[offset + 5 : offset + 9], "little")
        whole.add(offset)
    for cut in range(9, len(body)):
        if cut not in whole:
            with pytest.raises(CorruptionError, match="cut short"):
                decode(body[:cut])


def test_rows_of_another_layout_are_noticed() -> None:
    ((kind, _, data),) = decode(BODIES["rows"]()).tables
    other = TableSchema(id=TableId(3), name="orders", columns=SCHEMA.columns[:2], key=SCHEMA.key)
    with pytest.raises(CorruptionError, match=r"layout 0x[0-9a-f]{8}"):
        decode_table(kind, other, data)
