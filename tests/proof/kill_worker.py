"""A process that commits until it is killed; started by test_kill.py, and of no use alone.

    python kill_worker.py DIRECTORY JOURNALS SEED ROUND

Each thread owns rows, branches and snapshots of its own, and keeps a journal outside of the data directory: a
line `begin` with all that an operation will do before it starts, a line `done` once it was acknowledged. What
a line says is in the kernel's hands when the call returns, so a kill cannot take it back. `Belief` is what one
thread's journal says must be there; both sides use it.
"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
import threading
import time
from typing import Any

import pyarrow as pa

import absdb

THREADS = 4
TABLES = ("t", "u")
SETTINGS: dict[str, Any] = {
    "wal_segment_size": 16384,
    "page_rows": 64,
    "run_limit": 3,
    "bulk_threshold": 8192,
    "checkpoint_interval": 1,
    "checkpoint_wal_volume": 65536,
    "author": "proof",
}

Rows = dict[str, dict[int, int]]
"""Of one thread in one database: table -> id -> number."""


class Belief:
    """What one thread knows to be there: its rows by database, and by (database, snapshot)."""

    def __init__(self) -> None:
        self.databases: dict[str, Rows] = {"main": {table: {} for table in TABLES}}
        self.snapshots: dict[tuple[str, str], Rows] = {}

    def copy(self) -> Belief:
        return copy.deepcopy(self)

    def apply(self, operation: dict[str, Any]) -> None:
        """What an operation does, all of it."""
        name = operation["database"]
        match operation["do"]:
            case "branch":
                self.databases[operation["name"]] = copy.deepcopy(self.databases[name])
            case "drop":
                del self.databases[name]
                self.snapshots = {key: rows for key, rows in self.snapshots.items() if key[0] != name}
            case "snapshot":
                self.snapshots[name, operation["name"]] = copy.deepcopy(self.databases[name])
            case "restore":
                self.databases[name] = copy.deepcopy(self.snapshots[name, operation["name"]])
            case _:
                for table, ids, number in operation["puts"]:
                    self.databases[name][table].update(dict.fromkeys(ids, number))
                for table, ids in operation["gone"]:
                    for each in ids:
                        self.databases[name][table].pop(each, None)


def text_of(row: int, number: int) -> str:
    """A value that says to which row and version it belongs, long enough to span sectors."""
    return f"{row}/{number}." * (1 + row % 9)


def rows_of(who: int, ids: list[int], number: int) -> list[dict[str, Any]]:
    return [{"id": each, "who": who, "number": number, "text": text_of(each, number)} for each in ids]


class Client(threading.Thread):
    """One thread of commits. `who` tells its rows from others'."""

    def __init__(self, shop: absdb.Instance, journals: str, who: int, seed: int, run: int) -> None:
        super().__init__(daemon=True)
        self.shop = shop
        self.who = who
        self.dice = random.Random(seed * 1_000_003 + run * 101 + who)
        self.run_number = run
        self.next_id = run * 1_000_000 + who * 200_000
        self.number = 0
        self.journal = os.open(f"{journals}/{who}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.belief = Belief()

    def note(self, *words: Any) -> None:
        os.write(self.journal, (json.dumps(words) + "\n").encode())

    def look(self) -> None:
        """Begin with what is there; the parent has compared it with the journals."""
        for name in self.shop:
            if name == "main" or name.startswith(f"b{self.who}-"):
                self.belief.databases[name] = own_rows(self.shop[name], self.who)

    def run(self) -> None:
        try:
            while True:
                operation = self.choose()
                self.number += 1
                self.note("begin", self.number, operation)
                self.perform(operation)
                self.note("done", self.number)
                self.belief.apply(operation)
        except BaseException as error:
            self.note("error", f"{type(error).__name__}: {error}")
            os._exit(3)

    def choose(self) -> dict[str, Any]:
        dice = self.dice
        name = dice.choice(sorted(self.belief.databases)) if dice.random() < 0.3 else "main"
        rows = self.belief.databases[name]
        number = self.run_number * 100_000 + self.number + 1
        roll = dice.random()
        branches = sorted(set(self.belief.databases) - {"main"})
        if roll < 0.04 and len(branches) < 3:
            return {"do": "branch", "database": name, "name": f"b{self.who}-{number}"}
        if roll < 0.06 and branches:
            return {"do": "drop", "database": dice.choice(branches)}
        if roll < 0.08:
            return {"do": "snapshot", "database": name, "name": f"s{self.who}-{number}"}
        own = [key for key in self.belief.snapshots if key[0] == name and name != "main"]
        if roll < 0.11 and own:  # only of branches: main belongs to all threads
            return {"do": "restore", "database": name, "name": dice.choice(sorted(own))[1]}
        write = {"do": "write", "database": name, "puts": [], "gone": []}
        if roll < 0.45:
            write["puts"].append(["t", self.fresh(dice.randrange(1, 8)), number])
        elif roll < 0.6 and rows["t"]:
            write["puts"].append(["t", dice.sample(sorted(rows["t"]), min(len(rows["t"]), 20)), number])
        elif roll < 0.7 and rows["t"]:
            most = len(rows["t"]) // 2 if len(rows["t"]) > 2_000 else 10
            write["gone"].append(["t", dice.sample(sorted(rows["t"]), min(len(rows["t"]), most))])
        elif roll < 0.78:
            write["puts"].append(["t", self.fresh(dice.randrange(200, 500)), number])
        else:  # several tables and verbs in one transaction
            new = self.fresh(dice.randrange(1, 200))
            write["puts"] += [["t", new, number], ["u", new, number]]
            write["gone"].append(["u", dice.sample(sorted(rows["u"]), len(rows["u"]) // 2)])
        return write

    def fresh(self, count: int) -> list[int]:
        first = self.next_id
        self.next_id += count
        return list(range(first, self.next_id))

    def perform(self, operation: dict[str, Any]) -> None:
        database = self.shop[operation["database"]]
        match operation["do"]:
            case "branch":
                database.branch(operation["name"])
            case "drop":
                database.drop()
            case "snapshot":
                database.snapshot(operation["name"])
            case "restore":
                database.restore(snapshot=operation["name"])
            case _:
                with database.transaction() as tx:
                    for table, ids, number in operation["puts"]:
                        rows = rows_of(self.who, ids, number)
                        tx[table].upsert(pa.Table.from_pylist(rows) if len(ids) > 100 else rows)
                    for table, ids in operation["gone"]:
                        tx[table].delete(ids)


def own_rows(database: absdb.Database, who: int) -> Rows:
    """A thread's rows in a database; a row that is not whole is an error."""
    found: Rows = {}
    for table in TABLES:
        content = database[table].to_arrow().to_pylist()
        for row in content:
            assert row["text"] == text_of(row["id"], row["number"]), row
        found[table] = {row["id"]: row["number"] for row in content if row["who"] == who}
    return found


def main(directory: str, journals: str, seed: int, run: int) -> None:
    shop = absdb.connect(directory, **SETTINGS)
    columns = {"id": "int64", "who": "int64", "number": "int64", "text": "string"}
    for table in TABLES:
        shop["main"].create_table(table, columns, key="id", if_exists="skip")
    clients = [Client(shop, journals, who, seed, run) for who in range(THREADS)]
    for client in clients:
        client.look()
    print("ready", flush=True)
    for client in clients:
        client.start()
    dice = random.Random(seed + run)
    parent = os.getppid()
    while os.getppid() == parent:  # nobody is left behind by a run that was stopped
        time.sleep(dice.uniform(0, 0.2))
        dice.choice([shop.checkpoint, shop.maintain])()
    os._exit(4)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
