"""Which log is missing, over timelines: beside a model that looks at every single piece of it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from absdb.backup.archive.holes import Hole, holes

SIZE = 4


def missing(there, switches):
    """The same, piece by piece: a piece is missing if it is not there, and something that needs it is."""
    found = set()
    for timeline, spans in there.items():
        pieces = {piece for start, end in spans for piece in range(start, end)}
        if not pieces:
            continue
        found |= {(timeline, piece) for piece in range(min(pieces), max(pieces)) if piece not in pieces}
        parent, lsn = switches.get(timeline, (0, 0))
        before = {piece for start, end in there.get(parent, ()) for piece in range(start, end)}
        if not before:
            continue
        begin = lsn - lsn % SIZE
        if min(pieces) > begin:
            found |= {(timeline, piece) for piece in range(lsn, min(pieces))}
        if any(piece < lsn for piece in before):
            last = max(piece for piece in before if piece < lsn)
            found |= {(parent, piece) for piece in range(last + 1, lsn)}
    return found


@st.composite
def archives(draw):
    """Up to four timelines, each left for the next one, of segments of which some are gone or cut short."""
    there, switches, lsn = {}, {}, 0
    for timeline in range(1, draw(st.integers(1, 4)) + 1):
        if timeline > 1:
            switches[timeline] = (timeline - 1, lsn)
        first = lsn // SIZE
        last = first + draw(st.integers(0, 5))
        spans = []
        for segment in range(first, last + 1):
            length = draw(st.sampled_from([0, SIZE, SIZE, SIZE, draw(st.integers(1, SIZE))]))
            if length:
                spans.append((segment * SIZE, segment * SIZE + length))
        there[timeline] = draw(st.permutations(spans))
        lsn = draw(st.integers(lsn + 1, max(lsn + 1, last * SIZE)))
    return there, switches


def pieces(found):
    return {(hole.timeline, lsn) for hole in found for lsn in range(hole.from_lsn, hole.to_lsn)}


@given(archives())
def test_trap_17_holes_are_those_of_the_model(archive):
    there, switches = archive
    found = holes(there, switches, segment_bytes=SIZE)
    assert pieces(found) == missing(there, switches)
    assert all(one.to_lsn < two.from_lsn or one.timeline < two.timeline for one, two in pairwise(found))
    assert all(hole.from_lsn < hole.to_lsn for hole in found)


@given(archives(), st.lists(st.tuples(st.integers(1, 4), st.integers(0, 60), st.integers(0, 20)), max_size=4))
def test_what_is_accounted_for_is_no_hole(archive, known):
    there, switches = archive
    spans = [(timeline, start, start + length) for timeline, start, length in known]
    found = pieces(holes(there, switches, segment_bytes=SIZE, known=spans))
    told = {(timeline, lsn) for timeline, start, end in spans for lsn in range(start, end)}
    assert found == missing(there, switches) - told


def test_trap_17_timeline_that_begins_within_a_segment_has_no_hole():
    there = {1: [(0, 4), (4, 8), (8, 10)], 2: [(8, 12), (12, 14)]}
    assert holes(there, {2: (1, 9)}, segment_bytes=SIZE) == []
    assert holes(there, {2: (1, 10)}, segment_bytes=SIZE) == []
    assert holes(there, {2: (1, 11)}, segment_bytes=SIZE) == [Hole(1, 10, 11)]


def test_trap_17_older_timeline_that_was_cleaned_up_leaves_no_hole():
    assert holes({2: [(12, 16)]}, {2: (1, 9)}, segment_bytes=SIZE) == []
    assert holes({1: [(4, 8), (8, 12)], 2: [(12, 16)]}, {2: (1, 9)}, segment_bytes=SIZE) == [Hole(2, 9, 12)]
