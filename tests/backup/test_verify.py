"""Verifying: every byte of every object of a backup that is flipped is found, and so is what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import absdb
from absdb.backup.codec.key import Key
from absdb.backup.create import create_backup
from absdb.backup.restore_files import restore_files
from absdb.backup.verify import verify
from absdb.errors import AbsdbError, NotFoundError, StateError
from tests.backup.instances import bulk, everything, restored, small_instance

KEY, OTHER = Key(bytes(range(32))), Key(bytes(32))


def tiny_backup(tmp_path: Path, url: str, **more: object) -> None:
    with absdb.connect(tmp_path / "tiny", wal_segment_size="4 KiB") as instance:
        instance["main"].create_table("t", {"id": "int64"}, key="id")
        instance["main"]["t"].insert([{"id": 1}])
        create_backup(instance._engine, url, label="base", **more)
        instance["main"]["t"].insert([{"id": 2}])
        create_backup(instance._engine, url, label="next", incremental_from="base", **more)


def objects(url: str) -> list[Path]:
    return sorted(
        path for path in Path(url).rglob("*") if path.is_file() and ".absdb-uploads" not in path.parts
    )


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_flipped_bytes_of_a_backup_are_found(tmp_path, key):
    flip_and_verify(tmp_path, key, step=19)


@pytest.mark.deep
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_every_flipped_byte_of_a_backup_is_found(tmp_path, key):
    flip_and_verify(tmp_path, key, step=1)


def flip_and_verify(tmp_path: Path, key: Key | None, step: int) -> None:
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url, key=key)
    assert verify(url, key=key).well
    for number, path in enumerate(objects(url)):
        whole = path.read_bytes()
        for at in range(number % step, len(whole), step):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
            assert not verify(url, path.relative_to(url).parts[0], key=key).well, f"{path}, byte {at}"
        path.write_bytes(whole)
    assert verify(url, key=key).well


def test_missing_longer_and_shorter_objects_are_found(tmp_path):
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url)
    for path in objects(url):
        whole = path.read_bytes()
        if path.name != "manifest.json":  # without it there is no backup
            path.unlink()
            assert not verify(url).well, path
        for changed in (whole + b"\0", whole[:-1], b""):
            path.write_bytes(changed)
            assert not verify(url).well, path
        path.write_bytes(whole)


def test_damage_in_the_base_is_damage_of_what_builds_on_it(tmp_path):
    url = str(tmp_path / "backups")
    with small_instance(tmp_path / "shop") as shop:
        shop["main"]["orders"].upsert(bulk(5000, 1000))
        create_backup(shop._engine, url, label="base")
        create_backup(shop._engine, url, label="next", incremental_from="base")
    victim = max(Path(url, "base", "pages").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[50] ^= 4
    victim.write_bytes(data)
    found = verify(url, "next")
    assert [finding.where for finding in found.findings] == [f"base/pages/{victim.name}"]
    assert found.table().column("severity").to_pylist() == ["error"]
    shutil.rmtree(f"{url}/base")
    assert not verify(url, "next").well


def test_unfinished_backup_is_a_remark(tmp_path):
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url)
    Path(url, "next", "manifest.json").unlink()
    found = verify(url)
    assert found.well
    assert [finding.severity for finding in found.findings] == ["remark"]


def test_nothing_to_verify_is_an_error(tmp_path):
    with pytest.raises(NotFoundError):
        verify(str(tmp_path / "nothing"))
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url)
    for manifest in Path(url).glob("*/manifest.json"):
        manifest.unlink()
    with pytest.raises(NotFoundError, match="was not finished"):
        verify(url)


# -- encryption


@pytest.mark.parametrize("compress", [None, "lz4", "zstd"])
def test_encrypted_backup_comes_back_and_shows_nothing(tmp_path, compress):
    url = str(tmp_path / "backups")
    with small_instance(tmp_path / "shop") as shop:
        shop["main"]["orders"].upsert(bulk(5000, 1000))
        create_backup(shop._engine, url, label="base", key=KEY, compress=compress, comment="quarterly")
        shop["main"]["orders"].update({"id": 1, "status": "confidential"})
        found = create_backup(
            shop._engine, url, label="next", key=KEY, compress=compress, incremental_from="base"
        )
        wanted = everything(shop)
    assert found.encrypted
    assert found.key_id == KEY.id
    for path in objects(url):
        data = path.read_bytes()
        for word in (b"confidential", b"orders", b"staging", b"quarterly", b"wal_segment_size"):
            assert word not in data, path
    restore_files(url, tmp_path / "copy", label="next", key=KEY)
    assert restored(tmp_path / "copy") == wanted
    assert verify(url, key=KEY).well


def test_wrong_key_and_no_key_are_told_from_damage(tmp_path):
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url, key=KEY)
    for key in (None, OTHER):
        with pytest.raises(StateError, match=KEY.id):
            restore_files(url, tmp_path / "copy", key=key)
        assert not verify(url, key=key).well
    assert not (tmp_path / "copy").exists()


def test_key_that_is_configured_is_used_without_being_asked_for(tmp_path, monkeypatch):
    """litestream.io#122: an encryption that was set and silently not done."""
    monkeypatch.setenv("ABSDB_BACKUP_KEY", KEY.secret().hex())
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url)
    assert all(b"absdb.conf" not in path.read_bytes() for path in objects(url))
    monkeypatch.delenv("ABSDB_BACKUP_KEY")
    with pytest.raises(StateError, match=KEY.id):
        restore_files(url, tmp_path / "copy")
    key_file = tmp_path / "key"
    key_file.write_text(OTHER.secret().hex())
    key_file.chmod(0o600)
    other = str(tmp_path / "others")
    with small_instance(tmp_path / "shop", backup_key_file=str(key_file)) as shop:
        assert create_backup(shop._engine, other).key_id == OTHER.id


def test_chain_has_one_key(tmp_path):
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url, key=KEY)
    with absdb.connect(tmp_path / "tiny") as instance, pytest.raises(StateError, match="key"):
        create_backup(instance._engine, url, incremental_from="base", key=OTHER)


def test_stored_file_moved_to_another_place_does_not_open(tmp_path):
    url = str(tmp_path / "backups")
    tiny_backup(tmp_path, url, key=KEY)
    first, second = (
        Path(url, label, "wal", "000000010000000000000000.zst.enc") for label in ("base", "next")
    )
    second.write_bytes(first.read_bytes())
    assert not verify(url, "next", key=KEY).well
    with pytest.raises(AbsdbError):
        restore_files(url, tmp_path / "copy", label="next", key=KEY)
