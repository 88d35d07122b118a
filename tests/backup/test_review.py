"""A repository that holds what it should not: damaged manifests, hostile ones, names that were to be secret."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from absdb.backup.codec.key import Key
from absdb.backup.create import create_backup
from absdb.backup.listing import list_backups
from absdb.backup.manifest import Origin
from absdb.backup.repository import Repository
from absdb.backup.retention import purge
from absdb.backup.schedule import Scheduler
from absdb.backup.told_url import check_told
from absdb.errors import AlreadyExistsError, StateError
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


@pytest.mark.parametrize("told", ["s3://own/backups?region=r&endpoint={}", "gs://own/backups?endpoint={}"])
def test_credentials_go_to_no_server_that_only_a_manifest_names(told, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    url = told.format("http://127.0.0.1:9")
    origin = Origin("base", url, "00" * 16, None, False)
    given = {"region": "r", "access_key": "a", "secret_key": "b"}
    with (
        Repository("s3://own/backups", options=given) as repository,
        pytest.raises(StateError, match="is said to be at"),
    ):
        repository.store_of(origin)
    with pytest.raises(StateError, match="is said to be at"):
        check_told(url, "/backups")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
    assert check_told(url, "/backups") == url
    assert check_told("s3://other/x", "s3://own/backups") == "s3://other/x"


def test_server_that_was_named_for_the_base_is_asked(monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    url = "s3://own/backups?region=r&endpoint=http://127.0.0.1:9"
    origin = Origin("base", url, "00" * 16, None, False)
    given = {"region": "r", "access_key": "a", "secret_key": "b"}
    with Repository("s3://other/backups", options=given) as repository:
        repository.trust(url)
        assert repository.store_of(origin).url == "s3://own/backups"
    with Repository(url, options=given) as repository:
        assert repository.store_of(origin).url == "s3://own/backups"
