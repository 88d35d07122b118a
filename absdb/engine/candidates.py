"""The keys that were written in some intervals of a table's history: where two states can differ.

    intervals    (era cover, after, upto]: their runs, and the open buffer as one
    ranges       the keys cut at pages' first keys, so that a range begins about `rows` versions
    keys         of each range the union over all runs, sorted, each once

so that memory holds one range, however much was changed. The runs are taken at once: their pages stay readable for
as long as somebody holds them. Called by versioning/table_diff.py, engine/compaction.py, and by
engine/commit.py and engine/constraints.py for what others have committed meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from absdb.engine.cover import EraCover, union_of
from absdb.pages.key import Key, Keys, KeySpec, length
from absdb.pages.run import Run
from absdb.pages.section import Section

Written = list[tuple[Run, int, int]]


KEYS_AT_ONCE = 262_144
"""How many written keys are looked at together."""
SLICE_BYTES = 64 << 20
"""How much the rows of one side take that are compared at a time."""


def runs_of(intervals: Iterable[tuple[EraCover, int, int]]) -> Written:
    """The runs that hold the changes of the intervals, each with the LSNs it is cut at."""
    return [(run, after, upto) for cover, after, upto in intervals for run in cover.runs(after, upto)]


def written_keys(spec: KeySpec, written: Sequence[tuple[Run, int, int]], rows: int) -> Iterator[Keys]:
    """The keys written, in key order, in sorted parts of about `rows` keys or fewer."""
    for key_range in pairwise([None, *_cuts(written, rows), None]):
        keys = union_of(spec, [run.between(after, upto, key_range) for run, after, upto in written])
        if length(keys):
            yield keys


def rows_at_once(sides: Iterable[Sequence[Section]], most: int) -> int:
    """How many rows are compared at a time, given the sections of each side: fewer than `most` if they are wide."""
    pages = [max(sections, key=lambda section: section.rows).pages[0] for sections in sides if sections]
    widest = max((page.batch().nbytes // page.rows for page in pages), default=0)
    return max(min(most, SLICE_BYTES // max(widest, 1)), 1)


def _cuts(written: Sequence[tuple[Run, int, int]], rows: int) -> list[Key]:
    """First keys of pages, so that about `rows` versions lie between one and the next."""
    pages = [
        page
        for run, _, upto in written
        for section in (run.newest, *([run.superseded] if upto < run.hi else []))
        for page in section.pages
    ]
    if sum(page.rows for page in pages) <= rows:
        return []
    cuts: list[Key] = []
    begun = 0
    for page in sorted(pages, key=lambda page: page.first):
        if begun and begun + page.rows > rows and (not cuts or page.first > cuts[-1]):
            cuts.append(page.first)
            begun = 0
        begun += page.rows
    return cuts
