"""Lineages: the names of states, and the arithmetic on them that branches, reads and diffs rest on.

    ((main-1, 900), (staging-1, 1500))     main's first era up to LSN 900, then staging's first up to 1500

A lineage is a tuple of (era, LSN reached in it), oldest first. Two states with the same lineage are the same
state. A lineage *extends* another if the other is what it was at an earlier point. What two lineages have in
common is a prefix, with the last entry cut at the smaller LSN; beyond it lie the intervals (era, after, upto]
whose changes tell the two states apart.
"""

from __future__ import annotations

from typing import NamedTuple

from absdb.ids import EraId

Lineage = tuple[tuple[EraId, int], ...]
ROOT: Lineage = ()


class Interval(NamedTuple):
    """The changes one era made after LSN `after`, up to and including `upto`."""

    era: EraId
    after: int
    upto: int


def extends(lineage: Lineage, earlier: Lineage) -> bool:
    """Whether `earlier` is a state that `lineage` went through (or is the same state)."""
    if not earlier:
        return True
    last = len(earlier) - 1
    if len(lineage) <= last or lineage[:last] != earlier[:last]:
        return False
    return lineage[last][0] == earlier[last][0] and lineage[last][1] >= earlier[last][1]


def common_prefix(a: Lineage, b: Lineage) -> Lineage:
    """The latest state that both went through."""
    shared: list[tuple[EraId, int]] = []
    for (era_a, lsn_a), (era_b, lsn_b) in zip(a, b, strict=False):
        if era_a != era_b:
            break
        shared.append((era_a, min(lsn_a, lsn_b)))
        if lsn_a != lsn_b:
            break
    return tuple(shared)


def remainder(lineage: Lineage, prefix: Lineage) -> list[Interval]:
    """What `lineage` did beyond `prefix`, oldest first. `lineage` must extend `prefix`."""
    assert extends(lineage, prefix), (lineage, prefix)
    intervals: list[Interval] = []
    start = 0
    if prefix:
        start = len(prefix)
        era, reached = lineage[start - 1]
        if reached > prefix[-1][1]:
            intervals.append(Interval(era, prefix[-1][1], reached))
    intervals.extend(Interval(era, 0, lsn) for era, lsn in lineage[start:])
    return intervals


def position(lineage: Lineage) -> int:
    """The LSN a lineage has reached; 0 for the empty one."""
    return lineage[-1][1] if lineage else 0


def format_lineage(lineage: Lineage) -> str:
    """For logs and `absdb check`: `1@900 2@1500`."""
    return " ".join(f"{era}@{lsn}" for era, lsn in lineage) or "(empty)"
