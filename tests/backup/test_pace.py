"""A backup gives way to commits: it pauses where some were made meanwhile, and its threads stand back."""

from __future__ import annotations

import os
import threading
import time

import pytest

import absdb
from absdb.backup import pace
from absdb.backup.codec.pipeline import pool
from absdb.backup.pace import NICE, Pace, give_way
from tests.backup.instances import everything, restored, small_instance


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that are made, which take no time."""
    made: list[float] = []
    monkeypatch.setattr(pace, "sleep", made.append)
    return made


def test_backup_pauses_only_where_something_was_committed_meanwhile(tmp_path, pauses):
    with small_instance(tmp_path / "shop") as shop:
        paced = Pace(shop._engine)
        paced.begin()
        paced.rest()
        assert pauses == []
        shop["main"]["orders"].delete([1])
        paced.rest()
        assert len(pauses) == 1
        assert 0 < pauses[0] <= pace.PAUSE_S_MAX
        paced.rest()
        assert len(pauses) == 1


def test_each_thread_has_a_pace_of_its_own(tmp_path, pauses):
    with small_instance(tmp_path / "shop") as shop:
        paced = Pace(shop._engine)
        paced.begin()
        shop["main"]["orders"].delete([1])
        other = threading.Thread(target=lambda: (paced.begin(), paced.rest()))
        other.start()
        other.join()
        assert pauses == []


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="priorities are those of processes here")
def test_threads_of_a_backup_stand_back_and_others_do_not():
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with pool(2, begin=give_way) as threads:
        there = threads.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    assert there == NICE
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_backup_beside_commits_is_whole(tmp_path):
    with small_instance(tmp_path / "shop") as shop:
        stop = threading.Event()

        def commit() -> None:
            number = 1000
            while not stop.is_set():
                shop["main"]["orders"].insert({"id": number, "status": "beside"})
                number += 1

        beside = threading.Thread(target=commit)
        beside.start()
        while shop["main"]["orders"].count() < 310:
            time.sleep(0.001)
        found = shop.backup(str(tmp_path / "backups"), label="beside")
        stop.set()
        beside.join()
        wanted = everything(shop)
    absdb.restore(str(tmp_path / "backups"), tmp_path / "back", target="immediate")
    rows = restored(tmp_path / "back")["main"]["orders"]
    assert rows == wanted["main"]["orders"][: len(rows)]
    assert len(rows) > 309
    assert found.label == "beside"
