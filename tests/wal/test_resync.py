"""The first record behind any place is found, whatever lies before it, and none is made up."""

from __future__ import annotations

import pytest

from absdb.io.memory import MemoryFileSystem
from absdb.wal.position import record_start
from absdb.wal.resync import first_record
from tests.wal.logs import SEGMENT, WHOSE, body, write_batches, writer


@pytest.fixture
def log():
    fs = MemoryFileSystem()
    fs.make_directory("wal")
    log = writer(fs)
    lengths = [10, 700, 0, 3000, 5000, 20000, 64, 900, 4000, 1]
    written = [each for batch in write_batches(log, [[body(n, n)] for n in lengths]) for each in batch]
    return fs, written, log.written_lsn


def find(fs, lsn, upto):
    return first_record(fs, "wal", from_lsn=lsn, upto=upto, **WHOSE)


def test_first_record_behind_the_start_of_each_segment(log):
    fs, written, end = log
    for start in range(0, end, SEGMENT):
        behind = [each.lsn for each in written if each.lsn >= start]
        assert find(fs, start, end) == (behind[0] if behind else None)


def test_first_record_behind_any_place(log):
    fs, written, end = log
    for lsn in range(0, end, 104):
        if 0 < lsn % SEGMENT < 64:
            continue
        behind = [each.lsn for each in written if each.lsn >= record_start(lsn, SEGMENT)]
        assert find(fs, lsn, end) == (behind[0] if behind else None)


def test_nothing_behind_the_limit_counts(log):
    fs, written, _ = log
    assert find(fs, written[3].lsn + 8, written[4].lsn) is None
    assert find(fs, written[3].lsn + 8, written[4].lsn + 8) == written[4].lsn


def test_copy_of_a_record_in_a_body_is_none(log):
    fs, written, _ = log
    copy = fs.open("wal/" + fs.list("wal")[0]).pread(written[0].lsn, 80)
    again = writer(fs, position=log[2])
    (batch,) = write_batches(again, [[copy * 3, b"x"]])
    assert find(fs, batch[0].lsn + 8, again.written_lsn) == batch[1].lsn
