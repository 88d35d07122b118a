"""What the reader gives is what was archived, or an error that names the object: never other bytes."""

from __future__ import annotations

import pytest

from absdb.backup.archive.fetch import fetch_to_file
from absdb.backup.codec.key import Key
from absdb.errors import (
    AbsdbError,
    CorruptionError,
    CorruptLogError,
    InvalidInputError,
    NotFoundError,
    StateError,
)
from absdb.object_names import parse_archived_page_file_name
from absdb.paths import wal_segment_name
from tests.backup.archive.scene import SEGMENT

KEY = Key(bytes(range(32)))


def filled(make, monkeypatch, compression, encrypted):
    if encrypted:
        monkeypatch.setenv("ABSDB_BACKUP_KEY", KEY.secret().hex())
    scene = make(wal_archive_compress=compression or "none")
    scene.fill(0, 100)
    scene.work(1)
    scene.archiver.ship()
    return scene, KEY if encrypted else None


def read_all(archive, names):
    """Everything in an archive, by name."""
    found = {}
    for name in names:
        found[name] = (
            archive.fetch_segment(name)
            if "pages/" not in name
            else b"".join(archive.fetch_page_file(name.partition("/")[2].partition(".arrow")[0] + ".arrow"))
        )
    return found


@pytest.mark.parametrize(
    ("compression", "encrypted"), [("zstd", False), ("lz4", False), (None, True), ("zstd", True)]
)
def test_flipped_bits_never_pass_for_log(make, monkeypatch, compression, encrypted):
    scene, key = filled(make, monkeypatch, compression, encrypted)
    archive = scene.archive(key)
    for segment in archive.segments():
        path = scene.mount / "archive" / segment.stored_name
        whole, right = path.read_bytes(), archive.fetch_segment(segment.name)
        for at in range(0, len(whole), max(1, len(whole) // 60)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
            try:
                read = archive.fetch_segment(segment.name)
            except AbsdbError:
                continue
            # Without encryption and checksums of the frames, the records' own checksums are what tells.
            assert not encrypted
            assert len(read) == len(right)
        path.write_bytes(whole)
        for length in (0, 1, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(AbsdbError):
                archive.fetch_segment(segment.name)
        path.write_bytes(whole)


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("encrypted", [False, True])
def test_segment_under_another_name_is_refused(make, monkeypatch, compression, encrypted):
    scene, key = filled(make, monkeypatch, compression, encrypted)
    archive = scene.archive(key)
    one, two = archive.segments()[:2]
    (scene.mount / "archive" / one.stored_name).write_bytes(archive.store.get(two.stored_name))
    with pytest.raises(CorruptionError):
        archive.fetch_segment(one.name)


def test_segment_of_another_instance_is_refused(make):
    one, two = make(wal_archive_compress="none"), make(wal_archive_compress="none")
    for scene in (one, two):
        scene.work(1)
        scene.archiver.ship()
    name = wal_segment_name(1, 0)
    (one.mount / "archive" / name).write_bytes((two.mount / "archive" / name).read_bytes())
    with pytest.raises(CorruptLogError, match=r"instance .* expected"):
        one.archive().fetch_segment(name)


def test_names(scene):
    scene.work(1)
    scene.archiver.ship()
    archive = scene.archive()
    closed, partial = archive.segments()
    whole = archive.fetch_segment(closed.name)
    assert len(whole) == SEGMENT
    assert whole == archive.fetch_segment(closed.stored_name)
    cut = archive.fetch_segment(wal_segment_name(1, 1))
    assert cut == archive.fetch_segment(partial.name) == archive.fetch_segment(partial.stored_name)
    assert len(cut) == scene.engine.published - SEGMENT
    with pytest.raises(NotFoundError, match="no segment 000000010000000000000009"):
        archive.fetch_segment(wal_segment_name(1, 9))
    with pytest.raises(InvalidInputError, match="is not the name of a segment"):
        archive.fetch_segment("segment")
    with pytest.raises(NotFoundError, match="no page file"):
        list(archive.fetch_page_file("000000000000000A-k3.arrow"))
    with pytest.raises(InvalidInputError, match="is not the name of a page file"):
        list(archive.fetch_page_file("../control"))
    with pytest.raises(NotFoundError, match="no log of timeline 2"):
        archive.end(2)


def test_page_files_come_whole_and_of_the_size_that_was_asked_for(scene):
    scene.fill(0, 3000)
    scene.archiver.ship()
    archive = scene.archive()
    (stored,) = [info.name for info in archive.store.list("pages/")]
    name = parse_archived_page_file_name(stored.removesuffix(".zst"))
    size = scene.fs.size(f"pages/{name}")
    whole = b"".join(archive.fetch_page_file(name, size=size))
    assert whole == (scene.root / "instance" / "pages" / name).read_bytes()
    for wrong in (size - 1, size + 1):
        with pytest.raises(CorruptionError):
            list(archive.fetch_page_file(name, size=wrong))


def test_encrypted_archive_needs_its_key(make, monkeypatch):
    scene, _ = filled(make, monkeypatch, "zstd", True)
    name = wal_segment_name(1, 0)
    for key in (None, Key(bytes(32))):
        with pytest.raises(StateError, match="is encrypted with key"):
            scene.archive(key).fetch_segment(name)
    assert [s.encrypted for s in scene.archive().segments()] == [True, True], "a listing needs no key"


def test_fetched_file_is_there_whole_or_not_at_all(scene, tmp_path):
    scene.work(1)
    scene.archiver.ship()
    target = tmp_path / "segment"
    assert fetch_to_file(scene.archive(), wal_segment_name(1, 0), str(target)) == SEGMENT
    assert target.read_bytes() == scene.archive().fetch_segment(wal_segment_name(1, 0))
    with pytest.raises(NotFoundError):
        fetch_to_file(scene.archive(), wal_segment_name(1, 9), str(tmp_path / "other"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scene0", "segment"]


def test_there_is_no_archive(tmp_path, scene):
    scene.target = str(tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match="there is no archive of a log in"):
        scene.archive()
