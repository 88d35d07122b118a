"""Retention: what is old and needed by nobody goes, and nothing else, whoever reads or builds on it meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from absdb.backup.create import create_backup
from absdb.backup.listing import list_backups
from absdb.backup.pins import pin_label, unpin_label
from absdb.backup.reader_mark import reading
from absdb.backup.repository import Repository
from absdb.backup.restore_files import restore_files
from absdb.backup.retention import protected_log, purge
from absdb.backup.verify import verify
from absdb.clock import ManualClock, SystemClock, to_datetime
from absdb.errors import CorruptionError, InvalidInputError, NotFoundError, StateError
from absdb.objectstore.local import LocalStore
from tests.backup.instances import bulk, everything, restored, small_instance

DAY = 86_400


@pytest.fixture
def clock():
    return ManualClock("2026-01-01 00:00:00Z")


@pytest.fixture
def shop(tmp_path, clock):
    with small_instance(tmp_path / "shop", clock=clock) as instance:
        yield instance


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "backups")


def make(shop, url, clock, label, base=None):
    """One backup a day, each with something of its own."""
    shop["main"]["orders"].upsert(bulk(50, 1000 + len(label) * 100 + sum(map(ord, label))))
    found = create_backup(shop._engine, url, label=label, incremental_from=base)
    clock.advance(days=1)
    return found


def labels(url):
    return sorted(list_backups(url).column("label").to_pylist())


def test_old_backups_go_and_the_newest_stays_whatever_its_age(shop, url, clock):
    for label in ("a", "b", "c"):
        make(shop, url, clock, label)
    assert purge(url, 2.5 * DAY, clock=clock).removed == ["a"]
    clock.advance(days=1000)
    assert purge(url, 1, clock=clock).removed == ["b"]
    assert purge(url, 0, clock=clock).removed == []
    assert labels(url) == ["c"]
    assert not os.path.exists(f"{url}/a/begin.json")


def test_count_keeps_the_newest(shop, url, clock):
    for label in ("a", "b", "c", "d"):
        make(shop, url, clock, label)
    assert purge(url, 0, keep=3, clock=clock).removed == ["a"]


def test_dry_run_says_what_would_go_and_removes_nothing(shop, url, clock):
    for label in ("a", "b"):
        make(shop, url, clock, label)
    found = purge(url, 0, dry_run=True, clock=clock)
    assert found.removed == ["a"]
    assert found.table().select(["label", "removed", "reason"]).to_pylist() == [
        {"label": "a", "removed": True, "reason": "old, and nothing needs it"},
        {"label": "b", "removed": False, "reason": "one of the newest"},
    ]
    assert labels(url) == ["a", "b"]


def test_chain_of_a_kept_backup_stays_whole(shop, url, clock, tmp_path):
    make(shop, url, clock, "full")
    make(shop, url, clock, "i1", "full")
    make(shop, url, clock, "aside", "full")
    make(shop, url, clock, "i2", "i1")
    wanted = everything(shop)
    found = purge(url, 0, clock=clock)
    assert found.removed == ["aside"]
    assert {fate.label: fate.reason for fate in found.fates}["full"] == "i2 builds on it"
    assert verify(url).well
    restore_files(url, tmp_path / "copy", label="i2")
    assert restored(tmp_path / "copy") == wanted


def test_pinned_backup_stays_until_it_is_unpinned(shop, url, clock):
    for label in ("a", "b"):
        make(shop, url, clock, label)
    with Repository(url) as repository:
        pin_label(repository.store, "a", clock)
        assert purge(url, 0, clock=clock).removed == []
        unpin_label(repository.store, "a")
        assert purge(url, 0, clock=clock).removed == ["a"]
        with pytest.raises(NotFoundError):
            pin_label(repository.store, "a", clock)


def test_backup_that_another_repository_builds_on_stays(shop, url, clock, tmp_path):
    other = str(tmp_path / "other")
    make(shop, url, clock, "a")
    make(shop, other, clock, "delta", "a")
    make(shop, url, clock, "b")
    reasons = {fate.label: fate.reason for fate in purge(url, 0, clock=clock).fates}
    assert "delta" in reasons["a"]
    shutil.rmtree(other)
    assert purge(url, 0, clock=clock).removed == ["a"]


def test_damaged_backup_is_left_alone_and_is_not_the_newest_that_is_kept(shop, url, clock):
    for label in ("a", "b", "c"):
        make(shop, url, clock, label)
    manifest = Path(url, "c", "manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:-3])
    assert purge(url, 0, clock=clock).removed == ["a"]
    assert labels(url) == ["b", "c"]


def test_newest_backup_whose_objects_are_lost_does_not_count_as_good(shop, url, clock):
    for label in ("a", "b"):
        make(shop, url, clock, label)
    shutil.rmtree(f"{url}/b/pages")
    reasons = {fate.label: fate.reason for fate in purge(url, 0, clock=clock).fates}
    assert reasons["a"] == "the newest that is whole"


def test_trap_20_purge_during_a_restore_takes_nothing_that_is_read(shop, url, clock, tmp_path):
    for label in ("a", "b"):
        make(shop, url, clock, label)
    with Repository(url) as repository, reading(repository.store, "a", "test"):
        assert purge(url, 0).removed == []
        assert {fate.label: fate.reason for fate in purge(url, 0).fates}["a"] == "somebody reads it"
    assert purge(url, 0).removed == ["a"]
    with (
        Repository(url) as repository,
        pytest.raises(NotFoundError),
        reading(repository.store, "a", "test"),
    ):
        pass


def test_restores_and_purges_at_once_leave_each_restore_whole_or_refused(tmp_path, url):
    with small_instance(tmp_path / "shop") as shop:
        shop["main"]["orders"].upsert(bulk(20_000, 1000))
        stop, outcomes = threading.Event(), []

        def clean() -> None:
            while not stop.is_set():
                purge(url, 0)

        create_backup(shop._engine, url, label="b-0")
        thread = threading.Thread(target=clean)
        thread.start()
        try:
            for number in range(1, 8):
                create_backup(shop._engine, url, label=f"b-{number}")
                try:
                    restore_files(url, tmp_path / f"r-{number}", label=f"b-{number - 1}")
                    outcomes.append(restored(tmp_path / f"r-{number}") == everything(shop))
                except NotFoundError:
                    outcomes.append(True)
        finally:
            stop.set()
            thread.join()
    assert all(outcomes)
    assert verify(url).well


def test_leftovers_of_interrupted_backups_go_when_they_are_old(tmp_path, url):
    with small_instance(tmp_path / "shop") as shop:
        create_backup(shop._engine, url, label="whole")
        create_backup(shop._engine, url, label="cut")
    os.unlink(f"{url}/cut/manifest.json")
    assert purge(url, 0).removed == []
    for path in Path(url, "cut").rglob("*"):
        os.utime(path, (0, 0))
    assert purge(url, 0).removed == ["cut"]
    assert labels(url) == ["whole"]


def test_log_of_kept_backups_is_protected(shop, url, clock):
    first = make(shop, url, clock, "a")
    second = make(shop, url, clock, "b", "a")
    assert protected_log(url) == [
        (1, first.checkpoint_lsn, first.end_lsn),
        (1, second.checkpoint_lsn, second.end_lsn),
    ]
    manifest = Path(url, "b", "manifest.json")
    manifest.write_bytes(manifest.read_bytes()[:-3])
    with pytest.raises(CorruptionError):
        protected_log(url)


def test_note_of_a_dependent_that_cannot_be_read_keeps_the_backup(shop, url, clock):
    for label in ("a", "b"):
        make(shop, url, clock, label)
    os.makedirs(f"{url}/a/dependents")
    Path(url, "a", "dependents", "x.json").write_text(json.dumps({"url": "gopher://x", "label": "y"}))
    assert purge(url, 0, clock=clock).removed == []


def test_nothing_is_removed_for_ages_that_are_none(url):
    with pytest.raises(InvalidInputError):
        purge(url, -1)


def test_backup_that_is_marked_while_it_is_removed_is_put_back_with_all_that_it_needs(
    shop, url, clock, monkeypatch
):
    make(shop, url, clock, "full")
    make(shop, url, clock, "delta", "full")
    make(shop, url, clock, "other")
    whole = LocalStore.delete

    def delete(self, name):
        if name == "delta/manifest.json":
            self.put("delta/readers/late.json", b"{}")
        whole(self, name)

    monkeypatch.setattr(LocalStore, "delete", delete)
    found = purge(url, 0, clock=clock)
    assert found.removed == []
    assert {fate.label: fate.reason for fate in found.fates}["full"] == "delta builds on it"
    assert verify(url).well
    assert labels(url) == ["delta", "full", "other"]


def test_chain_that_is_being_restored_stays_whole(shop, url, clock, tmp_path):
    make(shop, url, clock, "full")
    make(shop, url, clock, "delta", "full")
    make(shop, url, clock, "other")
    with Repository(url) as repository, reading(repository.store, "delta", "test"):
        assert purge(url, 0).removed == []
    assert sorted(purge(url, 0).removed) == ["delta", "full"]


def test_backup_that_is_built_upon_while_the_purge_runs_is_put_back(shop, url, clock, monkeypatch):
    make(shop, url, clock, "full")
    make(shop, url, clock, "other")
    whole = LocalStore.delete
    other = url + "-2"

    def delete(self, name):
        if name == "full/manifest.json":
            monkeypatch.undo()
            make(shop, url, clock, "delta", "full")
            create_backup(shop._engine, url + "-2", label="aside", incremental_from="other", base_url=url)
        whole(self, name)

    monkeypatch.setattr(LocalStore, "delete", delete)
    assert purge(url, 0, clock=clock).removed == []
    assert labels(url) == ["delta", "full", "other"]
    assert verify(url).well
    assert verify(other).well


def test_clock_that_is_ahead_of_the_store_does_not_outdate_who_reads(tmp_path, url):
    with small_instance(tmp_path / "shop") as shop:
        for label in ("a", "b", "cut"):
            create_backup(shop._engine, url, label=label)
    os.unlink(f"{url}/cut/manifest.json")
    ahead = ManualClock(to_datetime(SystemClock().now_us() + 3 * DAY * 1_000_000))
    with Repository(url) as repository, reading(repository.store, "a", "test"):
        assert purge(url, 0, clock=ahead).removed == []
    assert purge(url, 0, clock=ahead).removed == ["a"]
    assert sorted(labels(url)) == ["b", "cut"]
    assert not list(Path(url).glob("clock-*"))


def test_interrupted_backup_that_is_gone_on_with_while_a_purge_runs_stays_whole_or_is_refused(
    tmp_path, url, monkeypatch
):
    with small_instance(tmp_path / "shop") as shop:
        for label in ("whole", "early", "late"):
            create_backup(shop._engine, url, label=label)
        for path in [*Path(url, "early").rglob("*"), *Path(url, "late").rglob("*")]:
            os.utime(path, (0, 0))
        for label in ("early", "late"):
            os.unlink(f"{url}/{label}/manifest.json")
        lists, deletes = LocalStore.list, LocalStore.delete
        claimed: list[str] = []

        def listing(self, prefix="", **more):
            found = list(lists(self, prefix, **more))
            if prefix == "early/" and not claimed:
                claimed.append(prefix)
                create_backup(shop._engine, url, label="early")
            return iter(found)

        def delete(self, name):
            if name.startswith("late/pages/"):
                with pytest.raises(StateError, match="being removed"):
                    create_backup(shop._engine, url, label="late")
            deletes(self, name)

        monkeypatch.setattr(LocalStore, "list", listing)
        monkeypatch.setattr(LocalStore, "delete", delete)
        assert purge(url, 0).removed == ["late"]
        monkeypatch.undo()
    assert verify(url).well
    assert labels(url) == ["early", "whole"]
