"""LSNs: text and number are one, and arithmetic gives bytes."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError
from absdb.ids import LSN_MAX, LSN_TEXT_DIVISOR, Lsn

lsns = st.integers(0, LSN_MAX).map(Lsn)


@given(lsns)
def test_text_round_trips(lsn):
    assert Lsn.parse(str(lsn)) == lsn
    assert Lsn.parse(f"  {lsn}\n") == lsn
    assert Lsn.parse(f"{int(lsn)}") == lsn
    assert Lsn.parse(int(lsn)) == lsn
    assert eval(repr(lsn), {"Lsn": Lsn.parse}) == lsn
    assert isinstance(Lsn.parse(str(lsn)), Lsn)


@given(lsns, lsns)
def test_order_and_difference_are_those_of_the_bytes(one, other):
    assert (one < other) == (int(one) < int(other))
    assert one - other == int(one) - int(other)
    assert type(one - other) is int
    assert type(one + 1) is int


@given(lsns)
def test_it_is_an_int_everywhere(lsn):
    assert lsn == int(lsn)
    assert hash(lsn) == hash(int(lsn))
    assert {int(lsn): "x"}[lsn] == "x"
    again = pickle.loads(pickle.dumps(lsn))
    assert (again, type(again)) == (lsn, Lsn)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0/0"),
        (1_048_576, "0/1048576"),
        (LSN_TEXT_DIVISOR - 1, "0/16777215"),
        (LSN_TEXT_DIVISOR, "1/0"),
        (LSN_MAX, "549755813887/16777215"),
    ],
)
def test_examples(number, text):
    assert str(Lsn(number)) == text
    assert repr(Lsn(number)) == f"Lsn('{text}')"
    assert Lsn.parse(text) == number


def test_formatting():
    lsn = Lsn(1_048_576)
    assert f"{lsn}" == "0/1048576"
    assert f"{lsn:>12s}" == "   0/1048576"
    assert f"{lsn:<12s}|" == "0/1048576   |"
    assert f"{lsn:d}" == "1048576"
    assert f"{lsn:016X}" == "0000000000100000"
    assert f"{lsn:,}" == "1,048,576"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "x",
        "1/",
        "/1",
        "1/2/3",
        "-1",
        "0x10",
        "1.5",
        "1 /2",
        "0/16777216",
        str(LSN_MAX + 1),
        "9" * 30,
        "٣x",
    ],
)
def test_bad_text(bad):
    with pytest.raises(InvalidInputError, match="is not an LSN"):
        Lsn.parse(bad)


@pytest.mark.parametrize("bad", [-1, LSN_MAX + 1, True, 1.5, None, b"0/1"])
def test_bad_values(bad):
    with pytest.raises(InvalidInputError, match="is not an LSN"):
        Lsn.parse(bad)


def test_lsns_line_up_as_text_in_tables() -> None:
    assert f"{Lsn(123):>8}" == "   0/123"
    assert f"{Lsn(123):8d}" == "     123"
