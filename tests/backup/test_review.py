"""A repository that holds what it should not: damaged manifests, hostile ones, names that were to be secret."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from absdb.backup.codec.key import Key
from absdb.backup.create import create_backup
from absdb.backup.listing import list_backups
from absdb.backup.retention import purge
from absdb.backup.schedule import Scheduler
from absdb.errors import AlreadyExistsError
from tests.backup.instances import small_instance

KEY = Key(bytes(range(32)))


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "backups")


def test_schedule_goes_on_beside_a_damaged_backup(tmp_path, url):
    with small_instance(tmp_path / "shop", backup_target=url, backup_full_interval="1 day") as shop:
        create_backup(shop._engine, url, label="old")
        create_backup(shop._engine, url, label="good")
        manifest = Path(url, "old", "manifest.json")
        manifest.write_bytes(manifest.read_bytes()[:-3])
        scheduler = Scheduler(shop._engine)
        scheduler.close()
        assert [plan.base for plan in scheduler._look(shop._engine)] == [None]
        assert scheduler.status.last_label == "good"


def test_deeply_nested_manifest_is_listed_as_damaged_and_purging_leaves_it(tmp_path, url):
    with small_instance(tmp_path / "shop") as shop:
        create_backup(shop._engine, url, label="good")
    start = b"[" * 200_000 + b'\n""\n'
    last = json.dumps({"sha256": hashlib.sha256(start).hexdigest()}, separators=(",", ":")).encode() + b"\n"
    Path(url, "evil").mkdir()
    Path(url, "evil", "manifest.json").write_bytes(start + last)
    assert list_backups(url).column("state").to_pylist() == ["damaged", "complete"]
    assert purge(url, 0).removed == []


def test_name_of_the_database_is_nowhere_in_an_encrypted_backup_of_it(tmp_path, url):
    with small_instance(tmp_path / "shop") as shop:
        shop["main"].branch("takeover_of_acme")
        for label in (None, "mine"):
            create_backup(shop._engine, url, label=label, database="takeover_of_acme", key=KEY)
        with pytest.raises(AlreadyExistsError):
            create_backup(shop._engine, url, label="mine", database="main", key=KEY)
    for path in Path(url).rglob("*"):
        assert "takeover" not in str(path.relative_to(url))
        assert path.is_dir() or b"takeover" not in path.read_bytes()
