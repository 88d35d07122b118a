"""Parts and ranges side by side: order, bounded memory, the first error, and sizes that always suffice."""

from __future__ import annotations

import random
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import InvalidInputError
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.part_sizes import PartSizes, plan_parts
from absdb.objectstore.read_ahead import read_ahead
from absdb.objectstore.transfer import PartUploader

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
S3 = {"part_size": 8 * MIB, "max_parts": 10_000, "largest_part": 5 * GIB, "largest_object": 5 * TIB}


def sizes(size: int, max_parts: int = 1000) -> PartSizes:
    return PartSizes(size, 0, size, max_parts)


class TestPartSizes:
    @given(st.one_of(st.none(), st.integers(0, 5 * TIB)))
    def test_parts_of_s3_always_suffice(self, hint):
        plan = plan_parts(hint, **S3)
        assert plan.total() >= 5 * TIB
        assert 8 * MIB <= plan.size(1) <= plan.size(10_000) <= 5 * GIB

    @given(st.integers(0, 2 * TIB), st.integers(2, 10_000))
    def test_size_that_was_expected_fits_into_equal_parts(self, hint, max_parts):
        plan = plan_parts(hint, **{**S3, "max_parts": max_parts})
        equal = max(1, max_parts // 2)
        assert len({plan.size(number) for number in range(1, equal + 1)}) == 1
        assert plan.size(1) * equal >= hint or plan.size(1) == 5 * GIB

    def test_provider_of_a_thousand_parts_holds_terabytes_that_were_expected(self):
        plan = plan_parts(4 * TIB, **{**S3, "max_parts": 1000})
        assert plan.total() == 1000 * 5 * GIB

    def test_small_objects_have_small_parts(self):
        assert plan_parts(None, **S3).size(1) == 8 * MIB
        assert plan_parts(100 * MIB, **S3).size(1) == 8 * MIB
        assert plan_parts(100 * GIB, **S3).size(1) == 21 * MIB


class TestPartUploader:
    @given(
        st.lists(st.integers(0, 40), max_size=20),
        st.integers(1, 16),
        st.sampled_from([bytes, bytearray, memoryview]),
    )
    def test_parts_are_what_was_written(self, pieces, part_size, kind):
        sent: dict[int, bytes] = {}

        def send_part(number, data):
            sent[number] = bytes(data)
            return f"tag{number}"

        uploader = PartUploader(send_part, sizes(part_size), Concurrency(3))
        written = b""
        for number, length in enumerate(pieces):
            piece = bytes([number]) * length
            written += piece
            uploader.write(kind(piece))
        tags = uploader.finish()
        assert b"".join(sent[number] for number in sorted(sent)) == written
        assert all(len(sent[number]) == part_size for number in range(1, len(sent)))
        assert tags == [f"tag{number}" for number in range(1, len(sent) + 1)]

    def test_what_fits_into_a_part_is_not_sent(self):
        uploader = PartUploader(lambda number, data: 1 / 0, sizes(10), Concurrency(2))
        uploader.write(b"01234")
        uploader.write(b"56789")
        assert not uploader.has_sent
        assert uploader.rest == b"0123456789"
        uploader.abort()

    def test_writing_waits_while_enough_is_on_its_way(self):
        """Three slots: no more than three parts are ever being sent, and a fourth one waits."""
        going, most, mutex, gate = [0], [0], threading.Lock(), threading.Event()

        def send_part(number, data):
            with mutex:
                going[0] += 1
                most[0] = max(most[0], going[0])
            gate.wait(20)
            with mutex:
                going[0] -= 1

        uploader = PartUploader(send_part, sizes(10), Concurrency(3))
        written = []

        def write():
            for _ in range(12):
                uploader.write(b"x" * 10)
                written.append(1)

        writer = threading.Thread(target=write)
        writer.start()
        while going[0] < 3:
            time.sleep(0.005)
        time.sleep(0.05)
        assert len(written) == 4  # three on their way, and one that is full
        gate.set()
        writer.join()
        uploader.finish()
        assert most[0] == 3

    def test_large_parts_are_fewer_at_a_time(self):
        most, going, mutex = [0], [0], threading.Lock()

        def send_part(number, data):
            with mutex:
                going[0] += 1
                most[0] = max(most[0], going[0])
            time.sleep(0.01)
            with mutex:
                going[0] -= 1

        uploader = PartUploader(send_part, sizes(1000), Concurrency(8), memory=2000)
        uploader.write(bytes(10_000))
        uploader.finish()
        assert most[0] <= 2

    def test_first_error_stops_everything(self):
        sent = []

        def send_part(number, data):
            sent.append(number)
            if number == 2:
                raise ZeroDivisionError
            return number

        uploader = PartUploader(send_part, sizes(10), Concurrency(2))

        def write():
            for _ in range(100):
                uploader.write(b"x" * 10)
            uploader.finish()

        with pytest.raises(ZeroDivisionError):
            write()
        uploader.abort()
        assert len(sent) < 10

    def test_error_in_the_last_part_is_raised_by_finish(self):
        uploader = PartUploader(lambda number, data: 1 / 0, sizes(10), Concurrency(2))
        uploader.write(b"x")
        with pytest.raises(ZeroDivisionError):
            uploader.finish()

    def test_more_parts_than_there_may_be(self):
        uploader = PartUploader(lambda number, data: number, sizes(10, max_parts=3), Concurrency(2))
        with pytest.raises(InvalidInputError, match="ends at 30 bytes"):
            uploader.write(bytes(50))
        uploader.abort()


class TestReadAhead:
    @given(st.integers(0, 50), st.integers(0, 300), st.integers(1, 40), st.integers(1, 5))
    def test_ranges_come_in_order(self, offset, length, range_size, ahead):
        data = random.Random(0).randbytes(400)

        def fetch(start, size):
            time.sleep(random.random() / 5000)
            return data[start : start + size]

        end = offset + length
        found = read_ahead(fetch, offset, end, Concurrency(3), range_size=range_size, ahead=ahead)
        assert b"".join(found) == data[offset:end]

    def test_no_more_is_fetched_than_is_held(self):
        fetched = []

        def fetch(start, size):
            fetched.append(start)
            return bytes(size)

        reading = read_ahead(fetch, 0, 1000, Concurrency(8), range_size=10, ahead=4)
        next(reading)
        time.sleep(0.05)
        assert len(fetched) <= 5
        reading.close()

    def test_error_is_raised_when_its_turn_comes(self):
        def fetch(start, size):
            if start == 20:
                raise ZeroDivisionError
            return bytes(size)

        reading = read_ahead(fetch, 0, 1000, Concurrency(8), range_size=10, ahead=4)
        assert len(next(reading)) + len(next(reading)) == 20
        with pytest.raises(ZeroDivisionError):
            next(reading)


class TestConcurrency:
    def test_complaints_halve_it_and_peace_brings_it_back(self, monkeypatch):
        now = [0.0]
        monkeypatch.setattr("time.monotonic", lambda: now[0])
        concurrency = Concurrency(8)
        for allowed in (4, 2, 1, 1):
            concurrency.halve()
            concurrency.halve()  # of those that were on their way together
            assert concurrency.allowed == allowed
            now[0] += 10
        for _ in range(200):
            with concurrency.slot():
                pass
        assert concurrency.allowed == 8
