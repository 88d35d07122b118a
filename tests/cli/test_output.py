"""How values and tables look: JSON for programs, text for people."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid

import pyarrow as pa
import pytest

from absdb.cli.output import Done, Facts, Listing, Output, Rows, items
from absdb.cli.text import jsonable, milliseconds, readable, shown, size
from absdb.ids import Lsn

NEW_YEAR = dt.datetime(2026, 1, 1, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**62, 2**62),
        (Lsn(16777217), "1/1"),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (NEW_YEAR, "2026-01-01T12:30:00.000000Z"),
        (NEW_YEAR.astimezone(dt.timezone(dt.timedelta(hours=2))), "2026-01-01T12:30:00.000000Z"),
        (NEW_YEAR.replace(tzinfo=None), "2026-01-01T12:30:00"),
        (NEW_YEAR.date(), "2026-01-01"),
        (dt.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.50"), "1.50"),
        (b"\x00\xff", "00ff"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({"a": (Lsn(1), None)}, {"a": ["0/1", None]}),
    ],
)
def test_values_in_json(value, expected):
    assert jsonable(value) == expected
    assert type(jsonable(value)) is type(expected)
    json.dumps(jsonable(value), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        (1234, "rows", "1,234"),
        (1234, "page_bytes", "1.2 KiB"),
        (0.5, "load_ms", "0.50 ms"),
        (1234.5, "ms", "1,234 ms"),
        (True, "protected", "yes"),
        (None, "comment", ""),
        (Lsn(1), "lsn", "0/1"),
        (["a", "b"], "tables", "a, b"),
        ("two\nlines", "message", "two lines"),
        (NEW_YEAR, "time", "2026-01-01 12:30:00Z"),
    ],
)
def test_values_for_people(value, name, expected):
    assert readable(value, name) == expected


def test_rows_are_shown_as_they_are():
    assert [shown(value) for value in (2013, 0.1 + 0.2, False, b"\x01")] == ["2013", "0.3", "false", "01"]
    assert (size(5 << 30), milliseconds(12.3)) == ("5.0 GiB", "12 ms")


def test_nanoseconds_are_shown_without_pandas():
    table = pa.table({"t": pa.array([1, None], pa.timestamp("ns"))})
    assert items(table) == [{"t": "1970-01-01 00:00:00.000000001"}, {"t": None}]


def test_a_listing_is_the_same_in_text_and_json(capsys):
    listing = Listing([{"name": "a", "rows": 1000}, {"name": "bcd", "rows": 7}], "none")
    Output().show(listing)
    assert capsys.readouterr().out == "name   rows\na     1,000\nbcd       7\n"
    Output(as_json=True).show(listing)
    assert json.loads(capsys.readouterr().out) == listing.items
    Output().show(Listing([], "none"))
    Output(as_json=True).show(Listing([], "none"))
    assert capsys.readouterr().out == "none\n[]\n"


def test_quiet_leaves_out_sentences_only(capsys):
    output = Output(quiet=True)
    output.show(Done("did it", {"x": 1}))
    output.note("by the way")
    output.show(Facts({"page_bytes": 10}))
    assert capsys.readouterr() == ("page bytes  10 bytes\n", "")


def test_several_parts_are_one_object(capsys):
    parts = {"a": Facts({"lsn": Lsn(5)}), "b": Rows([{"x": None}])}
    Output(as_json=True).show_all(parts)
    assert json.loads(capsys.readouterr().out) == {"a": {"lsn": "0/5"}, "b": [{"x": None}]}
    Output().show_all(parts)
    assert capsys.readouterr().out == "lsn  0/5\n\nx\nNULL\n"
