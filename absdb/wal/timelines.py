"""Timelines: how the log forked, and which timeline holds which LSNs on the way to one of them.

A recovery to a point, and a promotion, go on at an LSN that was used before, on a new timeline with a number that
nobody has. Its history file says where it left its parent, and where each timeline before that did:

    absdb-timelines 1<TAB>instance id, 32 hex digits<TAB>timeline<TAB>switches<TAB>crc
    parent<TAB>LSN<TAB>reason<TAB>crc                          a line a switch, oldest first

Timeline 1 has no file. Numbers are decimal; an LSN is `segment/offset` as everywhere. The last field of a line is the
CRC-32C, 8 hex digits, of all before it in the file, up to its own tab. Text, so that people can read it; the names are
PostgreSQL's.

    timeline 1   ────────────┬──────────          spans to 3:  1 up to A, 2 from A to B, 3 from B on
    timeline 2               └A────┬─────
    timeline 3                     └B────

Called by the engine's recovery, and by backup/ for archives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from crc32c import crc32c

from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StateError
from absdb.ids import Lsn
from absdb.paths import timeline_history_name
from absdb.wal.format import Record
from absdb.wal.reader import read_segments
from absdb.wal.segments import SegmentFiles

MAGIC = "absdb-timelines"
FORMAT = 1


class Switch(NamedTuple):
    """Where a timeline was left for another one, and why."""

    parent: int
    lsn: int
    reason: str


class Span(NamedTuple):
    """The part of one timeline's log on the way to another: from one LSN to another, None for its end."""

    timeline: int
    from_lsn: int
    end_lsn: int | None


@dataclass(frozen=True, slots=True)
class TimelineHistory:
    """How a timeline came about: the switches that led to it, oldest first. InvalidInputError if they cannot have."""

    timeline: int
    switches: tuple[Switch, ...] = ()

    def __post_init__(self) -> None:
        numbers = [*(switch.parent for switch in self.switches), self.timeline]
        lsns = [switch.lsn for switch in self.switches]
        if any(one >= two for one, two in pairwise(numbers)) or any(one > two for one, two in pairwise(lsns)):
            raise InvalidInputError(
                f"timeline {self.timeline} cannot come from timelines {numbers[:-1]} at LSNs {lsns}",
                hint="both grow from one switch to the next",
            )

    def spans(self) -> list[Span]:
        """Which timeline holds which LSNs on the way to this one, oldest first."""
        starts = [0, *(switch.lsn for switch in self.switches)]
        numbers = [*(switch.parent for switch in self.switches), self.timeline]
        ends = [*starts[1:], None]
        return [Span(*parts) for parts in zip(numbers, starts, ends, strict=True)]

    def spans_from(self, timeline: int, lsn: int) -> list[Span]:
        """The spans from a point of another timeline (or this one) on. StateError if that point is not on the way."""
        spans = self.spans()
        for at, (number, start, end) in enumerate(spans):
            if number == timeline:
                if lsn < start or (end is not None and lsn > end):
                    raise _not_on_the_way(self.timeline, timeline, lsn, start, end)
                return [Span(number, lsn, end), *spans[at + 1 :]]
        raise _not_on_the_way(self.timeline, timeline, lsn, None, None)

    def leads_from(self, timeline: int, lsn: int) -> bool:
        """Whether a point of a timeline lies on the way to this one."""
        try:
            self.spans_from(timeline, lsn)
        except StateError:
            return False
        return True

    def forked(self, timeline: int, parent: int, lsn: int, reason: str) -> TimelineHistory:
        """The history of a new timeline that leaves this one's log at `lsn`, where `parent` holds it."""
        kept = [switch for switch in self.switches if switch.parent < parent]
        return TimelineHistory(timeline, (*kept, Switch(parent, lsn, " ".join(reason.split()))))


def _not_on_the_way(to: int, timeline: int, lsn: int, start: int | None, end: int | None) -> StateError:
    held = f", which holds {Lsn(start)} to {Lsn(end)} of it" if start is not None and end is not None else ""
    return StateError(
        f"LSN {Lsn(lsn)} of timeline {timeline} is not on the way to timeline {to}{held}",
        hint="take a backup that was made before the timelines parted, or another recovery_target_timeline",
        timeline=timeline,
        lsn=lsn,
    )


def format_history(history: TimelineHistory, instance_id: bytes) -> bytes:
    """The text of a history file."""
    text = f"{MAGIC} {FORMAT}\t{instance_id.hex()}\t{history.timeline}\t{len(history.switches)}"
    text = _closed(text)
    for parent, lsn, reason in history.switches:
        text = _closed(f"{text}{parent}\t{Lsn(lsn)}\t{reason}")
    return text.encode()


def parse_history(data: bytes, *, path: str, instance_id: bytes) -> TimelineHistory:
    """What a history file says.

    CorruptionError if it is damaged or another instance's, FormatVersionError if a newer absdb wrote it.
    """
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not UTF-8 text") from error
    head = lines[0].split("\t")
    magic, _, version = head[0].partition(" ")
    if magic != MAGIC or not version.isdecimal():
        raise _damaged(path, f"it begins with {head[0][:40]!r}, expected {MAGIC!r}")
    if int(version) != FORMAT:
        raise FormatVersionError(
            f"{path}: timeline history of format {version}, this absdb knows {FORMAT}",
            hint="recover with the absdb that wrote it, or a newer one",
            path=path,
            found=int(version),
            known=FORMAT,
        )
    _check_sums(data, path)
    try:
        _, owner, timeline, count, _ = head
        switches = tuple(
            Switch(int(parent), Lsn.parse(lsn), reason)
            for parent, lsn, reason, _ in (line.split("\t") for line in lines[1:-1])
        )
        if owner != instance_id.hex():
            raise _damaged(path, f"it is of instance {owner}, expected {instance_id.hex()}")
        if len(switches) != int(count):
            raise _damaged(path, f"it has {len(switches)} switches of {count}")
        return TimelineHistory(int(timeline), switches)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _closed(text: str) -> str:
    """The text with the checksum of all of it, and the end of the line."""
    return f"{text}\t{crc32c(text.encode()):08x}\n"


def _check_sums(data: bytes, path: str) -> None:
    if not data.endswith(b"\n"):
        raise _damaged(path, "its last line is cut short")
    end = -1
    for number in range(1, data.count(b"\n") + 1):
        end = data.index(b"\n", end + 1)
        before, _, found = data[:end].rpartition(b"\t")
        if found != f"{crc32c(before):08x}".encode():
            raise _damaged(
                path, f"the checksum of line {number} is {found[:8]!r}, expected {crc32c(before):08x}"
            )


def _damaged(path: str, problem: str) -> CorruptionError:
    return CorruptionError(
        f"{path} is not the history of a timeline: {problem}",
        hint="fetch the file from the archive, or recover along an older timeline",
        path=path,
    )


def known_histories(found: Iterable[TimelineHistory]) -> dict[int, TimelineHistory]:
    """By number, histories that do not contradict each other, and those of timelines that they only mention.

    CorruptionError where two say differently how one timeline came about: the log of one of them is another log.
    """
    known: dict[int, TimelineHistory] = {1: TimelineHistory(1)}
    for history in found:
        for at in range(len(history.switches) + 1):
            number = history.switches[at].parent if at < len(history.switches) else history.timeline
            part = TimelineHistory(number, history.switches[:at])
            other = known.setdefault(number, part)
            if _forks(other) != _forks(part):
                raise CorruptionError(
                    f"{timeline_history_name(history.timeline)} says that timeline {number} came from "
                    f"{_told(part)}, {timeline_history_name(number)} that it came from {_told(other)}",
                    hint="two instances have written to one archive; recover along one of them only",
                    timeline=number,
                )
    return known


def _forks(history: TimelineHistory) -> list[tuple[int, int]]:
    return [switch[:2] for switch in history.switches]


def _told(history: TimelineHistory) -> str:
    steps = [f"{parent} at {Lsn(lsn)}" for parent, lsn, _ in history.switches]
    return " and ".join(steps) or "nothing"


def newest_from(known: Mapping[int, TimelineHistory], timeline: int, lsn: int) -> TimelineHistory:
    """The history of the newest timeline that a point of a timeline leads to."""
    return known[
        max(number for number, each in known.items() if number == timeline or each.leads_from(timeline, lsn))
    ]


def read_spans(
    segments_of: Callable[[int], SegmentFiles], spans: Sequence[Span], *, durable_lsn: int = 0
) -> Iterator[Record]:
    """The records of several timelines in a row, as one log; of the last span up to where its log ends.

    `segments_of` gives the segment files of a timeline; a last span that ends below `durable_lsn` is damaged. Errors
    are those of `absdb.wal.reader.read_log`.
    """
    for timeline, from_lsn, end_lsn in spans:
        yield from read_segments(
            segments_of(timeline), from_lsn, end_lsn=end_lsn, durable_lsn=0 if end_lsn else durable_lsn
        )
