"""Money moves between accounts while others look: no state anybody can see has a cent more or less.

Eight threads transfer in transactions and run them again when somebody else was first. Beside them states are
read in every way there is, branches are made and written to, checkpoints and upkeep run. In the end each
account holds what its acknowledged transfers say, to the last one, before and after opening again.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import absdb

ACCOUNTS = 64
MONEY = 1_000
TELLERS = 8
SETTINGS: dict[str, Any] = {
    "wal_segment_size": 65536,
    "page_rows": 32,
    "run_limit": 3,
    "bulk_threshold": 2048,
    "checkpoint_interval": 1,
    "author": "proof",
}


class Bank:
    """One run: what the threads share."""

    def __init__(self, shop: absdb.Instance, seconds: float, seed: int) -> None:
        self.shop = shop
        self.main = shop["main"]
        self.seed = seed
        self.end = time.monotonic() + seconds
        self.failure: BaseException | None = None
        self.counts: Counter[str] = Counter()
        self.mutex = threading.Lock()
        self.balance: Counter[int] = Counter(dict.fromkeys(range(ACCOUNTS), MONEY))
        self.points: list[tuple[absdb.Lsn, int, int]] = []  # (LSN, account, what it held from then on)
        columns = {"id": "int64", "money": "int64", "moves": "int64", "text": "string"}
        with self.main.transaction() as tx:
            for table in ("accounts", "ledger"):
                tx.create_table(table, columns, key="id")
            tx["accounts"].insert([account(number, MONEY, 0) for number in range(ACCOUNTS)])

    def run(self) -> None:
        works = [*[self.teller] * TELLERS, self.reader, self.reader, self.time_traveller]
        works += [self.brancher, self.keeper]
        dice = random.Random(self.seed)
        threads = [
            threading.Thread(target=self.guarded, args=(work, random.Random(dice.random()))) for work in works
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive(), "a thread hangs"
        if self.failure is not None:
            raise self.failure

    def guarded(self, work: Callable[[random.Random], None], dice: random.Random) -> None:
        """Until the time is over or something goes wrong anywhere."""
        try:
            while time.monotonic() < self.end and self.failure is None:
                work(dice)
                with self.mutex:
                    self.counts[work.__name__] += 1
        except BaseException as error:
            self.failure = self.failure or error

    # -- what threads do

    def teller(self, dice: random.Random) -> None:
        """Move money between two accounts, or among many at once by way of a page file."""
        chosen = dice.sample(range(ACCOUNTS), 2 if dice.random() < 0.9 else 40)
        amounts = [dice.randrange(1, 20) for _ in chosen[1:]]
        changes = dict(zip(chosen, [-sum(amounts), *amounts], strict=True))
        while True:
            tx = self.main.transaction()
            try:
                held = {number: tx["accounts"].get(number) for number in chosen}
                rows = [
                    account(number, held[number]["money"] + change, held[number]["moves"] + 1)
                    for number, change in changes.items()
                ]
                if dice.random() < 0.5:
                    tx["accounts"].update(rows)
                else:
                    for row in rows:
                        tx["accounts"].upsert(row)
                lsn = tx.commit()
                break
            except absdb.WriteConflictError:
                with self.mutex:
                    self.counts["conflicts"] += 1
            finally:
                tx.rollback()
        with self.mutex:
            self.balance.update(changes)
            self.points.append((lsn, rows[0]["id"], rows[0]["money"]))

    def reader(self, dice: random.Random) -> None:
        table = self.main["accounts"]
        verify(
            dice.choice(
                [
                    lambda: table.to_arrow().to_pylist(),
                    lambda: table.to_batches().read_all().to_pylist(),
                    lambda: self.within_a_transaction(),
                    lambda: list(table.to_pandas().to_dict("records")),
                ]
            )()
        )

    def within_a_transaction(self) -> list[dict[str, Any]]:
        """One row at a time, others committing in between; and once more all of them."""
        with self.main.transaction() as tx:
            rows = [tx["accounts"].get(number) for number in range(ACCOUNTS)]
            assert tx["accounts"].to_arrow().to_pylist() == rows
        return rows

    def time_traveller(self, dice: random.Random) -> None:
        """A state named by the LSN of a transfer holds what that transfer left."""
        with self.mutex:
            point = dice.choice(self.points) if self.points else None
        if point is not None:
            lsn, number, money = point
            rows = self.main.at(lsn=lsn)["accounts"].to_arrow().to_pylist()
            verify(rows)
            assert rows[number]["money"] == money
            assert self.main.at(lsn=int(lsn))["accounts"].get(number)["money"] == money

    def brancher(self, dice: random.Random) -> None:
        """A branch is a whole state; what is done there stays there."""
        name = f"branch-{dice.randrange(1 << 40)}"
        branch = self.main.branch(name)
        before = branch["accounts"].to_arrow().to_pylist()
        verify(before)
        one, two = dice.sample(before, 2)
        branch["accounts"].update(
            [
                account(one["id"], one["money"] - 5, one["moves"] + 1),
                account(two["id"], two["money"] + 5, two["moves"] + 1),
            ]
        )
        branch.snapshot("moved")
        verify(branch["accounts"].to_arrow().to_pylist())
        branch["accounts"].delete(list(range(ACCOUNTS // 2)))
        assert branch["accounts"].count() == ACCOUNTS // 2
        branch.restore(snapshot="moved")
        verify(branch["accounts"].to_arrow().to_pylist())
        changed = {row["id"] for row in before} - {
            row["id"] for row in branch["accounts"].to_arrow().to_pylist() if row in before
        }
        assert changed == {one["id"], two["id"]}
        if dice.random() < 0.8:
            branch.drop()

    def keeper(self, dice: random.Random) -> None:
        dice.choice([self.shop.checkpoint, self.shop.maintain])()
        time.sleep(dice.uniform(0, 0.05))


def account(number: int, money: int, moves: int) -> dict[str, Any]:
    """A row in which every value tells of the others, so that one put together from two is seen."""
    return {"id": number, "money": money, "moves": moves, "text": f"{number}:{money}:{moves}" * 8}


def verify(rows: list[dict[str, Any]]) -> None:
    """Every account once, each row whole, the same sum as ever."""
    assert [row["id"] for row in rows] == list(range(ACCOUNTS))
    for row in rows:
        assert row == account(row["id"], row["money"], row["moves"])
    assert sum(row["money"] for row in rows) == ACCOUNTS * MONEY


def settle(shop: absdb.Instance, bank: Bank) -> None:
    """After the last transfer: every account holds what it was told, and every state kept is whole."""
    main = shop["main"]
    rows = main["accounts"].to_arrow().to_pylist()
    verify(rows)
    assert {row["id"]: row["money"] for row in rows} == dict(bank.balance)
    for name in shop:
        verify(shop[name]["accounts"].to_arrow().to_pylist())
    for row in shop.snapshots().to_dict("records"):
        verify(shop[row["database"]].at(snapshot=row["name"])["accounts"].to_arrow().to_pylist())
    for lsn, number, money in random.Random(bank.seed).sample(bank.points, min(len(bank.points), 100)):
        past = main.at(lsn=lsn)["accounts"].to_arrow().to_pylist()
        verify(past)
        assert past[number]["money"] == money
    commits = [row for row in main.log().to_dict("records") if "accounts" in row["tables"]]
    assert len(commits) == len(bank.points) + 1
    assert shop.check().query("severity == 'error'").empty, shop.check().to_dict("records")


def play(directory: Path, seconds: float) -> Bank:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    shop = absdb.connect(directory, **SETTINGS)
    try:
        bank = Bank(shop, seconds, seed)
        bank.run()
        print(dict(bank.counts))
        settle(shop, bank)
    finally:
        # Without a checkpoint: what follows comes from the log.
        shop._engine.abandon()
    with absdb.connect(directory, **SETTINGS) as shop:
        settle(shop, bank)
    with absdb.connect(directory, read_only=True) as shop:
        settle(shop, bank)
    return bank


def test_no_money_is_made_or_lost(tmp_path):
    bank = play(tmp_path / "shop", 4)
    assert all(bank.counts[work] for work in ("teller", "reader", "time_traveller", "brancher", "keeper"))


@pytest.mark.deep
def test_no_money_is_made_or_lost_in_a_minute(tmp_path):
    bank = play(tmp_path / "shop", 60)
    assert bank.counts["teller"] > 500
