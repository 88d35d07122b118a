"""Where the log ends: what was synced must be there, what a writer has not synced is not shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from absdb.engine.engine import Engine
from absdb.engine.recovery import open_engine, refresh
from absdb.engine.watermark import read_watermark
from absdb.errors import CorruptLogError
from absdb.ids import Lsn
from absdb.io.local import LocalFileSystem
from absdb.paths import LOCK, WATERMARK
from absdb.testing.wrapping import WrappedFileSystem
from absdb.wal.format import RecordKind
from tests.versioning.conftest import World

T = TypeVar("T")
SEGMENT = 64 * 1024


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(LocalFileSystem(str(tmp_path / "shop")))  # type: ignore[arg-type]  # any file system will do
    made.create()
    yield made
    made.engine.abandon()


def fill(world: World, segments: int = 2) -> None:
    """Commits until some segments are full and the next one has a little in it."""
    number = 0
    while world.engine.published < segments * SEGMENT + 2000:
        world.put({number: (1, "x" * 1000)})
        number += 1


def newest(path: Path) -> Path:
    """The newest segment with records in it."""
    return max(each for each in (path / "shop" / "wal").iterdir() if any(each.read_bytes()[64:]))


def lose(path: Path) -> None:
    path.unlink()


def lose_all_after(path: Path) -> None:
    for each in path.parent.iterdir():
        if each >= path:
            each.unlink()


def cut_to_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:64])


def zero_records(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:64].ljust(SEGMENT, b"\0"))


def damage_last_record(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data.rstrip(b"\0")) - 1] ^= 1
    path.write_bytes(data)


def fills_no_more(path: Path) -> None:
    """All but the first 64 bytes, and the size: what a file system check may leave."""
    path.write_bytes(bytes(SEGMENT))


LOSSES = [lose, lose_all_after, cut_to_header, zero_records, damage_last_record, fills_no_more]


@pytest.mark.parametrize("damage", LOSSES)
def test_a_log_that_ends_before_what_was_synced_is_refused(
    world: World, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    fill(world)
    world.engine.abandon()
    known, path = world.engine.published, newest(tmp_path)
    damage(path)
    for read_only in (False, True, False):
        with pytest.raises(CorruptLogError) as caught:
            open_engine(world.fs, read_only=read_only)
        assert path.name in str(caught.value)
        assert str(Lsn(known)) in str(caught.value)
        assert caught.value.hint
        assert WATERMARK in caught.value.hint
    (tmp_path / "shop" / WATERMARK).unlink()
    assert str(Lsn(open_until(world))) in caught.value.hint


def open_until(world: World) -> int:
    """Open for writing; how far that got."""
    world.engine = open_engine(world.fs)
    return world.engine.published


def test_an_error_of_the_log_itself_does_not_speak_of_the_watermark(world: World, tmp_path: Path) -> None:
    fill(world)
    world.engine.abandon()
    first = min((tmp_path / "shop" / "wal").iterdir())
    zero_records(first)
    with pytest.raises(CorruptLogError, match=first.name) as caught:
        open_engine(world.fs)
    assert WATERMARK not in str(caught.value.hint)


def test_without_a_sync_nothing_is_claimed(tmp_path: Path) -> None:
    world = World(LocalFileSystem(str(tmp_path / "shop")), wal_sync_mode="nosync")  # type: ignore[arg-type]  # any file system will do
    world.create()
    fill(world)
    mark = read_watermark(world.fs)
    assert mark is not None
    assert mark.durable < mark.published == world.engine.published
    world.engine.abandon()
    lose_all_after(newest(tmp_path))
    assert open_until(world) < mark.published
    world.engine.close()


def older(world: World, path: Path) -> bytes:
    before = (path / "shop" / WATERMARK).read_bytes()
    world.put({10**6: (1, "later")})
    return before


def half_written(world: World, path: Path) -> bytes:
    now, then = (path / "shop" / WATERMARK).read_bytes(), older(world, path)
    return now[:44] + then[44:48] + b"\xff" * 8 + now[56:]


def of_another_instance(world: World, path: Path) -> bytes:
    other = World(LocalFileSystem(str(path / "other")))  # type: ignore[arg-type]  # any file system will do
    other.create()
    fill(other, 5)
    other.engine.abandon()
    return (path / "other" / WATERMARK).read_bytes()


def absent(world: World, path: Path) -> bytes:
    return b""


def zeros(world: World, path: Path) -> bytes:
    return bytes(4096)


@pytest.mark.parametrize("left", [older, half_written, of_another_instance, absent, zeros])
def test_what_a_power_loss_leaves_of_the_watermark_is_no_damage(
    world: World, tmp_path: Path, left: Callable[[World, Path], bytes]
) -> None:
    fill(world)
    data = left(world, tmp_path)
    known = world.engine.published
    world.engine.abandon()
    (tmp_path / "shop" / WATERMARK).write_bytes(data)
    reader = open_engine(world.fs, read_only=True)
    assert reader.published == known
    reader.close()
    assert open_until(world) == known


def test_a_copy_taken_while_it_was_written_opens_without_the_watermark(world: World, tmp_path: Path) -> None:
    fill(world)
    shutil.copytree(tmp_path / "shop", tmp_path / "copy")
    copied = world.engine.published
    world.put({10**6: (1, "later")})
    shutil.copy(tmp_path / "shop" / WATERMARK, tmp_path / "copy" / WATERMARK)
    fs = LocalFileSystem(str(tmp_path / "copy"))
    with pytest.raises(CorruptLogError, match="copied while"):
        open_engine(fs)
    (tmp_path / "copy" / WATERMARK).unlink()
    engine = open_engine(fs)
    assert engine.published == copied
    engine.close()


@pytest.mark.parametrize("left", [older, absent, zeros])
def test_a_reader_beside_a_writer_that_recovers_sees_all_that_is_there(
    world: World, tmp_path: Path, left: Callable[[World, Path], bytes]
) -> None:
    fill(world)
    data = left(world, tmp_path)
    known = world.engine.published
    world.engine.abandon()
    (tmp_path / "shop" / WATERMARK).write_bytes(data)
    lock = world.fs.lock(
        LOCK, {"since": "2026-04-04 14:05:00Z"}
    )  # as a writer does first, long before it appends
    reader = open_engine(world.fs, read_only=True)
    lock.release()
    assert reader.published == known
    reader.close()


class Before(WrappedFileSystem):
    """Another file system; `hook` runs once, before a log segment is opened."""

    hook: Callable[[], object] | None = None

    def around(self, op: str, path: str, call: Callable[[], T]) -> T:
        hook = self.hook
        if hook is not None and op == "open" and path.startswith("wal/"):
            self.hook = None
            hook()
        return call()


def test_a_reader_does_not_see_what_a_writer_appends_while_it_looks_for_the_end(
    world: World, tmp_path: Path
) -> None:
    fill(world)
    world.engine.abandon()
    written: list[Engine] = []

    def write() -> None:
        engine = open_engine(world.fs, arguments={"wal_sync_mode": "nosync"})
        written.append(engine)
        with engine.exclusive():
            engine.append(RecordKind.NOTE, 0, {})
            engine.flush()

    fs = Before(world.fs)
    fs.hook = write
    reader = open_engine(fs, read_only=True)
    (engine,) = written
    assert reader.published == engine.published < engine.wal.written_lsn
    assert refresh(reader) == engine.published
    reader.close()
    engine.abandon()
