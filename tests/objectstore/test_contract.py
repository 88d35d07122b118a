"""What every store of objects promises, tried on all of them: directories, and buckets of real servers.

Whoever writes another kind of store adds a place to `places.PLACES` and is held to the same.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from absdb.clock import SystemClock
from absdb.errors import (
    AbsdbError,
    AlreadyExistsError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    StateError,
    StorageError,
)
from absdb.objectstore.janitor import remove_abandoned
from tests.objectstore.places import (
    WITH_BUCKETS,
    WITH_CONDITIONS,
    WITH_KEYS,
    WITH_PENDING_UPLOADS,
    WITH_RIVALS,
)

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20

ODD_NAMES = (
    "a b/c d",
    "a+b",
    "100%",
    "%20",
    "a%2Fb",
    "é/ü/漢字/🦆",
    "x~!*'()&=?#@,;:$",
    "<tag>&amp;",
    "deep/er/and/deep/er",
    "trailing.",
    ".hidden",
    "...",
    "-",
    "quote\"'`",
    "n" * 200,
)
UNORDERED_NAMES = ("x/b", "x-c", "x.b", "x/é", "b/c/d", "x0", "x/d/e", "x", "a", "x/d.e", "🦆", "�")


@pytest.fixture
def store(place):
    """An open store with nothing in it."""
    return place.open()


def names(store, *arguments, **options) -> list[str]:
    return [info.name for info in store.list(*arguments, **options)]


def some_bytes(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


class TestObjects:
    def test_what_was_put_is_there(self, store):
        put = store.put("a/b", b"hello")
        assert (put.name, put.size) == ("a/b", 5)
        assert store.get("a/b") == b"hello"
        found = store.head("a/b")
        assert (found.name, found.size, found.etag) == ("a/b", 5, put.etag)
        assert store.exists("a/b")
        assert abs(found.modified_us - SystemClock().now_us()) < 60_000_000
        [listed] = store.list()
        assert listed[:3] == found[:3]

    def test_put_replaces_and_changes_the_etag(self, store):
        before = store.put("a", b"1")
        after = store.put("a", b"22")
        assert store.get("a") == b"22"
        assert before.etag != after.etag == store.head("a").etag

    def test_bytes_of_any_kind(self, store):
        store.put("a", bytearray(b"one"))
        store.put("b", memoryview(b"xtwox")[1:-1])
        assert (store.get("a"), store.get("b")) == (b"one", b"two")

    def test_empty_object(self, store):
        assert store.put("a", b"").size == 0
        assert store.get("a") == b""
        assert list(store.read("a")) == []
        assert store.head("a").size == 0
        assert names(store) == ["a"]
        with store.upload("b") as upload:
            pass
        assert store.get("b") == b""
        upload.abort()

    def test_object_that_is_not_there(self, store):
        store.put("there", b"1")
        assert not store.exists("a")
        for refused in (
            lambda: store.get("a"),
            lambda: store.get("a", offset=1, length=0),
            lambda: list(store.read("a")),
            lambda: store.head("a"),
        ):
            with pytest.raises(NotFoundError, match="a"):
                refused()

    def test_deleted_object_is_gone_and_may_be_deleted_again(self, store):
        store.put("a/b", b"1")
        store.delete("a/b")
        store.delete("a/b")
        store.delete("never/was")
        assert not store.exists("a/b")
        assert names(store) == []
        assert store.list_directories() == []
        store.put("a/b", b"2")
        assert store.get("a/b") == b"2"

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, store, name):
        store.put(name, name.encode())
        assert store.get(name) == name.encode()
        assert names(store) == [name]
        assert names(store, prefix=name[:-1]) == [name]
        store.delete(name)
        assert names(store) == []

    @pytest.mark.parametrize(
        "name",
        ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", "a\\b", "a\0b", "a\nb", "\ud800", "n" * 901],
    )
    def test_names_that_are_none_are_refused(self, store, name):
        for refused in (
            lambda: store.put(name, b"1"),
            lambda: store.upload(name),
            lambda: store.get(name),
            lambda: store.head(name),
            lambda: store.exists(name),
            lambda: store.delete(name),
        ):
            with pytest.raises(InvalidInputError):
                refused()

    def test_put_of_too_much_is_refused(self, store):
        with pytest.raises(InvalidInputError, match="can be put at once"):
            store.put("a", bytes(64 * MIB + 1))

    def test_url_says_where_and_opens_the_same_place(self, place):
        store = place.open("below")
        store.put("a", b"1")
        assert "?" not in store.url
        assert names(place.open(url=store.url)) == ["a"]
        assert "below/a" in names(place.open())

    def test_closing_twice_is_harmless(self, store):
        store.put("a", b"1")
        store.close()
        store.close()


class TestRanges:
    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, None), (0, 1), (3, 4), (9, 1), (9, None), (10, None), (10, 0), (0, 0), (0, 10)],
    )
    def test_range_is_what_was_asked_for(self, store, offset, length):
        data = b"0123456789"
        store.put("a", data)
        wanted = data[offset:] if length is None else data[offset : offset + length]
        assert store.get("a", offset=offset, length=length) == wanted
        assert b"".join(store.read("a", offset=offset, length=length)) == wanted

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (5, 6), (10, 1), (11, None), (11, 0), (100, 1)])
    def test_more_than_there_is_is_refused(self, store, offset, length):
        store.put("a", b"0123456789")
        with pytest.raises(StorageError, match="only 10"):
            store.get("a", offset=offset, length=length)
        with pytest.raises(StorageError, match="only 10"):
            list(store.read("a", offset=offset, length=length))

    def test_chunks_have_at_most_a_mebibyte(self, store):
        data = some_bytes(10 * MIB + 5)
        store.put("a", data)
        chunks = list(store.read("a", offset=3))
        assert max(map(len, chunks)) <= MIB
        assert b"".join(chunks) == data[3:]
        assert store.get("a", offset=MIB, length=9 * MIB) == data[MIB : 10 * MIB]

    def test_reading_may_stop_in_between(self, store):
        store.put("a", bytes(9 * MIB))
        reading = store.read("a")
        next(reading)
        reading.close()
        assert len(store.get("a")) == 9 * MIB


class TestListing:
    def test_order_is_that_of_bytes(self, store):
        names_there = [name for name in UNORDERED_NAMES if name != "x"]
        for name in names_there:
            store.put(name, b"")
        wanted = sorted(names_there, key=str.encode)
        assert names(store) == wanted
        for after in ["", "x", "x-c", "x/", "x/b", "x/d", "x0", "zzz", "�", "🦆🦆"]:
            assert names(store, after=after) == [name for name in wanted if name.encode() > after.encode()]
        for prefix in ["x", "x/", "x/d", "x/d/", "b", "nope", "x-c", "x-c/"]:
            assert names(store, prefix) == [name for name in wanted if name.startswith(prefix)]
            for after in ["x-c", "x/b", "x/d/e", "y", "a"]:
                assert names(store, prefix, after=after) == [
                    name for name in wanted if name.startswith(prefix) and name.encode() > after.encode()
                ]

    def test_directories(self, store):
        for name in ("a/b/c", "a/d/e", "a/f", "g", "h/i/j/k", "b c/d"):
            store.put(name, b"")
        assert store.list_directories() == ["a", "b c", "h"]
        assert store.list_directories("a/") == ["b", "d"]
        assert store.list_directories("h/i/") == ["j"]
        assert store.list_directories("h/i/j/") == []
        assert store.list_directories("nope/") == []
        with pytest.raises(InvalidInputError):
            store.list_directories("a")

    def test_empty_store(self, store):
        assert names(store) == []
        assert store.list_directories() == []
        assert store.pending_uploads() == []

    def test_neighbours_are_not_seen(self, place):
        place.open("a").put("x", b"1")
        place.open("ab").put("y", b"2")
        assert names(place.open("a")) == ["x"]
        assert place.open("a").list_directories() == []

    def test_more_than_a_page(self, store):
        wanted = [f"n/{number:04}" for number in range(1005)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: store.put(name, b""), wanted))
        assert names(store) == wanted
        assert names(store, after="n/0500") == wanted[501:]
        assert len(names(store, "n/100")) == 5


@pytest.mark.parametrize("place", WITH_CONDITIONS, indirect=True)
class TestConditions:
    def test_second_is_refused_under_if_absent(self, store):
        store.put("a", b"first", if_absent=True)
        with pytest.raises(AlreadyExistsError, match="a"):
            store.put("a", b"second", if_absent=True)
        with pytest.raises(AlreadyExistsError), store.upload("a", if_absent=True) as upload:
            upload.write(b"third")
        assert store.get("a") == b"first"
        assert store.pending_uploads() == []

    def test_race_has_one_winner(self, place):
        stores = [place.open() for _ in range(4)]
        for round_number in range(3):
            name = f"race/{round_number}"
            barrier = threading.Barrier(16)

            def contend(contender, name=name, barrier=barrier):
                barrier.wait()
                try:
                    stores[contender % 4].put(name, f"{contender}".encode(), if_absent=True)
                except AlreadyExistsError:
                    return None
                return contender

            with ThreadPoolExecutor(16) as threads:
                winners = [who for who in threads.map(contend, range(16)) if who is not None]
            assert len(winners) == 1
            assert stores[0].get(name) == str(winners[0]).encode()

    def test_large_object_under_if_absent(self, place, store):
        data = some_bytes(place.large)
        with store.upload("a", if_absent=True) as upload:
            upload.write(data)
        with pytest.raises(AlreadyExistsError), store.upload("a", if_absent=True) as upload:
            upload.write(bytes(place.large))
        assert store.get("a") == data
        assert store.pending_uploads() == []

    def test_if_match_replaces_only_what_was_seen(self, store):
        seen = store.put("a", b"1")
        now = store.put("a", b"2", if_match=seen.etag)
        for etag in (seen.etag, "nonsense"):
            with pytest.raises(ConflictError, match="a"):
                store.put("a", b"3", if_match=etag)
        assert store.get("a") == b"2"
        store.delete("a")
        with pytest.raises(ConflictError):
            store.put("a", b"3", if_match=now.etag)
        assert not store.exists("a")

    def test_counter_by_if_match_loses_nothing(self, store):
        store.put("n", b"0")

        def add(_):
            while True:
                info = store.head("n")
                value = int(store.get("n"))
                try:
                    return store.put("n", str(value + 1).encode(), if_match=info.etag)
                except ConflictError:
                    continue

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(add, range(12)))
        assert store.get("n") == b"12"


class TestUploads:
    @pytest.mark.parametrize("hint", [None, 1, 12 * MIB])
    def test_large_object_in_uneven_pieces(self, place, store, hint):
        data = some_bytes(place.large + 77)
        at, step = 0, 1
        with store.upload("big", size_hint=hint) as upload:
            while at < len(data):
                upload.write(data[at : at + step])
                at, step = at + step, min(step * 3, 7 * MIB)
            info = upload.finish()
        assert (info.name, info.size) == ("big", len(data))
        assert store.head("big").etag == info.etag
        assert store.get("big") == data
        assert store.pending_uploads() == []

    @pytest.mark.parametrize("size", [5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 10 * MIB])
    def test_sizes_around_that_of_a_part(self, store, size):
        data = some_bytes(size)
        with store.upload("a") as upload:
            upload.write(data)
        assert store.head("a").size == size
        assert store.get("a") == data

    def test_buffer_of_the_caller_may_be_used_again(self, place, store):
        buffer = bytearray(MIB)
        wanted = b""
        with store.upload("a") as upload:
            for number in range(place.large // MIB):
                buffer[:] = bytes([number]) * MIB
                wanted += buffer
                upload.write(buffer)
        assert store.get("a") == wanted

    def test_nothing_is_seen_before_the_end(self, place, store):
        with store.upload("a") as upload:
            upload.write(bytes(place.large))
            assert not store.exists("a")
            assert names(store) == []
            assert store.list_directories() == []
        assert names(store) == ["a"]

    def test_abort_leaves_nothing(self, place, store):
        upload = store.upload("a")
        upload.write(bytes(place.large))
        upload.abort()
        upload.abort()
        assert names(store) == []
        assert store.pending_uploads() == []
        for refused in (upload.finish, lambda: upload.write(b"1")):
            with pytest.raises(StateError, match="over"):
                refused()

    def test_error_in_between_leaves_nothing(self, place, store):
        def fail():
            with store.upload("a") as upload:
                upload.write(bytes(place.large))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert names(store) == []
        assert store.pending_uploads() == []

    def test_upload_replaces_an_object(self, place, store):
        store.put("a", b"old")
        with store.upload("a") as upload:
            upload.write(bytes(place.large))
            assert store.get("a") == b"old"
        assert store.head("a").size == place.large

    @pytest.mark.parametrize("place", WITH_RIVALS, indirect=True)
    def test_two_at_once_for_one_name(self, place, store):
        one, other = store.upload("a"), store.upload("a")
        one.write(b"1" * place.large)
        other.write(b"2" * place.large)
        one.finish()
        other.finish()
        assert store.get("a") == b"2" * place.large
        assert store.pending_uploads() == []


UPLOADING = """
import json, sys, time
from absdb.objectstore.locate import open_store
url, options, size = json.loads(sys.argv[1])
store = open_store(url, **options)
upload = store.upload("killed/a")
upload.write(bytes(size))
while not store.pending_uploads():
    time.sleep(0.02)
print("written", flush=True)
time.sleep(600)
"""


class TestAbandoned:
    @pytest.mark.parametrize("place", WITH_PENDING_UPLOADS, indirect=True)
    def test_killed_writer_leaves_nothing_but_a_pending_upload(self, place, store):
        arguments = json.dumps([place.url, dict(place.options), place.large])
        process = subprocess.Popen(
            [sys.executable, "-c", UPLOADING, arguments],
            cwd=ROOT,
            env={**os.environ, **place.environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
            process.send_signal(signal.SIGKILL)
        assert names(store) == []
        assert store.list_directories() == []
        pending = store.pending_uploads()
        assert {upload.name for upload in pending} == {"killed/a"}
        assert abs(pending[0].started_us - SystemClock().now_us()) < 60_000_000
        store.put("killed/a", b"by somebody else")
        for upload in store.pending_uploads():
            store.abort_pending(upload)
            store.abort_pending(upload)
        assert store.pending_uploads() == []
        assert store.get("killed/a") == b"by somebody else"

    @pytest.mark.parametrize("place", WITH_PENDING_UPLOADS, indirect=True)
    def test_janitor_removes_what_is_old_enough(self, place, store):
        clock = SystemClock()
        upload = store.upload("going/on")
        upload.write(bytes(place.large))
        while not store.pending_uploads():  # the first part is on its way
            time.sleep(0.02)
        assert remove_abandoned(store, 3600, clock) == []
        assert [found.name for found in remove_abandoned(store, 0, clock, dry_run=True)] == ["going/on"]
        assert [found.name for found in store.pending_uploads()] == ["going/on"]
        later = AtTime(clock.now_us() + 10_000_000)
        assert [found.name for found in remove_abandoned(store, 5, later)] == ["going/on"]
        while store.pending_uploads():  # a part that was on its way may have come after
            remove_abandoned(store, 5, later)
        with pytest.raises(AbsdbError):
            upload.finish()
        upload.abort()
        assert names(store) == []

    def test_time_in_the_future_is_refused(self, store):
        with pytest.raises(InvalidInputError, match="past"):
            remove_abandoned(store, -1, SystemClock())


class AtTime:
    """A clock that stands still."""

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        return self._now_us


class TestRefusals:
    @pytest.mark.parametrize("place", WITH_KEYS, indirect=True)
    def test_wrong_key_is_refused(self, place):
        place.open().put("a", b"1")
        store = place.open(**place.wrong)
        for refused in (
            lambda: store.get("a"),
            lambda: store.put("a", b"2"),
            lambda: store.exists("a"),
            lambda: list(store.list()),
            lambda: store.delete("a"),
        ):
            with pytest.raises(StateError) as caught:
                refused()
            assert "403" in str(caught.value) or "401" in str(caught.value)
            assert "WRONG" not in str(caught.value)
        assert place.open().get("a") == b"1"

    @pytest.mark.parametrize("place", WITH_BUCKETS, indirect=True)
    def test_missing_bucket(self, place):
        store = place.open(url=place.missing)
        for refused in (
            lambda: store.get("a"),
            lambda: store.exists("a"),
            lambda: store.put("a", b"1"),
            lambda: list(store.list()),
            lambda: store.delete("a"),
            lambda: store.pending_uploads(),
        ):
            with pytest.raises(NotFoundError):
                refused()

    def test_unknown_option_is_refused(self, place):
        with pytest.raises(InvalidInputError, match="is no option"):
            place.open(encrypt="true")
