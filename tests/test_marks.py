"""The visual language: marks of what differs, and colours of branches."""

from __future__ import annotations

import pytest

from absdb.branch_colours import FIRST, PALETTE, branch_colour, branch_html
from absdb.clock import ManualClock, peek_us
from absdb.marks import MARKS, mark_of, signed


def test_each_mark_has_a_sign_and_colours_of_its_own():
    for part in zip(*MARKS.values(), strict=True):
        assert len(set(part)) == len(MARKS)


@pytest.mark.parametrize(
    ("operation", "text"),
    [
        ("added", "+ added"),
        ("table removed", "\N{MINUS SIGN} table removed"),
        ("schema", "~ schema"),
        ("kept", "kept"),
    ],
)
def test_operations_are_signed(operation, text):
    assert signed(operation) == text
    assert (mark_of(operation) is None) == (operation == "kept")


def test_a_branch_has_always_the_same_colour():
    assert [PALETTE.index(branch_colour(name)) for name in ("main", "staging", "dev", "größe")] == [
        0,
        2,
        4,
        6,
    ]
    assert all(branch_colour(f"b{n}") != branch_colour(FIRST) for n in range(50))
    assert {branch_colour(f"b{n}") for n in range(50)} == set(PALETTE[1:])


def test_names_of_branches_are_escaped():
    assert branch_html("<img>").endswith("&lt;img&gt;")


def test_showing_the_time_does_not_move_a_manual_clock():
    clock = ManualClock(tick_us=1)
    assert peek_us(clock) == peek_us(clock) == clock.now_us()
