"""An archive is one instance's: others, copies and older states of it are told apart before anything is overwritten."""

from __future__ import annotations

import logging
import shutil
import time
from typing import Any

import pytest

from absdb.backup.archive.start import start_archiver
from absdb.backup.codec.key import Key, new_key_text
from absdb.engine.recovery import open_engine
from absdb.errors import ConflictError, InvalidInputError, StateError
from absdb.instance import connect
from absdb.io.local import LocalFileSystem
from tests.backup.archive.scene import Scene


def wait_for(condition: Any) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to pass")


def objects(scene: Scene) -> dict[str, bytes]:
    root = scene.mount / "archive"
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_trap_18_another_instance_does_not_write_into_the_archive(make, caplog):
    one, two = make(), make()
    one.work(1)
    one.archiver.ship()
    before = objects(one)
    two.engine.close()
    two.target = one.target
    with caplog.at_level(logging.ERROR, "absdb"):
        two.open()
        with pytest.raises(
            StateError, match=f"is the archive of instance {one.engine.control.instance_id.hex()}"
        ):
            two.archiver.ship()
        wait_for(lambda: two.archiver.refused)
    assert "stops until the instance is opened again" in caplog.text
    two.work(1)
    assert two.archiver.status().waiting_bytes > 0
    assert objects(one) == before


@pytest.mark.parametrize("ahead", [False, True])
def test_trap_18_copy_of_the_instance_does_not_write_into_the_archive(make, caplog, ahead):
    scene = make()
    scene.work(1)
    scene.archiver.ship()
    scene.engine.close()
    shutil.copytree(scene.root / "instance", scene.root / "copy")
    scene.open()
    scene.work(2)
    scene.archiver.ship()
    before = objects(scene)
    scene.engine.close()
    shutil.rmtree(scene.root / "instance")
    (scene.root / "copy").rename(scene.root / "instance")
    with caplog.at_level(logging.ERROR, "absdb"):
        scene.open()
        if ahead:
            scene.work(4)
        with pytest.raises(ConflictError, match=r"is there already and holds something else|ends at"):
            scene.archiver.ship()
        wait_for(lambda: scene.archiver.refused)
    assert objects(scene) == before
    assert scene.archiver.status().failure


@pytest.mark.parametrize("segments", [0, 1])
def test_two_that_archive_at_once_are_told_apart(make, segments):
    scene = make()
    scene.archiver.ship()
    scene.engine.close()
    shutil.copytree(scene.root / "instance", scene.root / "copy")
    scene.open()
    scene.archiver.ship()
    other = open_engine(
        LocalFileSystem(str(scene.root / "copy")), arguments=scene.settings, evaluator=scene.sql
    )
    twin = start_archiver(other, ship_at_close=False)
    assert twin is not None
    wait_for(lambda: twin.status().archived_lsn == other.published)
    scene.work(segments)
    scene.upsert("t", [{"id": 1, "v": "one"}])
    scene.archiver.ship()
    mine, scene.engine = scene.engine, other
    scene.upsert("t", [{"id": 1, "v": "other"}])
    scene.engine = mine
    with pytest.raises(ConflictError):
        twin.ship()
    scene.archiver.ship()
    assert scene.rebuilt() == scene.rows("t")
    other.close()


def test_page_file_of_other_contents_is_a_conflict(scene):
    scene.fill(0)
    (name,) = scene.engine.logged_files.since(scene.engine, 0)
    pages = scene.mount / "archive" / "pages"
    pages.mkdir(parents=True)
    (pages / name).write_bytes(b"something else")
    with pytest.raises(ConflictError, match="holds something else"):
        scene.archiver.ship()
    assert (pages / name).read_bytes() == b"something else"


def test_key_that_was_changed_goes_on_with_the_new_one(scene, monkeypatch, caplog):
    one, two = new_key_text(), new_key_text()
    scene.engine.close()
    monkeypatch.setenv("ABSDB_BACKUP_KEY", one)
    scene.open()
    scene.work(2)
    scene.archiver.ship()
    scene.engine.close()
    monkeypatch.setenv("ABSDB_BACKUP_KEY", two)
    with caplog.at_level(logging.WARNING, "absdb"):
        scene.open()
        scene.work(2)
        scene.archiver.ship()
    assert "cannot be compared" in caplog.text
    last = scene.archive().segments()[-1].name
    assert scene.archive(Key(bytes.fromhex(two))).fetch_segment(last)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "wal_archive_target is not"),
        ({"wal_archive_target": "ftp://x/y"}, "no store has the scheme 'ftp'"),
        ({"wal_archive_target": "s3://key:secret@bucket"}, "credentials"),
        ({"wal_archive_target": "shop/archive"}, "lies in the directory of the instance"),
        ({"wal_archive_target": "archive", "backup_key_file": "nowhere"}, "the key file nowhere"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_at_once(tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    connect("shop").close()
    with pytest.raises(InvalidInputError, match=message):
        connect("shop", wal_archive_enabled=True, **settings)
    connect("shop").close()
