"""The disks of a power loss: what must be there, what may be missing, and what cannot be.

Each rule of the model has a small workload whose possible disks are listed in full. The known mistakes of
writers (no sync, no sync of the directory, unlink before rename) must show up as disks that lost something.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.io.base import File, read_file, write_atomic
from absdb.io.memory import MemoryFileSystem
from absdb.testing.crash_states import CrashState, crash_now, crash_states
from absdb.testing.recording import RecordingFileSystem

ROOT = Path(__file__).resolve().parents[2]


def durable(**files: bytes) -> RecordingFileSystem:
    """A recorded disk on which these files are durable."""
    start = MemoryFileSystem()
    start.make_directory("d")
    for path, data in files.items():
        file = start.create(path)
        file.pwrite(0, [data])
    return RecordingFileSystem(start)


def now(fs: RecordingFileSystem) -> list[CrashState]:
    """All disks that a power loss at this moment may leave."""
    return list(crash_states(fs.log, limit=None, first=len(fs.log)))


def contents(fs: RecordingFileSystem, path: str = "a") -> set[bytes | None]:
    """What may be found in a file after a power loss at this moment; None: no such file."""
    return {read_file(state, path) if state.exists(path) else None for state in now(fs)}


def names(fs: RecordingFileSystem, directory: str = "") -> set[tuple[str, ...]]:
    """The listings of a directory that may be found."""
    return {tuple(name for name in state.list(directory) if name != "d") for state in now(fs)}


class TestContents:
    def test_a_write_may_be_lost_until_its_sync(self):
        fs = durable(a=b"old")
        file = fs.open("a", write=True)
        file.pwrite(0, [b"new"])
        assert contents(fs) == {b"old", b"new"}
        file.sync()
        assert contents(fs) == {b"new"}

    def test_sectors_do_not_wait_for_each_other(self):
        fs = durable(a=b"-" * 1536)
        fs.open("a", write=True).pwrite(256, [b"x" * 1024])
        old, new = b"-" * 1536, b"-" * 256 + b"x" * 1024 + b"-" * 256
        parts = [(0, 512), (512, 1024), (1024, 1536)]
        mixed = {
            b"".join(
                (new if which >> index & 1 else old)[start:stop] for index, (start, stop) in enumerate(parts)
            )
            for which in range(8)
        }
        assert contents(fs) == mixed

    def test_a_write_within_a_sector_is_whole(self):
        fs = durable(a=bytes(512))
        file = fs.open("a", write=True)
        file.pwrite(10, [b"x" * 100])
        assert len(contents(fs)) == 2

    def test_of_two_writes_either_may_be_missing(self):
        fs = durable(a=bytes(1024))
        file = fs.open("a", write=True)
        file.pwrite(0, [b"one"])
        file.pwrite(512, [b"two"])
        found = {(data[:3], data[512:515]) for data in contents(fs)}
        assert found == {(bytes(3), bytes(3)), (b"one", bytes(3)), (bytes(3), b"two"), (b"one", b"two")}

    def test_in_one_sector_a_later_write_brings_the_earlier(self):
        fs = durable(a=bytes(512))
        file = fs.open("a", write=True)
        file.pwrite(0, [b"one"])
        file.pwrite(3, [b"two"])
        found = {data[:6] for data in contents(fs)}
        assert found == {bytes(6), b"one\0\0\0", b"onetwo"}

    def test_a_file_may_grow_and_hold_zeros(self):
        fs = durable(a=b"")
        fs.open("a", write=True).pwrite(0, [b"new"])
        assert contents(fs) == {b"", bytes(3), b"new"}

    def test_a_hole_before_what_was_kept_is_zeros(self):
        fs = durable(a=b"")
        file = fs.open("a", write=True)
        file.pwrite(0, [b"1" * 512])
        file.pwrite(512, [b"2" * 512])
        assert bytes(512) + b"2" * 512 in contents(fs)
        assert b"2" * 512 not in contents(fs)

    def test_a_truncation_may_be_undone_until_its_sync(self):
        fs = durable(a=b"x" * 1000)
        file = fs.open("a", write=True)
        file.truncate(3)
        assert contents(fs) == {b"x" * 1000, b"xxx"}
        file.sync()
        assert contents(fs) == {b"xxx"}

    def test_what_was_cut_off_does_not_come_back(self):
        fs = durable(a=b"x" * 2048)
        file = fs.open("a", write=True)
        file.truncate(512)
        file.pwrite(1024, [b"new"])
        found = contents(fs)
        assert found == {
            b"x" * 2048,
            b"x" * 512,
            b"x" * 512 + bytes(515),
            b"x" * 512 + bytes(512) + b"new",
        }

    def test_data_only_keeps_what_lies_in_the_durable_size(self):
        fs = durable(a=bytes(4096))
        file = fs.open("a", write=True)
        file.pwrite(100, [b"in place"])
        file.sync(data_only=True)
        assert {data[100:108] for data in contents(fs)} == {b"in place"}

    def test_data_only_does_not_keep_a_new_size(self):
        fs = durable(a=b"x" * 10)
        file = fs.open("a", write=True)
        file.pwrite(8, [b"grown"])
        file.sync(data_only=True)
        assert contents(fs) == {b"x" * 8 + b"gr", b"x" * 8 + b"grown"}
        file.sync()
        assert contents(fs) == {b"x" * 8 + b"grown"}

    def test_data_only_does_not_keep_a_truncation(self):
        fs = durable(a=b"x" * 1000)
        file = fs.open("a", write=True)
        file.truncate(600)
        file.pwrite(0, [b"kept"])
        file.sync(data_only=True)
        assert contents(fs) == {b"kept" + b"x" * 996, b"kept" + b"x" * 596}

    def test_a_shared_mapping_is_never_synced(self):
        fs = durable(a=b"")
        view = fs.map_shared("watermark", 16, write=True)
        fs.sync_directory("")
        view[0] = 1
        fs.mark("one")
        view[0] = 2
        fs.mark("two")
        found = contents(fs, "watermark")
        assert {bytes(16), b"\2" + bytes(15)} <= found
        assert all(data is not None and len(data) in (0, 16) for data in found)

    def test_another_files_sync_does_not_help(self):
        fs = durable(a=b"old", b=b"old")
        fs.open("a", write=True).pwrite(0, [b"new"])
        other = fs.open("b", write=True)
        other.pwrite(0, [b"new"])
        other.sync()
        assert contents(fs, "a") == {b"old", b"new"}
        assert contents(fs, "b") == {b"new"}

    def test_a_sync_by_another_handle_does(self):
        fs = durable(a=b"old")
        fs.open("a", write=True).pwrite(0, [b"new"])
        fs.open("a").sync()
        assert contents(fs) == {b"new"}

    def test_what_a_full_disk_took_counts(self):
        fs = RecordingFileSystem(durable(a=b""), capacity=2)
        with pytest.raises(OSError, match="No space"):
            fs.open("a", write=True).pwrite(0, [b"abc"])
        assert b"ab" in contents(fs)
        assert b"abc" not in contents(fs)


class TestNames:
    def test_a_new_name_may_be_lost_until_its_directory_is_synced(self):
        fs = durable()
        file = fs.create("a")
        file.pwrite(0, [b"x"])
        file.sync()
        assert contents(fs) == {None, b"x"}
        fs.sync_directory("d")
        assert contents(fs) == {None, b"x"}
        fs.sync_directory("")
        assert contents(fs) == {b"x"}

    def test_a_durable_name_says_nothing_of_the_contents(self):
        fs = durable()
        file = fs.create("a")
        file.pwrite(0, [b"x"])
        fs.sync_directory("")
        assert contents(fs) == {b"", b"\0", b"x"}

    def test_a_rename_is_one_step(self):
        fs = durable(a=b"old", b=b"new")
        fs.rename("b", "a")
        assert {(tuple(s.list("")), read_file(s, "a")) for s in now(fs)} == {
            (("a", "b", "d"), b"old"),
            (("a", "d"), b"new"),
        }
        fs.sync_directory("")
        assert names(fs) == {("a",)}

    def test_names_do_not_wait_for_each_other(self):
        """An unlink may overtake a rename."""
        fs = durable(new=b"x", old=b"y")
        fs.rename("new", "current")
        fs.unlink("old")
        assert names(fs) == {("new", "old"), ("current", "old"), ("new",), ("current",)}

    def test_an_unlinked_file_may_come_back(self):
        fs = durable(a=b"x")
        fs.unlink("a")
        assert contents(fs) == {b"x", None}
        fs.sync_directory("")
        assert contents(fs) == {None}

    def test_a_name_used_again(self):
        fs = durable(a=b"old")
        fs.unlink("a")
        file = fs.create("a")
        file.pwrite(0, [b"new"])
        file.sync()
        assert contents(fs) == {b"old", None, b"new"}

    def test_a_rename_between_directories(self):
        fs = durable(a=b"x")
        fs.rename("a", "d/a")
        both = {(s.exists("a"), s.exists("d/a")) for s in now(fs)}
        assert both == {(True, False), (False, True)}
        fs.sync_directory("d")
        both = {(s.exists("a"), s.exists("d/a")) for s in now(fs)}
        assert both == {(True, True), (False, True)}
        fs.sync_directory("")
        both = {(s.exists("a"), s.exists("d/a")) for s in now(fs)}
        assert both == {(False, True)}

    def test_a_rename_out_of_a_synced_directory_loses_nothing(self):
        fs = durable(a=b"x")
        fs.create("d/a")
        fs.rename("a", "d/a")
        fs.sync_directory("")
        assert {(s.exists("a"), read_file(s, "d/a")) for s in now(fs)} == {(False, b"x")}

    def test_a_renamed_file_is_still_written_through_its_handle(self):
        fs = durable(a=b"old")
        file = fs.open("a", write=True)
        fs.rename("a", "b")
        fs.sync_directory("")
        file.pwrite(0, [b"new"])
        assert contents(fs, "b") == {b"old", b"new"}
        file.sync()
        assert contents(fs, "b") == {b"new"}

    def test_a_made_directory_stays(self):
        fs = durable()
        fs.make_directory("x/y")
        assert all(state.exists("x/y") for state in now(fs))
        before = list(crash_states(fs.log, limit=None))
        assert not before[0].exists("x")


class TestWriters:
    """Right ways to replace a file, and the well-known wrong ones."""

    @staticmethod
    def outcomes(write: Callable[[RecordingFileSystem], None]) -> set[tuple[bool, bytes | None]]:
        """(told that it is done, what is found) over all disks."""
        fs = durable(control=b"old")
        write(fs)
        fs.mark("done")
        return {
            (bool(state.marks), read_file(state, "control") if state.exists("control") else None)
            for state in crash_states(fs.log, limit=None)
        }

    def test_the_right_way(self):
        found = self.outcomes(lambda fs: write_atomic(fs, "control", b"new"))
        assert found == {(False, b"old"), (False, b"new"), (True, b"new")}

    @staticmethod
    def step_by_step(
        fs: RecordingFileSystem, *, sync: bool = True, directory: bool = True, remove: bool = False
    ) -> None:
        file: File = fs.create("control.tmp")
        file.pwrite(0, [b"new"])
        if sync:
            file.sync()
        if remove:
            fs.unlink("control")
        fs.rename("control.tmp", "control")
        if directory:
            fs.sync_directory("")

    def test_without_a_sync_of_the_file(self):
        found = self.outcomes(lambda fs: self.step_by_step(fs, sync=False))
        assert (True, b"") in found
        assert (True, bytes(3)) in found

    def test_without_a_sync_of_the_directory(self):
        found = self.outcomes(lambda fs: self.step_by_step(fs, directory=False))
        assert (True, b"old") in found

    def test_removing_the_old_one_first(self):
        found = self.outcomes(lambda fs: self.step_by_step(fs, remove=True))
        assert (False, None) in found

    def test_a_log_whose_batches_are_torn(self):
        """Of a batch of records the later sectors may be there and the earlier ones not."""
        fs = durable(log=bytes(8192))
        file = fs.open("log", write=True)
        file.pwrite(0, [bytes([number]) * 1024 for number in range(1, 5)])
        found = contents(fs, "log")
        assert any(data[:1024] == bytes(1024) and data[3072:4096] == b"\4" * 1024 for data in found)


def busy() -> RecordingFileSystem:
    """A workload with a log, page files and an atomically replaced file; acknowledged commits are marked."""
    fs = RecordingFileSystem()
    fs.make_directory("wal")
    fs.make_directory("pages")
    log = fs.create("wal/1")
    log.pwrite(0, [bytes(32768)])
    log.sync()
    fs.sync_directory("wal")
    for number in range(20):
        if number % 5 == 0:
            page = fs.create(f"pages/{number}")
            page.pwrite(0, [bytes([number + 1]) * 9000])
            page.sync()
            fs.sync_directory("pages")
        log.pwrite(number * 700, [bytes([number + 1]) * 700])
        log.sync(data_only=True)
        fs.mark(number)
        if number % 7 == 6:
            write_atomic(fs, "control", b"%d" % number)
            fs.mark(("checkpoint", number))
    log.pwrite(20 * 700, [b"?" * 3000])
    return fs


class TestEnumeration:
    def test_what_was_acknowledged_is_there(self):
        fs = busy()
        states = list(crash_states(fs.log, limit=2000))
        assert len(states) > 100
        for state in states:
            for mark in state.marks:
                if isinstance(mark, tuple):
                    assert int(read_file(state, "control")) >= mark[1], state.story
                    continue
                data = read_file(state, "wal/1")
                assert data[mark * 700 : mark * 700 + 700] == bytes([mark + 1]) * 700, state.story
                if mark % 5 == 0:
                    assert read_file(state, f"pages/{mark}") == bytes([mark + 1]) * 9000, state.story
        assert {len(state.marks) for state in states} == set(range(23))

    def test_the_limit_holds_and_points_are_spread(self):
        log = busy().log
        for limit in (0, 1, 5, 50, 300):
            states = list(crash_states(log, limit=limit))
            assert limit * 0.95 <= len(states) <= limit
        assert len({state.after for state in crash_states(log, limit=50)}) > 20

    def test_no_disk_comes_twice(self):
        seen = set()
        for state in crash_states(busy().log, limit=500):
            disk = (
                state.marks,
                frozenset(state.directories),
                tuple((path, bytes(node.data)) for path, node in sorted(state.nodes.items())),
            )
            assert disk not in seen
            seen.add(disk)

    def test_the_seed_decides(self):
        log = busy().log
        one, again, other = ([s.story for s in crash_states(log, limit=200, seed=seed)] for seed in (1, 1, 2))
        assert one == again
        assert one != other

    def test_the_process_does_not(self):
        """The hash seed of a process has no say."""
        code = (
            f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
            "from test_crash_states import busy, crash_states\n"
            "stories = [state.story for state in crash_states(busy().log, limit=100)]\n"
            "import zlib; print(zlib.crc32(''.join(stories).encode()))"
        )
        told = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("1", "2")
        }
        assert len(told) == 1

    def test_a_large_sample_has_nearly_all(self):
        fs = durable(a=bytes(2048), b=b"old")
        file = fs.open("a", write=True)
        file.pwrite(100, [b"x" * 300])
        file.pwrite(500, [b"y" * 100])
        fs.rename("b", "c")

        def disks(limit: int | None) -> set[object]:
            return {
                tuple((path, bytes(node.data)) for path, node in sorted(state.nodes.items()))
                for state in crash_states(fs.log, limit=limit)
            }

        everything = disks(None)
        assert len(disks(1000) & everything) > len(everything) * 0.8
        assert len(disks(7)) == 7

    def test_too_many_in_doubt_to_try_all(self):
        fs = durable(a=bytes(20000))
        file = fs.open("a", write=True)
        for number in range(17):
            file.pwrite(number * 1000, [b"x"])
        with pytest.raises(ValueError, match="17 operations are in doubt"):
            next(crash_states(fs.log, limit=None))
        assert len(list(crash_states(fs.log, limit=100))) == 100

    def test_an_empty_log(self):
        fs = durable(a=b"x")
        for limit in (None, 10):
            (state,) = crash_states(fs.log, limit=limit)
            assert read_file(state, "a") == b"x"
            assert state.marks == ()

    def test_each_disk_is_free_to_be_written(self):
        fs = busy()
        first, second = list(crash_states(fs.log, limit=2, first=len(fs.log)))
        lock = first.lock("lock", {})
        first.open("wal/1", write=True).pwrite(0, [b"changed"])
        assert read_file(second, "wal/1")[:7] != b"changed"
        assert second.lock_owner("lock") is None
        lock.release()

    def test_the_story_tells_what_became_of_each_operation(self):
        fs = durable(a=bytes(4096))
        file = fs.open("a", write=True)
        file.pwrite(0, [b"x" * 2000])
        fs.unlink("a")
        stories = [state.story for state in now(fs)]
        assert any("lost      1 write a [0, 2000)" in story for story in stories)
        assert any("kept      2 unlink a" in story for story in stories)
        assert any("torn      1 write a [0, 2000): only sectors [0]" in story for story in stories)
        assert str(fs.log) == "    1 write a [0, 2000)\n    2 unlink a"

    def test_one_disk_by_chance(self):
        fs = busy()
        disks = {crash_now(fs.log, seed=seed).story for seed in range(30)}
        assert len(disks) > 5
        state = crash_now(fs.log, seed=3)
        assert state.story == crash_now(fs.log, seed=3).story
        assert state.marks == fs.log.marks()
        assert state.after == len(fs.log)


def test_a_crash_during_recovery():
    """A recorded disk may start from a crashed one; what was found there is durable."""
    fs = busy()
    for state in crash_states(fs.log, limit=20, first=len(fs.log)):
        again = RecordingFileSystem(state)
        write_atomic(again, "control", b"recovered")
        for found in crash_states(again.log, limit=20):
            assert read_file(found, "wal/1") == read_file(state, "wal/1")
            assert read_file(found, "control") in (read_file(state, "control"), b"recovered")


@given(st.data())
def test_any_workload_keeps_what_it_synced(data):
    """Random operations on two files: what is there now is possible, and certain after a sync."""
    fs = durable(a=b"", b=b"")
    files = {path: fs.open(path, write=True) for path in ("a", "b")}
    for _ in range(data.draw(st.integers(1, 10))):
        file = files[data.draw(st.sampled_from("ab"))]
        match data.draw(st.sampled_from(["write", "write", "truncate", "sync", "data"])):
            case "write":
                file.pwrite(
                    data.draw(st.integers(0, 3000)), [data.draw(st.binary(min_size=1, max_size=1500))]
                )
            case "truncate":
                file.truncate(data.draw(st.integers(0, 3000)))
            case "sync":
                file.sync()
            case "data":
                file.sync(data_only=True)
    now_there = {path: read_file(fs, path) for path in files}
    states = list(crash_states(fs.log, limit=60, first=len(fs.log), seed=data.draw(st.integers(0, 100))))
    assert any({path: read_file(state, path) for path in files} == now_there for state in states)
    files["a"].sync()
    for state in crash_states(fs.log, limit=40, first=len(fs.log)):
        assert read_file(state, "a") == now_there["a"]
        size = len(read_file(state, "b"))
        assert size <= max(3000, len(now_there["b"])) + 1500
