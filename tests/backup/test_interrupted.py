"""`kill -9` of backups and restores at any moment, and how they go on: nothing half made is ever taken for whole."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import absdb
from absdb.backup import claim as claim_module
from absdb.backup.codec.key import Key
from absdb.backup.create import create_backup
from absdb.backup.listing import list_backups
from absdb.backup.restore_files import restore_files
from absdb.backup.verify import verify
from absdb.errors import AlreadyExistsError, StateError
from absdb.objectstore.local import LocalStore
from tests.backup.instances import bulk, everything, restored, small_instance
from tests.conftest import DEEP

ROUNDS = 60 if DEEP else 4
KEY = Key(bytes(range(32)))

BACKUP = """
import sys, absdb
from absdb.backup.create import create_backup
shop = absdb.connect(sys.argv[1])
print("ready", flush=True)
create_backup(shop._engine, sys.argv[2], label=sys.argv[3], incremental_from=sys.argv[4] or None, compress=None)
print("done", flush=True)
shop.close()
"""
RESTORE = """
import sys
from absdb.backup.restore_files import restore_files
in_place = len(sys.argv) > 3
print("ready", flush=True)
restore_files(sys.argv[1], sys.argv[2], label="base", in_place=in_place)
print("done", flush=True)
"""


def killed(script: str, *args: object, after: float) -> None:
    """Run a script in a process of its own and kill it so many seconds after it was ready to begin."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after)
    process.kill()
    process.communicate()


@pytest.fixture
def path(tmp_path):
    """A closed instance with some megabytes in several files."""
    with small_instance(tmp_path / "shop") as shop:
        for number in range(6):
            shop["main"].create_table(f"bulk_{number}", bulk(60_000), key="id")
    return tmp_path / "shop"


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "backups")


def test_killed_backups_are_never_listed_as_good_and_go_on(path, url, tmp_path):
    chance, base = random.Random(os.urandom(8)), ""
    for number in range(ROUNDS):
        label = f"b{number}"
        for _ in range(chance.randrange(1, 3)):
            killed(BACKUP, path, url, label, base, after=chance.uniform(0, 0.12))
            states = dict(
                zip(*list_backups(url).select(["label", "state"]).to_pydict().values(), strict=True)
            )
            if states.get(label) == "complete":
                assert verify(url, label).well
        with absdb.connect(path) as shop:
            try:
                create_backup(shop._engine, url, label=label, incremental_from=base or None, compress=None)
            except AlreadyExistsError:
                assert states[label] == "complete"
            wanted = everything(shop)
            shop["main"]["orders"].upsert(bulk(100, 50_000_000 + 1000 * number))
        restore_files(url, tmp_path / label, label=label)
        assert restored(tmp_path / label) == wanted
        base = label if number % 2 == 0 else ""
    assert verify(url).well


def test_killed_restores_do_not_open_and_go_on(path, url, tmp_path):
    chance = random.Random(os.urandom(8))
    with absdb.connect(path) as shop:
        create_backup(shop._engine, url, label="base", compress=None)
        wanted = everything(shop)
    for number in range(ROUNDS):
        target = tmp_path / f"copy-{number}"
        killed(RESTORE, url, target, after=chance.uniform(0, 0.1))
        _opens_whole_or_not_at_all(target, wanted)
        if (target / "restoring").exists() or not target.exists():
            restore_files(url, target, label="base")
        elif not (target / "control").exists():
            shutil.rmtree(target)
            restore_files(url, target, label="base")
        assert restored(target) == wanted


def test_killed_restores_in_place_do_not_open_and_go_on(path, url):
    chance = random.Random(os.urandom(8))
    with absdb.connect(path) as shop:
        create_backup(shop._engine, url, label="base", compress=None)
        wanted = everything(shop)
    for number in range(ROUNDS):
        with absdb.connect(path) as shop:
            shop["main"]["orders"].upsert(bulk(30_000, 80_000_000 + number))
            changed = everything(shop)
        for largest in sorted(Path(path, "pages").iterdir(), key=lambda file: -file.stat().st_size)[:2]:
            largest.unlink()
        killed(RESTORE, url, path, "in place", after=chance.uniform(0, 0.1))
        if (path / "restoring").exists():
            with pytest.raises(StateError, match="not finished"):
                absdb.connect(path)
        restore_files(url, path, label="base", in_place=True)
        assert restored(path) == wanted != changed


def _opens_whole_or_not_at_all(target: Path, wanted: object) -> None:
    try:
        with absdb.connect(target, create=False, read_only=True) as copy:
            assert everything(copy) == wanted
    except absdb.AbsdbError:
        assert not (target / "control").exists() or (target / "restoring").exists()


# -- going on


class Interrupted(Exception):
    """What breaks an upload in these tests."""


def break_after(monkeypatch: pytest.MonkeyPatch, puts: int) -> None:
    """Let a backup fail at its nth object."""
    whole, count = LocalStore.put, iter(range(10_000))

    def put(self: LocalStore, name: str, data: bytes, **more: object) -> object:
        if "/pages/" in name and next(count) >= puts:
            raise Interrupted
        return whole(self, name, data, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalStore, "put", put)


@pytest.mark.parametrize("key", [None, KEY])
def test_interrupted_backup_goes_on_with_what_it_has_stored(path, url, tmp_path, monkeypatch, key):
    with absdb.connect(path) as shop:
        with monkeypatch.context() as patch:
            break_after(patch, 4)
            with pytest.raises(Interrupted):
                create_backup(shop._engine, url, label="base", jobs=1, key=key)
        kept = {file.name for file in Path(url, "base", "pages").iterdir()}
        assert len(kept) == 4
        assert list_backups(url).column("state").to_pylist() == ["unfinished"]
        shop["main"]["orders"].update({"id": 1, "status": "meanwhile"})
        create_backup(shop._engine, url, label="base", key=key)
        wanted = everything(shop)
    left = {file.name for file in Path(url, "base", "pages").iterdir()}
    assert left <= kept  # a file beside the one that failed may have been stored, and not told of
    assert len(left) >= 3
    assert Path(url, "base", "pages.1").exists()
    assert not list(Path(url, "base").glob("*-*.json"))
    assert verify(url, key=key).well
    restore_files(url, tmp_path / "copy", key=key)
    assert restored(tmp_path / "copy") == wanted


def test_account_is_given_now_and_then_while_a_backup_runs(path, url, monkeypatch):
    monkeypatch.setattr(claim_module, "ACCOUNT_S", 0.0)
    with absdb.connect(path) as shop:
        create_backup(shop._engine, url, label="base")
    assert not list(Path(url, "base").glob("progress-*"))
    assert verify(url).well


def test_account_that_is_damaged_is_not_believed(path, url, monkeypatch):
    with absdb.connect(path) as shop:
        with monkeypatch.context() as patch:
            break_after(patch, 4)
            with pytest.raises(Interrupted):
                create_backup(shop._engine, url, label="base", jobs=1)
        (account,) = Path(url, "base").glob("progress-*")
        account.write_bytes(account.read_bytes()[:-2])
        create_backup(shop._engine, url, label="base")
    assert not list(Path(url, "base", "pages").iterdir())
    assert verify(url).well


def test_other_parameters_are_another_backup(path, url, monkeypatch):
    with absdb.connect(path) as shop:
        with monkeypatch.context() as patch:
            break_after(patch, 1)
            with pytest.raises(Interrupted):
                create_backup(shop._engine, url, label="base", jobs=1)
        for other in ({"compress": "lz4"}, {"key": KEY}, {"database": "main"}):
            with pytest.raises(AlreadyExistsError, match="base"):
                create_backup(shop._engine, url, label="base", **other)


def test_label_that_a_living_process_works_on_is_left_to_it(path, url, monkeypatch):
    with absdb.connect(path) as shop:
        with monkeypatch.context() as patch:
            break_after(patch, 1)
            with pytest.raises(Interrupted):
                create_backup(shop._engine, url, label="base", jobs=1)
        begin = Path(url, "base", "begin.json")
        begun = json.loads(begin.read_text())
        begin.write_text(json.dumps({**begun, "pid": os.getppid()}))
        with pytest.raises(StateError, match=str(os.getppid())):
            create_backup(shop._engine, url, label="base")


def test_two_that_go_on_with_one_backup_leave_one_that_is_whole(path, url, tmp_path):

    outcomes: list[object] = []
    with absdb.connect(path) as shop:

        def make() -> None:
            try:
                outcomes.append(create_backup(shop._engine, url, label="base"))
            except (AlreadyExistsError, StateError) as error:
                outcomes.append(error)

        threads = [threading.Thread(target=make) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = everything(shop)
    assert len([each for each in outcomes if not isinstance(each, Exception)]) == 1
    assert verify(url).well
    restore_files(url, tmp_path / "copy")
    assert restored(tmp_path / "copy") == wanted
