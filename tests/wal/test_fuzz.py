"""Logs with anything done to them, against an oracle that knows what was written.

The oracle compares bytes and never decodes one: a record counts if all its bytes are as they were written.
Let P be where the first one is missing. It is damage if a later record's header is as it was written, and
that record was written when the log was synced beyond P; or if the files themselves cannot have come from a
crash. Otherwise it is a torn tail, or a clean end, at P.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import CorruptLogError
from absdb.wal.format import RecordKind, encode_record
from absdb.wal.repair import recover_tail
from tests.wal.disk import SectorDisk
from tests.wal.logs import LOG, SEGMENT, WHOSE, Written, bodies, body, path, write_batches, writer

Segments = list[bytearray]


@dataclass
class Original:
    """A log as it was written, in segments that follow one another."""

    segments: Segments
    records: list[Written]
    end: int

    def spans(self, first: int, end: int) -> list[tuple[int, int, int]]:
        """The places in files of the bytes between two LSNs, headers of segments left out."""
        found = []
        for number in range(first // SEGMENT, (end - 1) // SEGMENT + 1):
            low = max(first - number * SEGMENT, 64)
            high = min(end - number * SEGMENT, SEGMENT)
            if low < high:
                found.append((number, low, high))
        return found

    def stands(self, segments: Segments, record: Written, *, header_only: bool = False) -> bool:
        """Whether a record's bytes, or those of its header, are as they were written."""
        left = 64 if header_only else 1 << 30
        for number, low, high in self.spans(record.lsn, record.end_lsn):
            high = min(high, low + left)
            left -= high - low
            if segments[number][low:high] != self.segments[number][low:high]:
                return False
        return True


def original(seed: int) -> Original:
    """Batches of random sizes, the last segment empty; some logs were written in nosync mode."""
    choice = random.Random(seed)
    disk = SectorDisk()
    log = writer(disk, sync_mode="nosync" if choice.random() < 0.2 else "fsync")
    batches = [
        [
            body(choice.choice([0, 30, 120, 500, 1500, 6000]), choice.randrange(255))
            for _ in range(choice.randint(1, 4))
        ]
        for _ in range(choice.randint(1, 7))
    ]
    written = [record for batch in write_batches(log, batches) for record in batch]
    last = log.written_lsn // SEGMENT + 1
    for number in (last - 1, last):
        if not disk.exists(path(number)):
            log._segments.create(number, 1).close()
    files = disk.files()
    return Original([bytearray(files[path(n)]) for n in range(len(files))], written, log.written_lsn)


# -- what is done to logs: each changes the segments in place


def flip_bit(log: Original, segments: Segments, choice: random.Random) -> None:
    segment = choice.choice(segments)
    if segment:
        segment[choice.randrange(len(segment))] ^= 1 << choice.randrange(8)


def flip_bit_of_a_record(log: Original, segments: Segments, choice: random.Random) -> None:
    number, low, high = choice.choice(log.spans(64, log.end) or [(0, 64, 65)])
    if high <= len(segments[number]):
        segments[number][choice.randrange(low, high)] ^= 1 << choice.randrange(8)


def cut(log: Original, segments: Segments, choice: random.Random) -> None:
    segment = segments[-1] if choice.random() < 0.8 else choice.choice(segments)
    del segment[choice.randrange(len(segment) + 1) :]


def drop_newest(log: Original, segments: Segments, choice: random.Random) -> None:
    if len(segments) > 1:
        segments.pop()


def zero_sector(log: Original, segments: Segments, choice: random.Random) -> None:
    segment = choice.choice(segments)
    first = choice.randrange(SEGMENT // 512) * 512
    if len(segment) >= first + 512:
        segment[first : first + 512] = bytes(512)


def zero_from_here_on(log: Original, segments: Segments, choice: random.Random) -> None:
    lsn = choice.randrange(64, log.end + 1)
    for number, segment in enumerate(segments):
        first = max(64, lsn - number * SEGMENT)
        if first < len(segment):
            segment[first:] = bytes(len(segment) - first)


def duplicate_record(log: Original, segments: Segments, choice: random.Random) -> None:
    source, target = choice.choice(log.records), choice.choice(log.records)
    place(log, segments, target.lsn, taken(log, segments, source))


def duplicate_record_at_the_end(log: Original, segments: Segments, choice: random.Random) -> None:
    place(log, segments, log.end, taken(log, segments, choice.choice(log.records)))


def swap_records(log: Original, segments: Segments, choice: random.Random) -> None:
    one, two = choice.choice(log.records), choice.choice(log.records)
    first, second = taken(log, segments, one), taken(log, segments, two)
    place(log, segments, one.lsn, second)
    place(log, segments, two.lsn, first)


def splice_from_another_segment(log: Original, segments: Segments, choice: random.Random) -> None:
    source, target = choice.choice(segments), choice.choice(segments)
    first = choice.randrange(SEGMENT // 8) * 8
    end = min(first + choice.choice([64, 512, 2048]), len(source), len(target))
    if first < end:
        target[first:end] = source[first:end]


def recycle_segment(log: Original, segments: Segments, choice: random.Random) -> None:
    """The newest segment is full of records of an older one, behind a header of its own."""
    source, target = choice.choice(segments), segments[-1]
    if len(source) == len(target) == SEGMENT:
        target[64:] = source[64:]


def cut_and_extend_with_old_content(log: Original, segments: Segments, choice: random.Random) -> None:
    segment, old = segments[-1], choice.choice(segments)
    first = choice.randrange(64, SEGMENT)
    segment[first:] = old[first : first + choice.randrange(SEGMENT)]


def append_garbage(log: Original, segments: Segments, choice: random.Random) -> None:
    place(log, segments, log.end, choice.randbytes(choice.randrange(1, 900)))


def append_record_of_an_older_epoch(log: Original, segments: Segments, choice: random.Random) -> None:
    lsn = log.end + choice.choice([0, 0, 8, 64])
    if lsn % SEGMENT >= 64:
        raw = encode_record(
            LOG,
            kind=RecordKind.COMMIT,
            lsn=lsn,
            durable_lsn=lsn,
            database_id=7,
            txid=1,
            time_us=1,
            epoch=0,
            body=body(choice.randrange(300)),
        )
        place(log, segments, lsn, raw)


def lie_about_length(log: Original, segments: Segments, choice: random.Random) -> None:
    raw = bytearray(4)
    raw[:] = choice.randbytes(4)
    place(log, segments, choice.choice(log.records).lsn + 4, bytes(raw))


def taken(log: Original, segments: Segments, record: Written) -> bytes:
    spans = log.spans(record.lsn, record.end_lsn)
    return b"".join(bytes(segments[n][low:high]) for n, low, high in spans if n < len(segments))


def place(log: Original, segments: Segments, lsn: int, raw: bytes) -> None:
    """Write bytes from an LSN on, around headers, as far as there are files."""
    while raw and lsn // SEGMENT < len(segments):
        number, offset = divmod(lsn, SEGMENT)
        offset = max(offset, 64)
        piece = raw[: max(0, len(segments[number]) - offset)]
        segments[number][offset : offset + len(piece)] = piece
        raw = raw[SEGMENT - offset :]
        lsn = (number + 1) * SEGMENT


MUTATIONS: list[Callable[[Original, Segments, random.Random], None]] = [
    flip_bit,
    flip_bit_of_a_record,
    cut,
    drop_newest,
    zero_sector,
    zero_from_here_on,
    duplicate_record,
    duplicate_record_at_the_end,
    swap_records,
    splice_from_another_segment,
    recycle_segment,
    cut_and_extend_with_old_content,
    append_garbage,
    append_record_of_an_older_epoch,
    lie_about_length,
]


def expected(log: Original, segments: Segments) -> int | str:
    """How many records stand, or why it is damage."""
    count = 0
    padded = [bytearray(segment.ljust(SEGMENT, b"\0")) for segment in segments]
    padded += [bytearray(SEGMENT)] * (len(log.segments) - len(segments))
    while count < len(log.records) and log.stands(padded, log.records[count]):
        count += 1
    stop = log.records[count - 1].end_lsn if count else 0
    behind = log.records[count].lsn if count < len(log.records) else log.end
    for number, segment in enumerate(segments):
        if len(segment) > SEGMENT or (len(segment) < SEGMENT and number < len(segments) - 1):
            return "size"
        header_is_good = segment[:64] == log.segments[number][:64]
        # It had its whole size before its first record.
        holds_records = behind > number * SEGMENT + 64 or any(segment[64:])
        if header_is_good and len(segment) < SEGMENT and holds_records:
            return "size"
        if not header_is_good and any(segment[64:]):
            return "header"
        # A whole header of another segment, spliced in here.
        if not header_is_good and any(segment[:64] == other[:64] for other in log.segments):
            return "foreign"
        if not header_is_good and number < len(segments) - 1:
            return "not the newest"
        if not header_is_good and number <= (stop - 1) // SEGMENT and stop:
            return "header"
    for record in log.records[count:]:
        if record.durable_lsn > behind and log.stands(padded, record, header_only=True):
            return "proof"
    return count


@given(
    st.integers(0, 2**32),
    st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_the_verdict_is_that_of_the_oracle(
    seed: int, mutations: list[Callable[[Original, Segments, random.Random], None]], how: int
) -> None:
    log = original(seed)
    segments = [bytearray(segment) for segment in log.segments]
    choice = random.Random(how)
    for mutate in mutations:
        mutate(log, segments, choice)
    compare(log, segments)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_each_kind_of_change(mutate: Callable[[Original, Segments, random.Random], None]) -> None:
    for seed in range(40):
        log = original(seed)
        segments = [bytearray(segment) for segment in log.segments]
        mutate(log, segments, random.Random(seed))
        compare(log, segments)


def compare(log: Original, segments: Segments) -> None:
    disk = SectorDisk()
    for number, segment in enumerate(segments):
        disk.put(path(number), bytes(segment))
    before = disk.files()
    verdict = expected(log, segments)
    if isinstance(verdict, str):
        with pytest.raises(CorruptLogError):
            recover_tail(disk, "wal", from_lsn=0, **WHOSE)
        assert disk.files() == before
        return
    end = recover_tail(disk, "wal", from_lsn=0, **WHOSE)
    assert end.records == verdict
    assert end.lsn == (log.records[end.records - 1].end_lsn if end.records else 0)
    assert bodies(disk) == [record.body for record in log.records[: end.records]]
    again = recover_tail(disk, "wal", from_lsn=0, **WHOSE)
    assert (again.lsn, again.torn) == (end.lsn, None)
