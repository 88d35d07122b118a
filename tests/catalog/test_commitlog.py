"""The commit log against a plain list: any order of appends, flushes, truncations and reopenings.

tests/golden/catalog/v1/pages holds two chunks, written once by

    log = CommitLog()
    for entry in GOLDEN[:5]: log.append(entry)
    log.flush(fs)
    for entry in GOLDEN[5:]: log.append(entry)
    chunks, _ = log.flush(fs)

They are never rewritten; the manifest beside them lists them.
"""

from __future__ import annotations

import datetime as dt
import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.catalog import commit_chunks, envelope
from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.commitlog import CommitLog
from absdb.catalog.manifest import ChunkRef, is_chunk_name, list_manifests, read_manifest
from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StorageError
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import Fault, FaultyFileSystem, RecordingFileSystem, crash_states

FILES = Path(__file__).resolve().parents[1] / "golden" / "catalog" / "v1"
YEAR_2026 = 1_767_225_600_000_000
ERAS = (1, 2, 3)
EVERYTHING = [(era, 0, 2**63 - 1) for era in ERAS]


def entry(number: int, *, lsn: int | None = None, time_us: int | None = None, era: int = 0) -> CommitEntry:
    """The n-th commit of a log that can be told in advance."""
    return CommitEntry(
        lsn=100 * number if lsn is None else lsn,
        time_us=YEAR_2026 + 1000 * number if time_us is None else time_us,
        era=era or number % 3 + 1,
        database_id=number % 2,
        txid=number,
        author=("ada", None, "Grace Hopper")[number % 3],
        message=(None, "", f"price fix {number}", "Größe \U0001f41f")[number % 4],
        kind=("commit", "bulk", "schema", "branch")[number % 4],
        tables=tuple((7 + table, number, table, 2**40 * table) for table in range(number % 4)),
        schema_changed=number % 5 == 0,
    )


GOLDEN = [entry(number) for number in range(1, 8)]


def filled(count: int, fs: MemoryFileSystem | None = None, *, every: int = 0) -> CommitLog:
    """A log of commits 1..count, flushed after each `every` of them."""
    log = CommitLog()
    for number in range(1, count + 1):
        log.append(entry(number))
        if fs is not None and every and number % every == 0:
            log.flush(fs)
    return log


@contextmanager
def small_chunks() -> Iterator[None]:
    """Batches and chunks so small that a few dozen commits fill many."""
    with mock.patch.multiple(commit_chunks, BATCH_ROWS=4, CHUNK_ROWS_MAX=32):
        yield


# --- against a model ------------------------------------------------------------------------------


class Model:
    """The log and a plain list of entries, changed alike."""

    def __init__(self) -> None:
        self.fs = MemoryFileSystem()
        self.log = CommitLog()
        self.entries: list[CommitEntry] = []
        self.number = 0
        self.last = (0, 0)
        self.garbage: set[str] = set()

    def append(self, steps: list[tuple[int, int, int]]) -> None:
        for lsn_step, time_step, era in steps:
            self.number += 1
            self.last = self.last[0] + lsn_step, self.last[1] + time_step
            new = entry(self.number, lsn=self.last[0], time_us=self.last[1], era=era)
            self.log.append(new)
            self.entries.append(new)

    def flush(self, upto: int | None) -> None:
        chunks, superseded = self.log.flush(self.fs, upto=upto)
        self.garbage.update(superseded)
        for name in self.garbage:
            self.fs.unlink(f"pages/{name}")
        self.garbage.clear()
        assert sorted(chunk.name for chunk in chunks) == self.fs.list("pages")
        stored = [known for known in self.entries if upto is None or known.lsn <= upto]
        assert sum(chunk.count for chunk in chunks) >= len(stored)

    def truncate(self, lsn: int, eras: list[int] | None, pinned: list[int]) -> None:
        self.garbage.update(self.log.truncate_before(lsn, eras=eras, pinned=pinned))
        lasts = {known.era: known.lsn for known in self.entries if known.lsn < lsn}
        standing = {at for era, at in lasts.items() if eras is None or era in eras}
        self.entries = [
            known for known in self.entries if known.lsn >= lsn or known.lsn in {*standing, *pinned}
        ]

    def reopen(self, upto: int | None) -> None:
        """Come back from the chunks; what came after `upto` is appended again, as replay would."""
        self.flush(upto)
        chunks, _ = self.log.flush(self.fs, upto=0)
        self.log = CommitLog.open(self.fs, [ChunkRef.from_json(chunk.to_json()) for chunk in chunks])
        for known in self.entries:
            if known.lsn > self.log.last_lsn:
                self.log.append(known)

    def check(self, spans: list[tuple[int, int, int]], lsns: list[int], limit: int | None) -> None:
        log, known = self.log, self.entries
        assert len(log) == len(known)
        assert (log.last_lsn, log.last_time_us) >= (known[-1].lsn, known[-1].time_us) if known else True
        for lsn in lsns:
            for era in (0, *ERAS):
                expected = max((e.lsn for e in known if e.era == era and e.lsn <= lsn), default=None)
                assert log.last_at_or_below(era, lsn) == expected
            assert log.time_of(lsn) == next((e.time_us for e in known if e.lsn == lsn), None)
            assert log.lsn_at_time(lsn) == max((e.lsn for e in known if e.time_us <= lsn), default=0)
            assert log.first_time_after(lsn) == next((e.time_us for e in known if e.lsn > lsn), None)
        for newest_first in (True, False):
            chosen = [e for e in known if any(e.era == era and a < e.lsn <= b for era, a, b in spans)]
            chosen = (chosen[::-1] if newest_first else chosen)[:limit]
            assert list(log.entries(spans, newest_first=newest_first, limit=limit)) == chosen
            frame = log.frame_columns(spans, newest_first=newest_first, limit=limit)
            assert frame.to_pylist() == [as_row(e) for e in chosen]


def as_row(known: CommitEntry) -> dict[str, Any]:
    sums = [sum(table[at] for table in known.tables) for at in (1, 2, 3)]
    return {
        "lsn": known.lsn,
        "time": dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=known.time_us),
        "author": known.author,
        "message": known.message,
        "kind": known.kind,
        "rows_inserted": sums[0],
        "rows_updated": sums[1],
        "rows_deleted": sums[2],
        "tables": [table[0] for table in known.tables],
    }


LSN = st.integers(0, 120)
STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from(ERAS)), max_size=12)
OPERATIONS = st.one_of(
    st.tuples(st.just("append"), STEPS),
    st.tuples(st.just("flush"), st.none() | LSN),
    st.tuples(st.just("reopen"), st.none() | LSN),
    st.tuples(
        st.just("truncate"),
        LSN,
        st.none() | st.lists(st.sampled_from(ERAS), max_size=3),
        st.lists(LSN, max_size=4),
    ),
)
SPANS = st.lists(
    st.tuples(st.sampled_from((0, *ERAS)), st.integers(-1, 120), st.integers(-1, 130)), max_size=5
)


@given(
    operations=st.lists(OPERATIONS, max_size=20),
    spans=SPANS,
    lsns=st.lists(st.integers(-1, 130), min_size=1, max_size=6),
    limit=st.none() | st.integers(0, 20),
)
def test_the_log_answers_as_a_plain_list_does(
    operations: list[tuple[Any, ...]], spans: list[tuple[int, int, int]], lsns: list[int], limit: int | None
) -> None:
    with small_chunks():
        model = Model()
        for verb, *arguments in operations:
            getattr(model, verb)(*arguments)
            model.check(spans, lsns, limit)
            model.check(EVERYTHING, [0, 2**63 - 1, 2**70], None)
            model.check(EVERYTHING, [], 3)


def test_a_log_of_many_batches_and_chunks_answers_as_a_list() -> None:
    model = Model()
    with small_chunks():
        for start in range(40):
            model.append([(1 + (start + at) % 3, 1 + at % 2, 1 + (start * at) % 3) for at in range(10)])
            model.flush(None)
        model.reopen(None)
        lsns = list(range(0, model.last[0] + 2, 7))
        model.check([(1, 50, 400), (2, 0, 300), (2, 200, 10_000), (3, 90, 91)], lsns, None)
        model.check(EVERYTHING, lsns, 37)
        model.truncate(500, [1, 2], [3, 5, 8])
        model.check(EVERYTHING, lsns, None)
        model.reopen(None)
        model.check(EVERYTHING, lsns, 50)


# --- what a caller relies on ----------------------------------------------------------------------


def test_an_empty_log() -> None:
    log = CommitLog()
    assert (len(log), log.last_lsn, log.lsn_at_time(2**62)) == (0, 0, 0)
    assert log.last_at_or_below(1, 2**62) is None
    assert log.time_of(0) is None
    assert log.first_time_after(0) is None
    assert log.flush(MemoryFileSystem()) == ([], [])
    assert log.truncate_before(100) == []
    assert list(log.entries(EVERYTHING)) == []
    assert log.frame_columns([]).num_rows == 0


def test_the_frame_has_the_same_columns_whatever_is_in_it() -> None:
    fs = MemoryFileSystem()
    log = filled(10, fs, every=4)
    full, empty = log.frame_columns(EVERYTHING), log.frame_columns([])
    assert full.schema == empty.schema == CommitLog().frame_columns(EVERYTHING).schema
    assert full.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert full.schema.field("tables").type == pa.list_(pa.int64())
    full.validate(full=True)
    empty.validate(full=True)


@pytest.mark.parametrize(("lsn", "time_us"), [(500, YEAR_2026 + 6000), (600, YEAR_2026 + 5000), (1, 1)])
@pytest.mark.parametrize("flushed", [False, True])
def test_an_entry_that_is_not_the_newest_is_refused(lsn: int, time_us: int, flushed: bool) -> None:
    fs = MemoryFileSystem()
    log = filled(5)
    if flushed:
        log = CommitLog.open(fs, log.flush(fs)[0])
    with pytest.raises(InvalidInputError, match="is not after 500 at"):
        log.append(entry(6, lsn=lsn, time_us=time_us))
    assert len(log) == 5
    log.append(entry(6))


def test_flush_upto_keeps_the_rest_for_the_next_one() -> None:
    fs = MemoryFileSystem()
    log = filled(10)
    chunks, _ = log.flush(fs, upto=650)
    assert [(chunk.first_lsn, chunk.last_lsn, chunk.count) for chunk in chunks] == [(100, 600, 6)]
    assert len(CommitLog.open(fs, chunks)) == 6
    assert len(log) == 10
    chunks, superseded = log.flush(fs)
    assert sum(chunk.count for chunk in chunks) == 10
    assert len(fs.list("pages")) == len(chunks) + len(superseded)


def test_a_flush_without_new_entries_writes_nothing() -> None:
    fs = MemoryFileSystem()
    log = filled(10)
    before, _ = log.flush(fs)
    assert log.flush(fs) == (before, [])
    assert log.flush(fs, upto=0) == (before, [])
    assert fs.list("pages") == [before[0].name]
    assert is_chunk_name(before[0].name)


def test_the_number_of_chunks_is_logarithmic() -> None:
    fs = MemoryFileSystem()
    log = CommitLog()
    written = 0
    for number in range(1, 257):
        log.append(entry(number))
        chunks, superseded = log.flush(fs)
        written += chunks[-1].count
        assert len(chunks) <= number.bit_length()
        for name in superseded:
            fs.unlink(f"pages/{name}")
    assert fs.list("pages") == [chunks[0].name]
    assert written <= 256 * 9


def test_chunks_stop_growing() -> None:
    with small_chunks():
        fs = MemoryFileSystem()
        log = CommitLog()
        for number in range(1, 301):
            log.append(entry(number))
            chunks, _ = log.flush(fs)
            assert all(chunk.count <= 32 for chunk in chunks)
            assert all(one.count + two.count > 32 for one, two in pairwise(chunks[:-5]))
        fresh = filled(100)
        assert [chunk.count for chunk in fresh.flush(fs)[0]] == [32, 32, 32, 4]
        assert list(fresh.entries(EVERYTHING, newest_first=False)) == [entry(at) for at in range(1, 101)]


def test_opening_reads_nothing_until_asked() -> None:
    inner = MemoryFileSystem()
    log = filled(1000, inner, every=300)
    chunks, _ = log.flush(inner)
    fs = FaultyFileSystem(inner)
    log = CommitLog.open(fs, chunks)
    assert (len(log), log.last_lsn, log.lsn_at_time(2**62)) == (1000, 100_000, 100_000)
    assert not fs.calls
    assert [log.last_at_or_below(era, 2**62) for era in (*ERAS, 4)] == [99_900, 100_000, 99_800, None]
    assert not fs.calls, "the newest states are known from the manifest"
    assert log.last_at_or_below(1, 99_899) == 99_600
    assert fs.calls["open"] == fs.calls["map"] == 1


def test_a_reader_keeps_what_a_flush_replaces() -> None:
    fs = MemoryFileSystem()
    log = filled(10)
    log.flush(fs)
    newest = log.entries(EVERYTHING)
    assert next(newest) == entry(10)
    for number in range(11, 31):
        log.append(entry(number))
    for name in log.flush(fs)[1]:
        fs.unlink(f"pages/{name}")
    assert list(newest) == [entry(number) for number in range(9, 0, -1)]


def test_a_resting_database_keeps_the_commit_it_stands_on() -> None:
    fs = MemoryFileSystem()
    log = CommitLog()
    for number in range(1, 101):
        log.append(entry(number, era=1 if number == 3 else 2))
    log.flush(fs)
    log.truncate_before(5000)
    assert log.last_at_or_below(1, 10_000) == 300
    assert log.last_at_or_below(2, 4999) == 4900
    assert len(log) == 53
    log = CommitLog.open(fs, log.flush(fs)[0])
    assert log.last_at_or_below(1, 10_000) == 300
    log.truncate_before(6000, eras=[2], pinned=[5500])
    assert [e.lsn for e in log.entries(EVERYTHING, newest_first=False)][:4] == [5500, 5900, 6000, 6100]


@pytest.mark.parametrize("flushed", [False, True])
def test_a_truncation_keeps_the_commit_it_names(flushed: bool) -> None:
    log = filled(9)
    if flushed:
        log.flush(MemoryFileSystem())
    log.truncate_before(500, eras=[])
    assert [known.lsn for known in log.entries(EVERYTHING, newest_first=False)] == [500, 600, 700, 800, 900]


def test_the_newest_are_taken_first_and_the_limit_spans_chunks_and_new_entries() -> None:
    fs = MemoryFileSystem()
    log = filled(20, fs, every=16)
    for limit in range(22):
        newest = list(log.entries(EVERYTHING, limit=limit))
        oldest = list(log.entries(EVERYTHING, limit=limit, newest_first=False))
        assert [known.txid for known in newest] == list(range(20, 0, -1))[:limit]
        assert [known.txid for known in oldest] == list(range(1, 21))[:limit]


def test_a_commit_half_appended_is_not_seen_before_an_earlier_one() -> None:
    log = filled(5)
    log._state.by_era[3].append(entry(8))  # as an appender leaves it between its two lists
    assert [known.txid for known in log.entries(EVERYTHING)] == [5, 4, 3, 2, 1]


def test_a_second_truncation_that_drops_nothing_rewrites_nothing() -> None:
    fs = MemoryFileSystem()
    log = filled(100)
    (old,), _ = log.flush(fs)
    assert log.truncate_before(5000) == [old.name]
    chunks, superseded = log.flush(fs)
    assert superseded == []
    assert log.truncate_before(5000) == []
    assert log.flush(fs) == (chunks, [])


# --- files: golden, damaged, lost -----------------------------------------------------------------


def golden_log() -> CommitLog:
    fs = LocalFileSystem(FILES)
    manifest = read_manifest(fs, list_manifests(fs)[0])
    return CommitLog.open(fs, [ChunkRef.from_json(chunk) for chunk in manifest.parts["commit_log"]])


def test_golden_chunks_read() -> None:
    log = golden_log()
    assert list(log.entries(EVERYTHING, newest_first=False)) == GOLDEN
    assert log.frame_columns(EVERYTHING).to_pylist() == [as_row(known) for known in reversed(GOLDEN)]
    assert log.last_at_or_below(2, 600) == 400
    assert log.time_of(700) == GOLDEN[-1].time_us
    log.append(entry(8))
    assert len(log) == 8


def one_chunk() -> tuple[MemoryFileSystem, ChunkRef, bytes]:
    fs = MemoryFileSystem()
    (ref,), _ = filled(5).flush(fs)
    return fs, ref, bytes(fs.nodes[f"pages/{ref.name}"].data)


QUESTIONS = {
    "last": lambda log: log.last_at_or_below(3, 450),
    "time": lambda log: log.time_of(300),
    "at": lambda log: log.lsn_at_time(YEAR_2026 + 3000),
    "after": lambda log: log.first_time_after(300),
    "entries": lambda log: list(log.entries(EVERYTHING)),
    "frame": lambda log: log.frame_columns(EVERYTHING),
    "truncate": lambda log: log.truncate_before(300),
}


def refuses(data: bytes, ref: ChunkRef, question: str = "entries") -> CorruptionError:
    fs = MemoryFileSystem()
    fs.make_directory("pages")
    fs.create(f"pages/{ref.name}").pwrite(0, [data])
    with pytest.raises(CorruptionError, match=f"pages/{ref.name} at byte") as caught:
        QUESTIONS[question](CommitLog.open(fs, [ref]))
    return caught.value


def test_any_flipped_bit_is_found() -> None:
    _, ref, data = one_chunk()
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << at % 8
        error = refuses(bytes(bad), ref)
        assert error.path == f"pages/{ref.name}"
        assert error.offset <= envelope.HEADER_BYTES


@pytest.mark.parametrize("question", QUESTIONS)
def test_damage_is_found_whatever_is_asked_first(question: str) -> None:
    _, ref, data = one_chunk()
    refuses(data[:-1] + bytes([data[-1] ^ 0x80]), ref, question)


def test_any_other_size_is_found() -> None:
    _, ref, data = one_chunk()
    for size in [*range(0, len(data), 7), len(data) - 1, len(data) + 1, len(data) + 4096]:
        refuses(data[:size].ljust(size, b"\0"), ref)


def test_another_whole_chunk_under_the_name_is_found() -> None:
    _, ref, data = one_chunk()
    other = CommitLog()
    for number in range(1, 6):
        other.append(replace(entry(number), author="eve"))
    fs = MemoryFileSystem()
    (swapped,), _ = other.flush(fs)
    whole = bytes(fs.nodes[f"pages/{swapped.name}"].data)
    assert "bytes in the file" in refuses(whole, ref).message
    error = refuses(whole, replace(ref, size=swapped.size))
    assert "as listed" in error.message
    assert (error.expected, error.found) == (f"{ref.crc:#010x} as listed", f"{swapped.crc:#010x}")
    assert refuses(data[:-1], ref).expected == len(data)


@pytest.mark.parametrize("field", ["count", "first_lsn", "last_lsn", "first_us", "last_us"])
def test_keys_that_are_not_those_listed_are_found(field: str) -> None:
    _, ref, data = one_chunk()
    other = ChunkRef.from_json({**ref.to_json(), field: getattr(ref, field) + 1})
    refuses(data, other, "last")


@pytest.mark.parametrize("lasts", [(), ((1, 300), (2, 400)), ((1, 300), (2, 400), (3, 400))])
def test_last_commits_that_are_not_those_listed_are_found(lasts: tuple[tuple[int, int], ...]) -> None:
    _, ref, data = one_chunk()
    assert ref.lasts == ((1, 300), (2, 400), (3, 500))
    refuses(data, replace(ref, lasts=lasts), "at")


def damaged_in_the_middle() -> tuple[MemoryFileSystem, list[ChunkRef], ChunkRef]:
    """Commits 1..16, 17..24 and 25..28 in three chunks, of which the second is damaged."""
    fs = MemoryFileSystem()
    log = CommitLog()
    for number in range(1, 29):
        log.append(entry(number))
        if number in (16, 24, 28):
            with mock.patch.multiple(commit_chunks, CHUNK_ROWS_MAX=number if number == 16 else 8):
                chunks, _ = log.flush(fs)
    assert [chunk.count for chunk in chunks] == [16, 8, 4]
    fs.open(f"pages/{chunks[1].name}", write=True).pwrite(100, [b"damage"])
    return fs, chunks, chunks[1]


def test_a_damaged_chunk_costs_what_asks_for_its_commits() -> None:
    fs, chunks, damaged = damaged_in_the_middle()
    log = CommitLog.open(fs, chunks)
    assert [log.last_at_or_below(era, 2**62) for era in ERAS] == [2700, 2800, 2600]
    assert [log.last_at_or_below(era, 1600) for era in ERAS] == [1500, 1600, 1400]
    assert log.last_at_or_below(1, 2400) == 2400, "its last commit is known"
    assert [e.txid for e in log.entries(EVERYTHING, limit=4)] == [28, 27, 26, 25]
    assert len(list(log.entries([(era, 0, 1600) for era in ERAS]))) == 16
    assert log.lsn_at_time(entry(26).time_us) == 2600
    for question in (
        lambda: log.last_at_or_below(1, 2399),
        lambda: log.lsn_at_time(entry(20).time_us),
        lambda: list(log.entries(EVERYTHING)),
    ):
        with pytest.raises(CorruptionError, match=damaged.name) as caught:
            question()
        assert "from LSN 0/1700 to 0/2400" in str(caught.value.hint)


def test_a_damaged_chunk_is_kept_and_does_not_stop_the_log_from_being_written() -> None:
    fs, chunks, damaged = damaged_in_the_middle()
    good = bytes(fs.nodes[f"pages/{damaged.name}"].data)
    log = CommitLog.open(fs, chunks)
    for number in range(29, 80):
        log.append(entry(number))
        chunks, superseded = log.flush(fs)
        assert damaged in chunks
        assert damaged.name not in superseded
        for name in superseded:
            fs.unlink(f"pages/{name}")
    assert [chunk.count for chunk in chunks[:2]] == [16, 8]
    assert bytes(fs.nodes[f"pages/{damaged.name}"].data) == good
    reopened = CommitLog.open(fs, chunks)
    assert [e.txid for e in reopened.entries(EVERYTHING, limit=55)] == list(range(79, 24, -1))


def test_a_chunk_is_in_use_for_as_long_as_somebody_reads_it() -> None:
    fs = MemoryFileSystem()
    log = filled(10)
    (before,), _ = log.flush(fs)
    assert log.in_use() == {before.name}
    never, begun = log.entries(EVERYTHING), log.entries(EVERYTHING)
    assert next(begun) == entry(10)
    for number in range(11, 31):
        log.append(entry(number))
    chunks, _ = log.flush(fs)
    now = {chunk.name for chunk in chunks}
    assert before.name not in now
    assert log.in_use() == {*now, before.name}
    log = CommitLog.open(fs, chunks, instead_of=log)
    assert log.in_use() == {*now, before.name}
    assert len(list(never)) == 30
    assert log.in_use() == {*now, before.name}
    assert len(list(begun)) == 9
    assert log.in_use() == now


def test_good_checksums_over_nonsense_are_damage() -> None:
    _, ref, _ = one_chunk()
    for body in (b"", b"ARROW1\0\0nonsense", b"\0" * 500):
        data = envelope.pack(commit_chunks.MAGIC, commit_chunks.FORMAT, body)
        refuses(
            data, ChunkRef.from_json({**ref.to_json(), "size": len(data), "crc": envelope.body_crc(data)})
        )


def test_newer_format_is_told_from_damage() -> None:
    fs, ref, data = one_chunk()
    newer = envelope.pack(commit_chunks.MAGIC, commit_chunks.FORMAT + 1, data[envelope.HEADER_BYTES :])
    fs.open(f"pages/{ref.name}", write=True).pwrite(0, [newer])
    with pytest.raises(FormatVersionError, match="format 2, this one knows 1"):
        list(CommitLog.open(fs, [ref]).entries(EVERYTHING))


def test_chunks_in_the_wrong_order_are_refused() -> None:
    fs = MemoryFileSystem()
    log = filled(4, fs, every=4)
    log.append(entry(5))
    chunks, _ = log.flush(fs)
    with pytest.raises(CorruptionError, match="overlap"):
        CommitLog.open(fs, chunks[::-1])


def test_a_failing_flush_changes_nothing() -> None:
    for call in range(1, 100):
        inner = MemoryFileSystem()
        log = filled(8, inner, every=4)
        for number in (9, 10, 11):
            log.append(entry(number))
        log.truncate_before(250)
        known = list(log.entries(EVERYTHING))
        fs = FaultyFileSystem(inner, [Fault(call=call, error=errno.ENOSPC, written=100)])
        try:
            chunks, _ = log.flush(fs)
        except StorageError:
            assert list(log.entries(EVERYTHING)) == known
            chunks, _ = log.flush(inner)
        assert list(CommitLog.open(inner, chunks).entries(EVERYTHING)) == known
        if not fs.fired:
            return
    raise AssertionError("a hundred calls to write two files")


def test_a_full_disk_is_not_filled_further() -> None:
    fs = MemoryFileSystem(capacity=500)
    log = filled(10)
    for _ in range(3):
        with pytest.raises(StorageError):
            log.flush(fs)
    assert fs.list("pages") == []
    fs.capacity = None
    assert len(CommitLog.open(fs, log.flush(fs)[0])) == 10


def test_any_power_loss_leaves_what_was_flushed() -> None:
    fs = RecordingFileSystem()
    log = CommitLog()
    for number in range(1, 7):
        log.append(entry(number))
        fs.mark(log.flush(fs)[0])
    for state in crash_states(fs.log, limit=1000):
        if state.marks:
            recovered = CommitLog.open(state, state.marks[-1])
            expected = [entry(number) for number in range(1, len(state.marks) + 1)]
            assert list(recovered.entries(EVERYTHING, newest_first=False)) == expected, state.story


# --- side by side ---------------------------------------------------------------------------------


def test_readers_see_a_prefix_while_commits_are_appended_and_flushed() -> None:
    total = 4000
    planned = [entry(number) for number in range(1, total + 1)]
    fs, log = MemoryFileSystem(), CommitLog()
    problems: list[BaseException] = []
    done = threading.Event()

    def guarded(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            problems.append(error)
        finally:
            if work is write:
                done.set()

    def write() -> None:
        for number, known in enumerate(planned, 1):
            log.append(known)
            if number % 97 == 0:
                for name in log.flush(fs, upto=known.lsn - 300)[1]:
                    fs.unlink(f"pages/{name}")

    def read() -> None:
        while not done.is_set():
            before = log.last_lsn // 100
            seen = [known.lsn for known in log.entries(EVERYTHING, newest_first=False)]
            after = log.last_lsn // 100 + 1
            assert seen == [known.lsn for known in planned[: len(seen)]]
            assert before - 1 <= len(seen) <= after
            newest = list(log.entries(EVERYTHING, limit=5))
            last = newest[0].txid if newest else 0
            assert newest == planned[max(0, last - 5) : last][::-1]
            assert last >= len(seen)

    def ask() -> None:
        while not done.is_set():
            number = log.last_lsn // 100
            if number > 3:
                assert log.last_at_or_below(number % 3 + 1, 100 * number) == 100 * number
                assert log.last_at_or_below((number - 1) % 3 + 1, 100 * number) == 100 * (number - 1)
                assert log.time_of(100 * number) == YEAR_2026 + 1000 * number
                assert log.lsn_at_time(YEAR_2026 + 1000 * number) == 100 * number

    with small_chunks():
        threads = [threading.Thread(target=guarded, args=(work,)) for work in (read, ask, write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert list(log.entries(EVERYTHING, newest_first=False)) == planned
    assert problems == []
