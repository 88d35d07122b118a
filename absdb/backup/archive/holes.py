"""Holes: log that an archive should have and has not, over all its timelines. Pure functions over what a listing says.

    timeline 1   ██████████░░█████|·········     a hole between two segments
    timeline 2               ░░░██|███░███       ... in one that left another at |: from there on, and before it there

What was removed from the beginning is no hole, be it that the archive began later or that old log was cleaned up: so
the oldest log there is never lies behind one. Log of a timeline behind the place where another one left it is its own
future; it may be missing altogether, but what is there has no holes.

Called by listing.py and by recovery's preview.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

Spans = Sequence[tuple[int, int]]


class Hole(NamedTuple):
    """Log of a timeline in [from_lsn, to_lsn) that is not there."""

    timeline: int
    from_lsn: int
    to_lsn: int


def holes(
    there: Mapping[int, Spans],
    switches: Mapping[int, tuple[int, int]],
    *,
    segment_bytes: int,
    known: Iterable[tuple[int, int, int]] = (),
) -> list[Hole]:
    """The holes, by timeline and LSN.

    `there` has for each timeline the spans of log that are there; `switches` for each timeline that left another one
    which that was, and where; `known` are (timeline, from, to) that are accounted for.
    """
    found = []
    for timeline, spans in sorted(there.items()):
        merged = _merged(spans)
        if not merged:
            continue
        for (_, end), (start, _) in pairwise(merged):
            found.append(Hole(timeline, end, start))
        parent, lsn = switches.get(timeline, (0, 0))
        before = _merged(there.get(parent, ()))
        if before:
            found += _around_switch(timeline, merged, parent, before, lsn, segment_bytes)
    accounted = list(known)
    return [
        rest
        for timeline in sorted({hole.timeline for hole in found})
        for span in _merged([hole[1:] for hole in found if hole.timeline == timeline])
        for rest in without(Hole(timeline, *span), accounted)
    ]


def _around_switch(
    timeline: int, spans: Spans, parent: int, before: Spans, lsn: int, segment_bytes: int
) -> list[Hole]:
    """What is missing up to the switch, and from it on, where the parent's log is there."""
    found = []
    reached = max((end for start, end in before if start < lsn), default=None)
    if reached is not None and reached < lsn:
        found.append(Hole(parent, reached, lsn))
    begin = spans[0][0]
    # The segment that the switch lies in begins below it.
    if begin > lsn - lsn % segment_bytes:
        found.append(Hole(timeline, lsn, begin))
    return found


def _merged(spans: Spans) -> list[tuple[int, int]]:
    """The same places as spans that do not touch, ascending."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif start < end:
            merged.append((start, end))
    return merged


def without(hole: Hole, accounted: Iterable[tuple[int, int, int]]) -> list[Hole]:
    """What is left of a hole when (timeline, from, to) are taken out of it."""
    rest = [hole]
    for timeline, start, end in accounted:
        if timeline != hole.timeline:
            continue
        rest = [
            piece
            for each in rest
            for piece in (
                Hole(timeline, each.from_lsn, min(each.to_lsn, start)),
                Hole(timeline, max(each.from_lsn, end), each.to_lsn),
            )
            if piece.from_lsn < piece.to_lsn
        ]
    return rest
