"""Whichever call of the store fails, before or after it was done: nothing is missing, doubled or out of order."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from absdb.errors import StorageError
from absdb.paths import parse_wal_segment_name
from tests.backup.archive.faulty_store import FaultyStore
from tests.backup.archive.scene import Scene

FAR = 10_000


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """The test sends, and nobody else."""
    monkeypatch.setattr("absdb.backup.archive.archiver.TICK_S", 3600.0)


def played(path: Any, *, fail_at: int, afterwards: bool, restart: bool = False) -> FaultyStore:
    """A scene in which one call fails; the archive alone then gives what the instance has."""
    faulty: list[FaultyStore] = []

    def wrap(store: Any) -> Any:
        faulty.append(FaultyStore(store))
        faulty[-1].afterwards = afterwards
        faulty[-1].fail_at = fail_at if len(faulty) == 1 else None
        return faulty[-1]

    scene = Scene(path, wal_archive_interval=86_400)
    scene.engine.close()
    scene.wrap = wrap
    scene.open()
    scene.create("t", {"id": pa.int64(), "v": pa.string()})
    failed = 0
    for step in range(3):
        scene.fill(1000 * step)
        scene.work(1)
        scene.fill(500 + 1000 * step)
        try:
            scene.archiver.ship()
        except StorageError:
            failed += 1
            assert_in_order(faulty[0])
            if restart:
                scene.crash()
            scene.work(1)
    scene.archiver.ship()
    assert failed == (fail_at < len(faulty[0].calls) and fail_at < FAR)
    assert scene.rebuilt() == scene.rows("t")
    contents = scene.archive().contents()
    assert contents.outdated == []
    assert contents.gaps == []
    scene.close()
    return faulty[0]


def assert_in_order(store: FaultyStore) -> None:
    """Closed segments that are there follow one another."""
    names = [parse_wal_segment_name(info.name.removesuffix(".zst")) for info in store._store.list()]
    found = [name.segment for name in names if name is not None]
    assert found == list(range(found[0], found[0] + len(found))) if found else True


def test_no_call_fails(tmp_path):
    calls = played(tmp_path, fail_at=FAR, afterwards=False).calls
    assert {call.split()[0] for call in calls} >= {"put", "list", "delete"}


@pytest.mark.parametrize("afterwards", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_any_call_fails_once(tmp_path, afterwards, restart):
    whole = len(played(tmp_path / "whole", fail_at=FAR, afterwards=False).calls)
    for number in range(0, whole, 3 if restart else 2):
        played(tmp_path / str(number), fail_at=number, afterwards=afterwards, restart=restart)
