"""Timelines: history files as they are kept, and which timeline holds which LSNs."""

from __future__ import annotations

from pathlib import Path

import pytest

from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StateError
from absdb.io.memory import MemoryFileSystem
from absdb.wal.format import LogIdentity, RecordKind
from absdb.wal.segments import SegmentFiles
from absdb.wal.timelines import (
    Span,
    Switch,
    TimelineHistory,
    format_history,
    known_histories,
    newest_from,
    parse_history,
    read_spans,
)
from absdb.wal.writer import LogWriter

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "wal" / "timelines-1" / "00000005.history"
INSTANCE = bytes.fromhex("00112233445566778899aabbccddeeff")
FIFTH = TimelineHistory(
    5,
    (
        Switch(1, 4096, "recovered to 0/4096 (2026-01-01 00:00:00Z)"),
        Switch(3, 4_294_967_299 * 8, "promoted, größer"),
    ),
)


def test_golden_history_file_reads_as_it_was_written() -> None:
    data = GOLDEN.read_bytes()
    assert parse_history(data, path="", instance_id=INSTANCE) == FIFTH
    assert format_history(FIFTH, INSTANCE) == data


def test_every_damaged_byte_of_a_history_file_is_found() -> None:
    data = format_history(FIFTH, INSTANCE)
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1
        with pytest.raises((CorruptionError, FormatVersionError)):
            parse_history(bytes(bad), path="00000005.history", instance_id=INSTANCE)


def test_cut_history_file_is_refused() -> None:
    data = format_history(FIFTH, INSTANCE)
    for length in range(len(data)):
        with pytest.raises(CorruptionError):
            parse_history(data[:length], path="00000005.history", instance_id=INSTANCE)


def test_history_of_another_instance_is_refused() -> None:
    data = format_history(FIFTH, bytes(16))
    with pytest.raises(CorruptionError, match="of instance 0000"):
        parse_history(data, path="00000005.history", instance_id=INSTANCE)


def test_newer_format_says_so() -> None:
    data = format_history(FIFTH, INSTANCE).replace(b"timelines 1", b"timelines 2")
    with pytest.raises(FormatVersionError, match="format 2"):
        parse_history(data, path="", instance_id=INSTANCE)


def test_reason_is_one_line_whatever_it_was() -> None:
    forked = TimelineHistory(1).forked(2, 1, 800, "a\treason\nof two lines")
    assert forked.switches[-1].reason == "a reason of two lines"
    assert parse_history(format_history(forked, INSTANCE), path="", instance_id=INSTANCE) == forked


@pytest.mark.parametrize(
    ("timeline", "switches"),
    [
        (1, (Switch(1, 8, ""),)),
        (3, (Switch(2, 8, ""), Switch(1, 16, ""))),
        (3, (Switch(1, 16, ""), Switch(2, 8, ""))),
    ],
)
def test_history_that_cannot_be_is_refused(timeline: int, switches: tuple[Switch, ...]) -> None:
    with pytest.raises(InvalidInputError, match="cannot come from"):
        TimelineHistory(timeline, switches)


def test_spans_say_which_timeline_holds_what() -> None:
    history = TimelineHistory(4, (Switch(1, 100, ""), Switch(2, 300, "")))
    assert history.spans() == [Span(1, 0, 100), Span(2, 100, 300), Span(4, 300, None)]
    assert history.spans_from(1, 40) == [Span(1, 40, 100), Span(2, 100, 300), Span(4, 300, None)]
    assert history.spans_from(2, 300) == [Span(2, 300, 300), Span(4, 300, None)]
    assert history.spans_from(4, 5000) == [Span(4, 5000, None)]


@pytest.mark.parametrize(("timeline", "lsn"), [(1, 101), (2, 99), (3, 100), (4, 299)])
def test_point_of_an_abandoned_future_is_not_on_the_way(timeline: int, lsn: int) -> None:
    history = TimelineHistory(4, (Switch(1, 100, ""), Switch(2, 300, "")))
    with pytest.raises(StateError, match="not on the way to timeline 4"):
        history.spans_from(timeline, lsn)
    assert not history.leads_from(timeline, lsn)


def test_fork_before_an_earlier_fork_forgets_it() -> None:
    second = TimelineHistory(2, (Switch(1, 500, "first"),))
    third = second.forked(3, 1, 200, "earlier")
    assert third.spans() == [Span(1, 0, 200), Span(3, 200, None)]
    assert second.forked(3, 2, 900, "later").spans() == [
        Span(1, 0, 500),
        Span(2, 500, 900),
        Span(3, 900, None),
    ]


def test_newest_timeline_from_a_point_leaves_out_those_it_does_not_lead_to() -> None:
    second = TimelineHistory(2, (Switch(1, 500, ""),))
    third = TimelineHistory(3, (Switch(1, 200, ""),))
    known = known_histories([second, third])
    assert newest_from(known, 1, 100) == third
    assert newest_from(known, 1, 400) == second
    assert newest_from(known, 1, 600) == TimelineHistory(1)
    assert newest_from(known, 2, 600) == second


def test_histories_that_contradict_each_other_are_refused() -> None:
    one = TimelineHistory(3, (Switch(1, 100, ""), Switch(2, 300, "")))
    other = TimelineHistory(2, (Switch(1, 200, ""),))
    with pytest.raises(CorruptionError, match="timeline 2 came from"):
        known_histories([one, other])


def _write(fs: MemoryFileSystem, timeline: int, position: int, texts: list[str]) -> list[int]:
    log = LogWriter(
        fs,
        directory="",
        instance_id=INSTANCE,
        timeline=timeline,
        epoch=timeline,
        segment_bytes=4096,
        position=position,
        prepare_ahead=False,
    )
    ends = [log.append(RecordKind.NOTE, 0, 0, 0, text.encode())[1] for text in texts]
    log.flush()
    log.close()
    return ends


def test_log_of_several_timelines_reads_as_one() -> None:
    fs = MemoryFileSystem()
    first = _write(fs, 1, 0, [f"one {n} {'x' * 300}" for n in range(40)])
    second = _write(fs, 2, first[19], [f"two {n} {'y' * 300}" for n in range(40)])
    _write(fs, 3, second[29], ["three"])
    history = TimelineHistory(3, (Switch(1, first[19], ""), Switch(2, second[29], "")))

    def segments_of(timeline: int) -> SegmentFiles:
        return SegmentFiles(fs, "", LogIdentity(INSTANCE, timeline, 4096))

    found = list(read_spans(segments_of, history.spans()))
    expected = [*(("one", n) for n in range(20)), *(("two", n) for n in range(30)), ("three", None)]
    assert [r.body.decode().split()[0] for r in found] == [name for name, _ in expected]
    assert [r.timeline for r in found] == [1] * 20 + [2] * 30 + [3]
    later = list(read_spans(segments_of, history.spans_from(2, second[9])))
    assert [r.lsn for r in later] == [r.lsn for r in found[30:]]
