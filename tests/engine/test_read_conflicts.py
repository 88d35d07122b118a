"""Serializable transactions: a commit is refused if what it read has changed, and only then."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

import absdb
from absdb.engine.read_conflicts import KEYS_KEPT


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:", page_rows=64) as shop:
        main = shop["main"]
        main.create_table("t", [{"id": n, "v": n} for n in range(10)], key="id")
        main.create_table("u", [{"id": "a", "v": 1}], key="id")
        yield main


_numbers = itertools.count()


def commits(main: absdb.Database, tx: absdb.TransactionHandle) -> bool:
    """Whether the transaction, which writes something nobody else does, can commit."""
    mine = f"mine {next(_numbers)}"
    tx["u"].insert({"id": mine, "v": 1})
    try:
        tx.commit()
    except absdb.ReadConflictError:
        assert main["u"].get(mine) is None
        return False
    assert main["u"].get(mine) is not None
    return True


def test_write_skew_is_possible_without_and_refused_with(main):
    for serializable in (False, True):
        main["t"].update([{"id": 0, "v": 1}, {"id": 1, "v": 1}])
        one = main.transaction(serializable=serializable)
        two = main.transaction(serializable=serializable)
        for tx, mine in ((one, 0), (two, 1)):
            assert sum(tx["t"].get(n)["v"] for n in (0, 1)) == 2
            tx["t"].update({"id": mine, "v": 0})
        one.commit()
        if serializable:
            with pytest.raises(absdb.ReadConflictError, match="rows of table 't'") as caught:
                two.commit()
            assert caught.value.table == "t"
            assert isinstance(caught.value, absdb.ConflictError)
            assert not two.is_open
        else:
            two.commit()
        assert main["t"].get(0)["v"] == 0
        assert main["t"].get(1)["v"] == int(serializable)


def test_a_key_read_conflicts_with_that_key_only(main):
    tx = main.transaction(serializable=True)
    assert tx["t"].get(3) == {"id": 3, "v": 3}
    main["t"].update({"id": 4, "v": 0})
    main["t"].insert({"id": 99, "v": 0})
    assert commits(main, tx)

    tx = main.transaction(serializable=True)
    assert tx["t"].get(3) == {"id": 3, "v": 3}
    main["t"].delete([3])
    assert not commits(main, tx)


def test_a_key_that_was_not_there_conflicts_with_its_insertion(main):
    tx = main.transaction(serializable=True)
    assert tx["t"].get(500) is None
    main["t"].insert({"id": 500, "v": 0})
    assert not commits(main, tx)


def test_many_keys_read_at_once(main):
    for changed, fine in ((7, False), (8, True)):
        tx = main.transaction(serializable=True)
        # An update looks the rows up; written back as they were, they are no change of ours.
        tx["t"].update(pa.table({"id": [5, 6, 7], "v": [5, 6, 7]}))
        assert tx["t"].get(2) is not None
        main["t"].update({"id": changed, "v": -1})
        assert commits(main, tx) is fine
        main["t"].update({"id": changed, "v": changed})


def test_a_scan_conflicts_with_any_change_of_the_table(main):
    reads = (
        lambda tx: tx["t"].to_arrow(),
        lambda tx: tx["t"].count(),
        lambda tx: list(tx["t"].to_batches()),
    )
    for number, read in enumerate(reads):
        tx = main.transaction(serializable=True)
        read(tx)
        tx["t"].insert({"id": 1000, "v": 1})
        read(tx)
        main["u"].upsert({"id": "other", "v": number})
        main["t"].upsert({"id": 77, "v": number})
        assert not commits(main, tx)
        assert main["t"].get(1000) is None


def test_more_keys_than_are_kept_count_as_the_whole_table(main):
    tx = main.transaction(serializable=True)
    for key in range(100, 100 + KEYS_KEPT + 1):
        tx["t"].get(key)
    main["t"].update({"id": 1, "v": 9})
    assert not commits(main, tx)


def test_what_only_was_written_is_not_read(main):
    tx = main.transaction(serializable=True)
    tx["t"].insert({"id": 55, "v": 1})
    main["t"].update({"id": 1, "v": 9})
    assert commits(main, tx)
    assert main["t"].get(55) == {"id": 55, "v": 1}


def test_one_that_writes_nothing_always_commits(main):
    tx = main.transaction(serializable=True)
    tx["t"].to_arrow()
    main["t"].truncate()
    assert tx.commit() is None


def test_a_definition_that_was_read(main):
    tx = main.transaction(serializable=True)
    tx["t"].get(1)
    main["t"].add_column("w", pa.int64())
    assert not commits(main, tx)

    tx = main.transaction(serializable=True)
    tx["t"].get(1)
    main.create_table("another", pa.schema([("id", pa.int64())]), key="id")
    assert commits(main, tx)


def test_a_restore_meanwhile(main):
    before = main.lsn
    main["t"].update({"id": 1, "v": 9})
    tx = main.transaction(serializable=True)
    tx["t"].get(1)
    main.restore(lsn=before)
    tx["u"].insert({"id": "mine", "v": 1})
    with pytest.raises(absdb.ConflictError, match="restored"):
        tx.commit()


def test_of_many_threads_that_move_the_last_one_exactly_one_succeeds(main):
    """On call: at least one must stay. Each reads all and leaves if another one is there."""
    main["t"].replace([{"id": n, "v": 1} for n in range(8)])
    barrier = threading.Barrier(8)
    left: list[int] = []

    def leave(mine: int) -> None:
        tx = main.transaction(serializable=True)
        on_call = sum(row["v"] for row in tx["t"].to_arrow().to_pylist())
        barrier.wait()
        if on_call > 7:
            tx["t"].update({"id": mine, "v": 0})
        try:
            tx.commit()
            left.append(mine)
        except absdb.ReadConflictError:
            pass

    threads = [threading.Thread(target=leave, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(left) == 1
    assert sum(row["v"] for row in main["t"].to_arrow().to_pylist()) == 7
