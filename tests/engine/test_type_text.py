"""Types as text: what is shown is read back, what people write is understood, what is wrong is pointed at."""

from __future__ import annotations

import datetime as dt
import uuid
from contextlib import suppress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.engine.type_text import as_type, parse_type
from absdb.errors import InvalidInputError
from absdb.pages.types import describe_type

UNITS = st.sampled_from(["s", "ms", "us", "ns"])
SCALARS = st.one_of(
    st.sampled_from(
        [
            pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(),
            pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(),
            pa.large_binary(), pa.date32(), pa.date64(), pa.month_day_nano_interval(), pa.uuid(), pa.json_(),
            pa.string_view(), pa.binary_view(), pa.null(), pa.time32("s"), pa.time32("ms"), pa.time64("us"),
            pa.time64("ns"),
        ]
    ),
    st.builds(pa.timestamp, UNITS, st.sampled_from([None, "UTC", "Europe/Berlin", "+05:30", "Etc/GMT-3"])),
    st.builds(pa.duration, UNITS),
    st.integers(1, 38).flatmap(lambda p: st.builds(pa.decimal128, st.just(p), st.integers(-3, p))),
    st.integers(39, 76).flatmap(lambda p: st.builds(pa.decimal256, st.just(p), st.integers(0, p))),
    st.builds(pa.binary, st.integers(1, 100)),
    st.sampled_from([pa.dictionary(pa.int32(), pa.string()), pa.run_end_encoded(pa.int32(), pa.string())]),
)  # fmt: skip
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_ ]{0,8}[A-Za-z0-9_]", fullmatch=True)


def nested(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    fields = st.lists(st.tuples(NAMES, inner), max_size=4, unique_by=lambda field: field[0])
    return st.one_of(
        st.builds(pa.list_, inner),
        st.builds(pa.large_list, inner),
        st.builds(pa.list_, inner, st.integers(1, 5)),
        st.builds(pa.struct, fields),
        st.builds(pa.map_, st.just(pa.string()), inner),
    )


@given(st.recursive(SCALARS, nested, max_leaves=6))
def test_what_is_shown_can_be_written(kind):
    assert parse_type(describe_type(kind)) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("INT", pa.int64()),
        ("bigint", pa.int64()),
        ("double", pa.float64()),
        ("varchar", pa.string()),
        (" str ", pa.string()),
        ("date", pa.date32()),
        ("timestamptz", pa.timestamp("us", "UTC")),
        ("timestamp", pa.timestamp("us")),
        ("timestamp[us, tz=UTC]", pa.timestamp("us", "UTC")),
        ("decimal(12,2)", pa.decimal128(12, 2)),
        ("numeric[5]", pa.decimal128(5, 0)),
        ("decimal(40, 2)", pa.decimal256(40, 2)),
        ("list(int64)", pa.list_(pa.int64())),
        ('struct["a: b": int8, c: str]', pa.struct([("a: b", pa.int8()), ("c", pa.string())])),
        ('struct["say ""hi""": int8]', pa.struct([('say "hi"', pa.int8())])),
        ("time[s]", pa.time32("s")),
    ],
)
def test_what_people_write(text, kind):
    assert parse_type(text) == kind


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected a type at position 1"),
        ("int65", "no type 'int65'"),
        ("int64 x", "nothing more was expected at position 7"),
        ("int64[5]", "int64 takes nothing in brackets"),
        ("decimal(12", "expected ')' at position 11"),
        ("decimal(12]", "expected ')' at position 11"),
        ("decimal(x)", "expected a number at position 9"),
        ("decimal(99, 2)", "precision should be between"),
        ("timestamp[day]", "expected a unit"),
        ("struct[int64]", "expected a field as name: type"),
        ("map[string]", "expected ','"),
        ("list[", "expected a type at position 6"),
        ("binary[-1]", "-1 is no size at position 10"),
    ],
)
def test_what_is_wrong_is_pointed_at(text, says):
    with pytest.raises(InvalidInputError) as caught:
        parse_type(text)
    assert says in caught.value.message
    assert "decimal(precision, scale)" in caught.value.hint or "did you mean" in caught.value.hint


@given(st.text(max_size=30))
def test_no_text_does_worse_than_to_be_refused(text):
    with suppress(InvalidInputError):
        assert describe_type(parse_type(text))


def test_types_of_python():
    assert as_type(int) == pa.int64()
    assert as_type(dt.date) == pa.date32()
    assert as_type(uuid.UUID) == pa.uuid()
    assert as_type(pa.int8()) == pa.int8()
    for wrong in (5, None, list, object()):
        with pytest.raises(InvalidInputError, match="is not a column type"):
            as_type(wrong)
