"""Full and incremental backups: what comes back is what was there, and what is not whole is never taken for it."""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

import absdb
from absdb.backup.create import create_backup, default_label
from absdb.backup.listing import info, list_backups
from absdb.backup.meter import Meter, Progress
from absdb.backup.repository import Repository
from absdb.backup.restore_files import restore_files
from absdb.backup.verify import verify
from absdb.clock import ManualClock
from absdb.errors import (
    AlreadyExistsError,
    CorruptionError,
    InvalidInputError,
    LockedError,
    NotFoundError,
    StateError,
    StorageError,
)
from absdb.objectstore.local import LocalStore
from tests.backup.instances import bulk, everything, restored, small_instance


@pytest.fixture
def shop(tmp_path):
    with small_instance(tmp_path / "shop") as instance:
        yield instance


def engine_of(instance):
    return instance._engine


@pytest.fixture
def url(tmp_path):
    return str(tmp_path / "backups")


def test_full_backup_comes_back(shop, url, tmp_path):
    found = create_backup(engine_of(shop), url, label="base", comment="before the sale")
    assert (found.kind, found.label, found.databases) == ("full", "base", ("main", "staging"))
    assert found.end_lsn <= shop.lsn
    assert restored_from(url, "base", tmp_path) == everything(shop)


def test_backup_of_a_new_and_empty_instance_comes_back(tmp_path, url):
    with absdb.connect(tmp_path / "new") as instance:
        create_backup(engine_of(instance), url, label="empty")
        assert restored_from(url, "empty", tmp_path) == {"main": {}}


def test_restored_instance_is_written_on_and_backed_up_again(shop, url, tmp_path):
    create_backup(engine_of(shop), url, label="base")
    restore_files(url, tmp_path / "copy", label="base")
    with absdb.connect(tmp_path / "copy") as copy:
        copy["main"]["orders"].insert({"id": 1000, "status": "after"})
        create_backup(engine_of(copy), url, label="next", incremental_from="base")
        wanted = everything(copy)
    assert restored_from(url, "next", tmp_path, "again") == wanted


def test_trap_20_a_restored_instance_backs_up_what_was_written_after_the_restore(shop, url, tmp_path):
    create_backup(engine_of(shop), url, label="base")
    shop["main"]["orders"].insert({"id": 2000, "status": "lost"})
    restore_files(url, tmp_path / "copy", label="base")
    with absdb.connect(tmp_path / "copy") as copy:
        copy["main"]["orders"].insert([{"id": n, "status": "kept"} for n in range(3000, 3010)])
        copy.checkpoint()
        create_backup(engine_of(copy), url, label="later", incremental_from="base")
        wanted = everything(copy)
    found = restored_from(url, "later", tmp_path, "third")
    assert found == wanted
    assert {row["id"] for row in found["main"]["orders"]} >= set(range(3000, 3010))


def test_incremental_stores_only_what_is_new(shop, url, tmp_path):
    shop["main"]["orders"].upsert(bulk(20_000, 1000))
    base = create_backup(engine_of(shop), url, label="base")
    shop["main"]["orders"].update({"id": 3, "status": "changed"})
    later = create_backup(engine_of(shop), url, label="later", incremental_from="base")
    assert later.kind == "incremental"
    assert later.base == "base"
    assert later.stored_bytes < base.stored_bytes / 4
    assert restored_from(url, "later", tmp_path) == everything(shop)


def test_incremental_finds_its_base_in_another_repository_by_its_label(shop, tmp_path):
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    create_backup(engine_of(shop), first, label="base")
    shop["main"]["orders"].update({"id": 3, "status": "changed"})
    found = create_backup(engine_of(shop), second, label="later", incremental_from="base")
    assert found.base == f"{first}#base"
    assert restored_from(second, "later", tmp_path) == everything(shop)
    assert verify(second).well


def test_trap_16_a_chain_of_five_deltas_restores_in_any_order(shop, url, tmp_path):
    wanted, base = {}, None
    for number in range(6):
        label = f"step-{number}"
        create_backup(engine_of(shop), url, label=label, incremental_from=base)
        wanted[label], base = everything(shop), label
        shop["main"]["orders"].upsert(bulk(3000 + number, 5000 * number))
        shop["main"]["orders"].delete([number * 5000 + 1])
        shop.checkpoint()
        if number == 3:
            shop.maintain()
    order = list(wanted)
    random.Random(7).shuffle(order)
    for label in order:
        assert restored_from(url, label, tmp_path, label) == wanted[label]
    assert verify(url).well


def test_trap_21_incrementals_hold_what_came_by_every_path(tmp_path, url):
    """Bulk loads, merges, branches, fast-forwards, restores, compaction, schema changes: each incremental is
    compared with a full backup of the same moment."""
    with small_instance(tmp_path / "shop", bulk_threshold="1 KiB", run_limit=1) as shop:
        main, steps, first = shop["main"], [], shop.lsn
        create_backup(engine_of(shop), url, label="i-0")
        steps.append(lambda: main["orders"].upsert(bulk(4000, 10_000)))
        steps.append(lambda: main.merge(shop["staging"]))
        steps.append(lambda: main.branch("other")["orders"].upsert(bulk(2000, 50_000)))
        steps.append(lambda: main.merge(shop["other"]))
        steps.append(lambda: (shop.checkpoint(), shop.maintain(), shop.checkpoint()))
        steps.append(lambda: main.sql("ALTER TABLE orders ADD COLUMN price DOUBLE DEFAULT 1.5"))
        steps.append(lambda: main.sql("UPDATE orders SET price = id WHERE id % 3 = 0"))
        steps.append(lambda: shop["staging"].restore(lsn=first))
        steps.append(lambda: shop.drop_database("other"))
        for number, step in enumerate(steps, start=1):
            step()
            incremental = f"i-{number}"
            create_backup(engine_of(shop), url, label=incremental, incremental_from=f"i-{number - 1}")
            create_backup(engine_of(shop), url, label=f"f-{number}")
            found = restored_from(url, incremental, tmp_path, incremental)
            assert found == everything(shop)
            assert found == restored_from(url, f"f-{number}", tmp_path, f"f-{number}")


def test_writes_go_on_during_a_backup_which_holds_a_prefix_of_them(shop, url, tmp_path):
    shop["main"]["orders"].upsert(bulk(20_000, 1000))
    stop, written = threading.Event(), []

    def write() -> None:
        number = 100_000
        while not stop.is_set():
            shop["main"]["orders"].insert({"id": number, "status": "during"})
            written.append(number)
            number += 1
            if number % 50 == 0:
                shop.checkpoint()
                shop.maintain()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(4):
            create_backup(
                engine_of(shop),
                url,
                label=f"b{number}",
                incremental_from=f"b{number - 1}" if number else None,
            )
    finally:
        stop.set()
        thread.join()
    counts = []
    for number in range(4):
        rows = restored_from(url, f"b{number}", tmp_path, f"r{number}")["main"]["orders"]
        during = [row["id"] for row in rows if row["id"] >= 100_000]
        assert during == written[: len(during)]
        counts.append(len(during))
    assert counts == sorted(counts)


def test_backup_beside_a_writing_process_holds_what_is_durable(shop, url, tmp_path):
    shop["main"]["orders"].insert({"id": 4000, "status": "in the log only"})
    with absdb.connect(shop.path, read_only=True) as reader:
        shop["main"]["orders"].insert({"id": 4001, "status": "after the reader opened"})
        create_backup(engine_of(reader), url, label="beside")
    assert restored_from(url, "beside", tmp_path) == everything(shop)


def test_backup_holds_nothing_once_it_is_done(shop, url):
    create_backup(engine_of(shop), url)
    assert engine_of(shop).fs.list("readers") == []


def test_label_is_never_used_twice(shop, url):
    create_backup(engine_of(shop), url, label="base")
    with pytest.raises(AlreadyExistsError, match="base"):
        create_backup(engine_of(shop), url, label="base")


def test_labels_come_from_kind_and_time(tmp_path, url):
    clock = ManualClock("2026-04-04 14:05:06Z")
    with absdb.connect(tmp_path / "shop", clock=clock) as shop:
        labels = [create_backup(engine_of(shop), url).label for _ in range(2)]
    assert labels == ["full-20260404T140506Z", "full-20260404T140506Z-2"]
    assert default_label("größe/x", absdb.clock.to_datetime(0)) == "gr--e-x-19700101T000000Z"


def test_base_of_another_instance_is_refused(shop, url, tmp_path):
    create_backup(engine_of(shop), url, label="base")
    with absdb.connect(tmp_path / "other") as other, pytest.raises(StateError, match="instance"):
        create_backup(engine_of(other), url, label="wrong", incremental_from="base")


def test_base_that_is_not_there_is_named(shop, url):
    with pytest.raises(NotFoundError, match="nothing"):
        create_backup(engine_of(shop), url, label="wrong", incremental_from="nothing")


@pytest.mark.parametrize("label", ["", "../x", "a/b", ".hidden", "x" * 129, "a b"])
def test_label_that_is_no_name_is_refused(shop, url, label):
    with pytest.raises(InvalidInputError):
        create_backup(engine_of(shop), url, label=label)


def test_unknown_options_are_errors(shop, url):
    with pytest.raises(InvalidInputError, match="encrypt"):
        create_backup(engine_of(shop), url, store_options={"encrypt": "yes"})
    with pytest.raises(InvalidInputError, match="brotli"):
        create_backup(engine_of(shop), url, compress="brotli")
    with pytest.raises(TypeError):
        create_backup(engine_of(shop), url, encryption="on")
    assert not os.path.exists(url)


def test_damage_in_the_source_is_found_and_never_backed_up(shop, url):
    shop["main"]["orders"].upsert(bulk(20_000, 1000))
    shop.checkpoint()
    largest = max(Path(shop.path, "pages").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(CorruptionError, match=largest.name):
        create_backup(engine_of(shop), url, label="bad")
    assert list_backups(url).column("state").to_pylist() == ["unfinished"]


def test_progress_tells_bytes_rate_and_what_is_left(shop, url):
    told = list[Progress]()
    shop["main"]["orders"].upsert(bulk(20_000, 1000))
    create_backup(engine_of(shop), url, progress=told.append)
    assert told[-1].done_bytes == told[-1].total_bytes > 0
    assert told[-1].done_files == told[-1].total_files
    assert "MB/s" in str(told[-1])


def test_backup_in_memory_comes_back(url, tmp_path):
    with absdb.connect(":memory:") as instance:
        instance["main"].create_table("t", {"id": "int64"}, key="id")
        instance["main"]["t"].insert([{"id": 1}])
        create_backup(engine_of(instance), url, label="memory")
        assert restored_from(url, "memory", tmp_path) == everything(instance)


# -- listing


def test_backups_are_listed_oldest_first_and_found_by_url(shop, url):
    create_backup(engine_of(shop), url, label="b")
    create_backup(engine_of(shop), url, label="a", incremental_from="b", comment="näher")
    table = list_backups(url)
    assert table.column("label").to_pylist() == ["b", "a"]
    assert table.column("state").to_pylist() == ["complete", "complete"]
    assert info(url).label == info(f"{url}#a").label == info(f"{url}/a").label == "a"
    assert info(url, "a").comment == "näher"
    assert "a" in repr(info(url))
    assert "<b>a</b>" in info(url)._repr_html_()


def test_what_is_no_backup_is_not_listed(shop, url):
    os.makedirs(f"{url}/something")
    Path(url, "something", "else.txt").write_text("x")
    create_backup(engine_of(shop), url, label="base")
    assert list_backups(url).column("label").to_pylist() == ["base"]
    with Repository(url) as repository, pytest.raises(NotFoundError, match="base"):
        repository.header("nothing")


# -- restore


def test_restore_goes_into_an_empty_directory_only(shop, url, tmp_path):
    create_backup(engine_of(shop), url, label="base")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(StateError, match=r"letter\.txt"):
        restore_files(url, tmp_path / "full")
    with pytest.raises(StateError, match="not empty"):
        restore_files(url, shop.path)
    with pytest.raises(InvalidInputError):
        restore_files(url, ":memory:")
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


def test_restore_that_was_cut_short_does_not_open_and_goes_on_when_it_is_run_again(shop, url, tmp_path):
    shop["main"]["orders"].upsert(bulk(20_000, 1000))
    create_backup(engine_of(shop), url, label="base")
    victim = max(Path(url).rglob("*.arrow.zst"), key=lambda path: path.stat().st_size)
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-1])
    with pytest.raises(CorruptionError, match=victim.name):
        restore_files(url, tmp_path / "copy", label="base")
    for read_only in (False, True):
        with pytest.raises(StateError, match="not finished"):
            absdb.connect(tmp_path / "copy", read_only=read_only)
    victim.write_bytes(whole)
    found = restore_files(url, tmp_path / "copy", label="base")
    assert found.fetched_bytes <= found.raw_bytes
    assert restored(tmp_path / "copy") == everything(shop)


def test_restore_in_place_fetches_what_differs(shop, url):
    shop["main"]["orders"].upsert(bulk(20_000, 1000))
    create_backup(engine_of(shop), url, label="base")
    wanted = everything(shop)
    shop["main"]["orders"].delete(list(range(200)))
    with pytest.raises(LockedError):
        restore_files(url, shop.path, label="base", in_place=True)
    shop.close()
    found = restore_files(url, shop.path, label="base", in_place=True)
    assert found.fetched_bytes < found.raw_bytes / 4
    assert restored(Path(shop.path)) == wanted


def test_restore_of_one_database_leaves_the_others_and_their_snapshots_behind(shop, url, tmp_path):
    shop["main"].snapshot("before")
    big = shop.create_database("big")
    big.create_table("rows", bulk(30_000), key="id")
    big.snapshot("loaded")
    full = create_backup(engine_of(shop), url, label="base")
    found = restore_files(url, tmp_path / "copy", label="base", database="staging")
    assert found.raw_bytes < full.size / 2
    assert restored(tmp_path / "copy") == {"staging": everything(shop)["staging"]}
    with absdb.connect(tmp_path / "copy") as copy:
        assert not len(copy.snapshots())
        copy["staging"]["orders"].insert({"id": 9999, "status": "on"})
        create_backup(engine_of(copy), url, label="of-the-copy")
    with pytest.raises(NotFoundError, match="nothing"):
        restore_files(url, tmp_path / "none", database="nothing")


def test_backup_of_one_database_holds_nothing_else(shop, url, tmp_path):
    shop["main"]["orders"].update({"id": 7, "status": "secret of main"})
    found = create_backup(engine_of(shop), url, label="one", database="staging", compress=None)
    assert (found.kind, found.databases) == ("database", ("staging",))
    assert restored_from(url, "one", tmp_path) == {"staging": everything(shop)["staging"]}
    assert not any(b"secret of main" in path.read_bytes() for path in Path(url).rglob("*") if path.is_file())
    with pytest.raises(InvalidInputError):
        create_backup(engine_of(shop), url, database="main", incremental_from="one")
    with pytest.raises(StateError, match="single"):
        create_backup(engine_of(shop), url, incremental_from="one")


def restored_from(url, label, tmp_path, name="copy"):
    restore_files(url, tmp_path / name, label=label)
    return restored(tmp_path / name)


def test_restore_in_place_forgets_what_was_said_of_the_log_that_is_gone(shop, url):
    create_backup(engine_of(shop), url, label="base")
    shop["main"]["orders"].insert({"id": 5000, "status": "gone"})
    path = Path(shop.path)
    shop.close()
    (path / "archive-status").write_text("{}")
    (path / "recovery.conf").write_text("recovery_target = 'immediate'\n")
    restore_files(url, path, label="base", in_place=True)
    assert not {"archive-status", "recovery.conf", "watermark", "restoring"} & set(os.listdir(path))
    assert 5000 not in {row["id"] for row in restored(path)["main"]["orders"]}


def test_trap_17_backups_made_at_once_are_all_listed(shop, url):
    labels = [f"b{number}" for number in range(5)]
    threads = [
        threading.Thread(target=create_backup, args=(engine_of(shop), url), kwargs={"label": label})
        for label in labels
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(list_backups(url).column("label").to_pylist()) == labels
    assert verify(url).well


def test_trap_18_copy_of_an_instance_does_not_write_over_the_backups_of_the_other(shop, url, tmp_path):
    create_backup(engine_of(shop), url, label="base")
    path = Path(shop.path)
    shop.close()
    shutil.copytree(path, tmp_path / "clone")
    for name, status in (("shop", "mine"), ("clone", "theirs")):
        with absdb.connect(tmp_path / name) as instance:
            instance["main"]["orders"].update({"id": 1, "status": status})
            create_backup(engine_of(instance), url, label=name, incremental_from="base")
            with pytest.raises(AlreadyExistsError):
                create_backup(engine_of(instance), url, label="shop", incremental_from="base")
    for name, status in (("shop", "mine"), ("clone", "theirs")):
        rows = restored_from(url, name, tmp_path, f"{name}-restored")["main"]["orders"]
        assert next(row["status"] for row in rows if row["id"] == 1) == status


def test_incremental_over_a_recovery_builds_on_a_backup_of_the_timeline_before(tmp_path, url):
    archive = {"wal_archive_enabled": True, "wal_archive_target": str(tmp_path / "archive")}
    with small_instance(tmp_path / "shop", **archive) as shop:
        shop["main"]["orders"].upsert(bulk(20_000, 1000))
        create_backup(engine_of(shop), url, label="base")
        shop["main"]["orders"].insert({"id": 6000_000, "status": "kept"})
        shop.create_restore_point("here")
        shop["main"].sql("DELETE FROM orders")
    absdb.restore(url, tmp_path / "again", label="base", target_name="here")
    with absdb.connect(tmp_path / "again") as again:
        again["main"]["orders"].insert({"id": 6000_001, "status": "after"})
        found = create_backup(engine_of(again), url, label="next", incremental_from="base")
        wanted = everything(again)
    assert found.timeline == 2
    assert found.stored_bytes < found.size / 4
    assert restored_from(url, "next", tmp_path, "third") == wanted
    assert verify(url).well


def test_error_in_one_file_stops_work_on_the_others(shop, url, monkeypatch):
    shop["main"].create_table("large", bulk(600_000), key="id")
    seen, whole = [], Meter.add

    def add(self, count, *, files=0):
        whole(self, count, files=files)
        seen.append(count)
        if len(seen) == 2:
            raise RuntimeError("broken")
        time.sleep(0.01)

    monkeypatch.setattr(Meter, "add", add)
    with pytest.raises(RuntimeError, match="broken"):
        create_backup(engine_of(shop), url, jobs=1)
    assert sum(seen) < info_of_all(shop)


def info_of_all(shop):
    return sum(file.stat().st_size for file in Path(shop.path, "pages").iterdir())


def test_repository_that_cannot_be_written_to_is_restored_from_with_a_warning(
    shop, url, tmp_path, monkeypatch
):
    create_backup(engine_of(shop), url, label="base")

    def refuse(self, name, data, **more):
        raise StorageError(f"{name}: read-only")

    monkeypatch.setattr(LocalStore, "put", refuse)
    with pytest.warns(UserWarning, match="cannot be written to"):
        restore_files(url, tmp_path / "copy")
    assert restored(tmp_path / "copy") == everything(shop)


def test_jobs_that_are_no_number_are_refused_and_nothing_is_touched(shop, url, tmp_path):
    for jobs in (0, -1, "2"):
        with pytest.raises(InvalidInputError, match="jobs is"):
            shop.backup(url, jobs=jobs)
    assert not Path(url).exists()
    shop.backup(url)
    with pytest.raises(InvalidInputError, match="jobs is 0"):
        absdb.restore(url, tmp_path / "copy", jobs=0)
    assert not (tmp_path / "copy").exists()


def test_backup_inside_of_the_instance_is_refused(shop):
    for place in (Path(shop.path), Path(shop.path, "backups")):
        with pytest.raises(InvalidInputError, match="lies in the directory of the instance"):
            shop.backup(place)
    assert shop.backup(f"{shop.path}-backups").kind == "full"


def test_file_in_place_of_a_directory_is_refused_with_what_to_do(shop, tmp_path):
    (tmp_path / "file").write_text("x")
    for place in ("file", "file/below"):
        with pytest.raises(StorageError, match="a file is where a directory is needed"):
            shop.backup(tmp_path / place)
    assert (tmp_path / "file").read_text() == "x"


def test_ages_in_words_are_refused(shop, url):
    shop.backup(url)
    with pytest.raises(InvalidInputError, match="pass a timedelta"):
        absdb.purge_backups(url, "30d")
