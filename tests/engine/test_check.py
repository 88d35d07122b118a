"""`check` finds each kind of damage, names where it is, and says nothing about a sound instance."""

from __future__ import annotations

from pathlib import Path

import pytest

from absdb.engine.check import Finding, check
from absdb.engine.checkpoint import checkpoint
from absdb.engine.recovery import open_engine
from absdb.io.local import LocalFileSystem
from tests.versioning.conftest import World


def filled(path: Path) -> World:
    world = World(LocalFileSystem(str(path)))  # type: ignore[arg-type]  # any file system will do
    world.create()
    world.put({i: (i, "x" * 20) for i in range(1000)})
    checkpoint(world.engine)
    world.put({5: (6, "y")})
    return world


def errors(world: World) -> list[Finding]:
    return [finding for finding in check(world.engine) if finding.severity == "error"]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def test_a_sound_instance_has_no_findings(tmp_path: Path) -> None:
    world = filled(tmp_path)
    seen: list[tuple[int, int]] = []
    assert list(check(world.engine, progress=lambda done, total: seen.append((done, total)))) == []
    assert seen
    assert seen[-1][0] == seen[-1][1]
    world.engine.close()


def test_a_flipped_bit_in_a_page_file_is_found(tmp_path: Path) -> None:
    world = filled(tmp_path)
    file = next(iter((tmp_path / "pages").glob("*.arrow")))
    flip(file, file.stat().st_size // 2)
    found = errors(world)
    assert any(file.name in finding.where for finding in found)
    world.engine.abandon()


def test_a_missing_page_file_is_found(tmp_path: Path) -> None:
    world = filled(tmp_path)
    file = next(iter((tmp_path / "pages").glob("*.arrow")))
    file.unlink()
    assert any(file.name in finding.where and "missing" in finding.problem for finding in errors(world))
    world.engine.abandon()


def test_a_damaged_manifest_is_found(tmp_path: Path) -> None:
    world = filled(tmp_path)
    file = next(iter((tmp_path / "manifests").iterdir()))
    flip(file, 60)
    assert any(file.name in finding.problem for finding in errors(world))
    world.engine.abandon()


def test_a_flipped_bit_in_the_log_is_found(tmp_path: Path) -> None:
    world = filled(tmp_path)
    log = sorted((tmp_path / "wal").iterdir())[0]
    flip(log, world.engine.published - 40)
    assert any(finding.where == "wal" for finding in errors(world))
    world.engine.abandon()


def test_a_file_nobody_needs_is_a_remark(tmp_path: Path) -> None:
    world = filled(tmp_path)
    stray = tmp_path / "pages" / "00000000000000FF-abcd.arrow"
    stray.write_bytes(b"x")
    found = list(check(world.engine))
    assert [(f.severity, stray.name in f.where) for f in found] == [("remark", True)]
    checkpoint(world.engine)
    assert not stray.exists()
    world.engine.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_check_changes_nothing(tmp_path: Path, read_only: bool) -> None:
    world = filled(tmp_path)
    world.engine.close()
    before = {
        p: p.read_bytes()
        for p in tmp_path.rglob("*")
        if p.is_file() and p.parent.name in ("pages", "manifests")
    }
    engine = open_engine(LocalFileSystem(str(tmp_path)), read_only=read_only)
    assert list(check(engine)) == []
    engine.abandon()
    assert {p: p.read_bytes() for p in before} == before
