"""The manifest of a backup: its format, and that nothing in it is believed before it was checked.

tests/golden/backup/v1/manifest.json was written once by `to_bytes(GOLDEN, None)` and is never rewritten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from absdb.backup.codec.key import Key
from absdb.backup.manifest import Backup, BackupManifest, Origin, StoredFile, from_bytes, header_of, to_bytes
from absdb.errors import CorruptionError, FormatVersionError, StateError

GOLDEN_FILE = Path(__file__).resolve().parents[1] / "golden" / "backup" / "v1" / "manifest.json"
KEY = Key(bytes(range(32)))
ID, BASE = "00" * 16, "11" * 16
BACKUP = Backup(
    label="nightly",
    kind="incremental",
    id=ID,
    instance_id="000102030405060708090a0b0c0d0e0f",
    timeline=2,
    segment_bytes=16777216,
    checkpoint_lsn=1000,
    start_lsn=1000,
    end_lsn=2000,
    end_us=1_767_225_600_000_000,
    started_us=1_767_225_600_000_001,
    finished_us=1_767_225_600_000_002,
    base_label="full",
    base_url="s3://bucket/other",
    files=2,
    raw_bytes=300,
    stored_files=1,
    stored_bytes=100,
    compression="zstd",
    key_id="",
    version="0.1.0",
    wal_archive_target="s3://bucket/wal",
    begin_sha256="ab" * 32,
    needs=(("full", "s3://bucket/other"),),
    databases=("main", "Prüfung"),
    comment="before the sale",
)
FILES = (
    StoredFile("control", "control", 100, 1, 100, "cd" * 32, (100,), 0, "files/control"),
    StoredFile("pages/0000000000000001-a.arrow", "page", 200, 2, 150, "ef" * 32, (150,), 1, "pages.1/x"),
)
GOLDEN = BackupManifest(
    BACKUP,
    (
        Origin("nightly", "", ID, "zstd", False),
        Origin("full", "s3://bucket/other", BASE, None, False),
    ),
    FILES,
)


def encrypted() -> BackupManifest:
    backup = dataclasses.replace(BACKUP, key_id=KEY.id)
    own = dataclasses.replace(GOLDEN.origins[0], encrypted=True)
    file = dataclasses.replace(FILES[0], stored_bytes=134)
    return BackupManifest(backup, (own, GOLDEN.origins[1]), (file, FILES[1]))


def test_golden_manifest_reads():
    assert from_bytes(GOLDEN_FILE.read_bytes(), None, "golden") == GOLDEN


@pytest.mark.parametrize("key", [None, KEY])
def test_manifest_comes_back(key):
    manifest = encrypted() if key else GOLDEN
    assert from_bytes(to_bytes(manifest, key), key, "here") == manifest


def test_header_is_read_without_the_key_and_hides_names():
    data = to_bytes(encrypted(), KEY)
    backup = header_of(data, "here")
    assert (backup.label, backup.end_lsn, backup.key_id) == ("nightly", 2000, KEY.id)
    assert backup.databases == ()
    assert backup.comment == ""
    assert b"main" not in data
    assert b"sale" not in data
    with pytest.raises(StateError, match=KEY.id):
        from_bytes(data, None, "here")


def test_every_flipped_byte_is_found():
    data = to_bytes(GOLDEN, None)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(CorruptionError):
            header_of(changed, "here")


def test_body_is_bound_to_its_header_by_the_key():
    lines = to_bytes(encrypted(), KEY).splitlines(keepends=True)
    start = lines[0].replace(b'"end_lsn":2000', b'"end_lsn":2001') + lines[1]
    forged = start + sealed(start)
    header_of(forged, "here")
    with pytest.raises(CorruptionError):
        from_bytes(forged, KEY, "here")


def test_newer_format_is_refused_by_name():
    lines = to_bytes(GOLDEN, None).splitlines(keepends=True)
    start = lines[0].replace(b'"absdb_backup":1', b'"absdb_backup":2') + lines[1]
    with pytest.raises(FormatVersionError, match="newer"):
        header_of(start + sealed(start), "here")


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../control"},
        {"path": "pages/../../x"},
        {"path": "/etc/passwd"},
        {"path": "lock"},
        {"kind": "page"},
        {"place": "../other/control"},
        {"place": "files/../../x"},
        {"raw_bytes": -1},
        {"raw_bytes": 1 << 60},
        {"raw_bytes": True},
        {"stored_bytes": 99},
        {"parts": (50, 51)},
        {"parts": (50, 50)},
        {"crc": 1 << 32},
        {"sha256": "xyz"},
        {"origin": 2},
        {"origin": -1},
        {"skipped": -8},
    ],
)
def test_file_that_cannot_be_is_refused(change):
    file = dataclasses.replace(FILES[0], **change)
    with pytest.raises(CorruptionError):
        from_bytes(to_bytes(dataclasses.replace(GOLDEN, files=(file, FILES[1])), None), None, "here")


def test_file_twice_is_refused():
    with pytest.raises(CorruptionError, match="twice"):
        from_bytes(to_bytes(dataclasses.replace(GOLDEN, files=(FILES[0], FILES[0])), None), None, "here")


@pytest.mark.parametrize("origins", [(), GOLDEN.origins[1:], (Origin("other", "", ID, "zstd", False),)])
def test_origin_that_is_not_the_backup_is_refused(origins):
    with pytest.raises(CorruptionError):
        from_bytes(to_bytes(dataclasses.replace(GOLDEN, origins=origins, files=()), None), None, "here")


def sealed(start: bytes) -> bytes:
    checksum = {"sha256": hashlib.sha256(start).hexdigest()}
    return json.dumps(checksum, separators=(",", ":")).encode() + b"\n"
