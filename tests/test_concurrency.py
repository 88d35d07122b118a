"""Many threads and processes at one instance: no lost update, no half commit, no reader that waits or errs.

The invariant of the bank: money moves between accounts, and every state anybody can see holds the same sum.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

import absdb

ROOT = Path(__file__).resolve().parents[1]
THREADS = 8


@pytest.fixture(params=["memory", "disk"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[absdb.Instance]:
    where = ":memory:" if request.param == "memory" else tmp_path / "shop"
    with absdb.connect(where, wal_segment_size="64 KiB", page_rows=64, checkpoint_interval=1) as shop:
        yield shop


def together(*works: Callable[[], object]) -> list[object]:
    """What each gives, all begun at one moment; the first error is raised."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], object]) -> object:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result() for future in [pool.submit(begin, work) for work in works]]


def again(work: Callable[[], None]) -> int:
    """Run a transaction until nobody else was first; how often it had to be run again."""
    for attempt in range(10_000):
        try:
            work()
            return attempt
        except absdb.WriteConflictError:
            time.sleep(random.uniform(0, 0.001))
    raise AssertionError("it never came through")


def test_inserts_of_many_threads_are_all_there(shop):
    table = shop["main"].create_table("t", {"id": "int64", "who": "int64"}, key="id")

    def insert(who: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(40):
                table.insert({"id": who * 1_000 + number, "who": who})
            table.insert([{"id": who * 1_000 + 500 + number, "who": who} for number in range(200)])
            table.insert(pa.table({"id": range(who * 1_000 + 800, who * 1_000 + 900), "who": [who] * 100}))

        return work

    together(*(insert(who) for who in range(THREADS)))
    found = table.to_pandas()
    assert len(found) == table.count() == THREADS * 340
    assert (found.groupby("who").size() == 340).all()
    assert len(shop["main"].log()) == 1 + THREADS * 42
    assert len(shop.check()) == 0


def test_only_one_of_many_gets_a_key(shop):
    table = shop["main"].create_table("t", {"id": "int64", "who": "int64"}, key="id")

    lost: list[bool] = []

    def claim(who: int) -> Callable[[], int]:
        def work() -> int:
            won = 0
            for number in range(20):
                try:
                    won += table.insert({"id": number, "who": who})
                except absdb.ConstraintError as error:
                    lost.append(error.keys == [(number,)])
            return won

        return work

    assert sum(together(*(claim(who) for who in range(THREADS)))) == 20
    assert lost == [True] * 20 * (THREADS - 1)
    assert table.count() == 20


def test_no_update_is_lost(shop):
    """Each thread counts up one row in transactions; the row ends at the sum of all."""
    main = shop["main"]
    main.create_table("t", [{"id": 1, "n": 0}], key="id")

    def count() -> int:
        def step() -> None:
            with main.transaction() as tx:
                row = tx["t"].get(1)
                tx["t"].update({"id": 1, "n": row["n"] + 1})

        return sum(again(step) for _ in range(15))

    together(*[count] * THREADS)
    assert main["t"].get(1)["n"] == 15 * THREADS
    assert sorted(main["t"].history(1)["n"]) == list(range(15 * THREADS + 1))


def test_verbs_on_one_row_run_again_by_themselves(shop):
    """A single verb that loses against another is tried again, so that callers see no conflict."""
    table = shop["main"].create_table("t", [{"id": 1, **{f"c{n}": 0 for n in range(THREADS)}}], key="id")

    def write(who: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(1, 16):
                assert table.update({"id": 1, f"c{who}": number}) == 1

        return work

    together(*(write(who) for who in range(THREADS)))
    assert table.get(1) == {"id": 1, **{f"c{n}": 15 for n in range(THREADS)}}
    assert len(shop["main"].log()) == 1 + 15 * THREADS


def test_a_change_of_all_rows_comes_through_between_writers_that_never_pause(tmp_path):
    with absdb.connect(tmp_path / "shop", checkpoint_interval=1) as shop:
        change_beside_writers(shop)


def change_beside_writers(shop: absdb.Instance) -> None:
    rows = pa.table({"id": range(5_000), "n": [0] * 5_000, "v": range(5_000)})
    table = shop["main"].create_table("t", rows, key="id")
    other = shop.create_database("other").create_table("t", {"id": "int64"}, key="id")
    stop = threading.Event()
    written = [0] * 4

    def write(who: int) -> Callable[[], None]:
        def work() -> None:
            while not stop.is_set():
                written[who] += 1
                table.update({"id": who, "n": written[who]})

        return work

    def change() -> None:
        try:
            while not all(written):
                time.sleep(0.001)
            table.retype_column("v", "string", using="'v' || v")
            table.add_constraint(absdb.Check("n >= 0", name="counted"))
            table.alter_column("v", nullable=False)
            other.insert({"id": 1})
        finally:
            stop.set()

    together(change, *(write(who) for who in range(4)))
    assert [row["n"] for row in table.head(4).to_dict("records")] == written
    assert table.to_arrow()["v"].to_pylist() == [f"v{number}" for number in range(5_000)]
    assert table.constraints()["name"].tolist() == ["t_key", "counted"]
    assert len(shop.check()) == 0


def test_who_is_held_back_goes_on_when_the_holder_has_failed(shop):
    table = shop["main"].create_table("t", {"id": "int64", "n": "int64"}, key="id")
    table.insert({"id": 1, "n": 0})
    engine = shop._engine
    database = shop["main"]._scope.database
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with suppress(ValueError), engine.turnstile.hold(database):
            table.update({"id": 1, "n": 1})  # its own commits pass
            held.set()
            assert not done.wait(0.05), "the other one did not wait"
            raise ValueError

    def write() -> None:
        held.wait()
        shop.create_database("free").create_table("t", {"id": "int64"}, key="id")
        assert table.count() == 1
        table.update({"id": 1, "n": 2})
        done.set()

    together(hold, write)
    assert table.get(1) == {"id": 1, "n": 2}


def test_a_stream_is_not_read_twice(shop):
    """A verb that lost has used up its stream; it must not be tried again with what is left of it."""
    main = shop["main"]
    table = main.create_table("t", [{"id": 1, "n": 0}], key="id")

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"id": [1], "n": [5]})
        table.update({"id": 1, "n": 7})

    schema = pa.schema([("id", pa.int64()), ("n", pa.int64())])
    with pytest.raises(absdb.WriteConflictError, match="key 1"):
        table.upsert(pa.RecordBatchReader.from_batches(schema, batches()))
    assert table.get(1)["n"] == 7


def test_constraints_hold_between_threads(shop):
    main = shop["main"]
    main.create_table(
        "users", {"id": "int64", "email": "string"}, key="id", constraints=[absdb.Unique("email")]
    )
    main.create_table(
        "orders",
        {"id": "int64", "user_id": "int64"},
        key="id",
        constraints=[absdb.ForeignKey("user_id", "users")],
    )
    main["users"].insert([{"id": user, "email": f"{user}"} for user in range(THREADS)])

    def register(who: int) -> Callable[[], None]:
        def work() -> None:
            for number in range(8):
                with_errors(
                    lambda number=number: main["users"].insert(
                        {"id": who * 100 + 50 + number, "email": f"new{number}"}
                    )
                )
                with_errors(
                    lambda number=number: main["orders"].insert({"id": who * 100 + number, "user_id": number})
                )
                with_errors(lambda number=number: main["users"].delete(number))

        return work

    def with_errors(work: Callable[[], object]) -> None:
        with suppress(absdb.ConstraintError, absdb.WriteConflictError):
            work()

    together(*(register(who) for who in range(THREADS)))
    users = main["users"].to_pandas()
    assert users["email"].is_unique
    assert set(main["orders"].to_pandas()["user_id"]) <= set(users["id"])


def test_identities_of_threads_and_branches_never_meet(shop):
    main = shop["main"]
    columns = {"id": absdb.Column("id", "int64", identity=True)}
    main.create_table("t", {"who": "string"}, columns=columns, key="id")
    databases = [main, main.branch("a"), main.branch("b")]

    def insert(database: absdb.Database) -> Callable[[], None]:
        def work() -> None:
            for number in range(30):
                database["t"].insert({"who": database.name} if number % 2 else [{"who": database.name}] * 150)

        return work

    together(*(insert(database) for database in databases for _ in range(2)))
    ids = [set(database["t"].to_arrow()["id"].to_pylist()) for database in databases]
    assert [len(each) for each in ids] == [2 * 15 * 151] * 3
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]
    assert not ids[1] & ids[2]


def test_branches_restores_and_schema_changes_beside_writers(shop):
    main = shop["main"]
    main.create_table("t", [{"id": 0, "n": 0}], key="id")
    main.snapshot("start")
    stop = threading.Event()

    def write() -> int:
        done = 0
        while not stop.is_set():
            with suppress(absdb.WriteConflictError):
                done += main["t"].upsert({"id": random.randrange(50), "n": done})
        return done

    def change() -> None:
        try:
            for number in range(6):
                main.branch(f"b{number}")["t"].insert({"id": 1_000, "n": number})
                main["t"].add_column(f"c{number}", "int64", default=number)
                main.snapshot(f"s{number}")
                shop.checkpoint()
                shop.maintain()
                main.restore(snapshot=f"s{number}" if number % 2 else "start")
                shop.drop_database(f"b{number}")
        finally:
            stop.set()

    done = together(write, write, write, change)
    assert all(count for count in done[:3])
    assert len(shop.check()) == 0
    assert main.at(snapshot="s5")["t"].schema.names[-1] == "c5"


def test_listings_and_upkeep_beside_databases_that_come_and_go(shop):
    main = shop["main"]
    main.create_table("t", [{"id": n} for n in range(200)], key="id")
    end = time.monotonic() + 1.5

    def come_and_go(name: str) -> Callable[[], int]:
        def work() -> int:
            done = 0
            while time.monotonic() < end:
                branch = main.branch(name)
                branch["t"].insert({"id": 1_000})
                branch.snapshot("s")
                branch.drop()
                done += 1
            return done

        return work

    def repeatedly(*verbs: Callable[[], object]) -> Callable[[], int]:
        def work() -> int:
            done = 0
            while time.monotonic() < end:
                for verb in verbs:
                    verb()
                done += 1
            return done

        return work

    look = repeatedly(
        shop.databases, shop.branches, shop.snapshots, shop.pins, shop.stats, main.log, main.tables
    )
    keep = repeatedly(shop.checkpoint, shop.maintain)
    assert all(together(come_and_go("a"), come_and_go("b"), come_and_go("c"), look, keep))
    assert set(shop.check()["severity"]) <= {"remark"}


def bank(shop: absdb.Instance, seconds: float) -> tuple[int, int]:
    """Transfers of some threads, seen by others in every way there is; (transfers, looks)."""
    main = shop["main"]
    accounts, total = 20, 20 * 100
    main.create_table("accounts", [{"id": n, "money": 100} for n in range(accounts)], key="id")
    end = time.monotonic() + seconds
    lsns: list[absdb.Lsn] = [main.lsn]

    def transfer(seed: int) -> Callable[[], int]:
        dice = random.Random(seed)

        def move() -> None:
            one, two = dice.sample(range(accounts), 2)
            with main.transaction() as tx:
                table, amount = tx["accounts"], dice.randrange(1, 50)
                source, target = table.get(one), table.get(two)
                table.update({"id": one, "money": source["money"] - amount})
                table.update([{"id": two, "money": target["money"] + amount}])
            if tx.lsn is not None:
                lsns.append(tx.lsn)

        def work() -> int:
            done = 0
            while time.monotonic() < end:
                again(move)
                done += 1
            return done

        return work

    def look() -> int:
        done = 0
        while time.monotonic() < end:
            looks: list[Callable[[], pa.Table]] = [
                lambda: main["accounts"].to_arrow(),
                lambda: main["accounts"].to_batches().read_all(),
                lambda: main.at(lsn=random.choice(lsns))["accounts"].to_arrow(),
                lambda: main.branch(f"look{threading.get_ident()}-{time.monotonic_ns()}")[
                    "accounts"
                ].to_arrow(),
                lambda: main.transaction()["accounts"].to_arrow(),
            ]
            found = random.choice(looks)()
            assert (found.num_rows, sum(found["money"].to_pylist())) == (accounts, total)
            done += 1
        return done

    def tidy() -> int:
        while time.monotonic() < end:
            shop.checkpoint()
            shop.maintain()
            for name in shop:
                if name.startswith("look"):
                    shop.drop_database(name)
            time.sleep(0.05)
        return 0

    done = together(*(transfer(seed) for seed in range(4)), look, look, look, tidy)
    sample = random.sample(lsns, min(len(lsns), 200))
    for lsn in sample:
        found = main.at(lsn=lsn)["accounts"].to_arrow()
        assert (found.num_rows, sum(found["money"].to_pylist())) == (accounts, total)
    assert set(shop.check()["severity"]) <= {"remark"}
    return sum(done[:4]), sum(done[4:])


def test_the_bank_never_loses_money(shop):
    transfers, looks = bank(shop, 2)
    assert transfers > 20
    assert looks > 20


@pytest.mark.deep
def test_the_bank_never_loses_money_in_a_minute(shop):
    transfers, looks = bank(shop, 60)
    assert transfers > 1_000
    assert looks > 1_000


def test_a_reader_in_another_process_sees_whole_commits_only(tmp_path):
    path = tmp_path / "shop"
    with absdb.connect(path, wal_segment_size="64 KiB", page_rows=64) as shop:
        main = shop["main"]
        main.create_table("accounts", [{"id": n, "money": 100} for n in range(10)], key="id")
        script = f"""
            import absdb
            shop = absdb.connect({str(path)!r}, read_only=True)
            table = shop["main"]["accounts"]
            last = looks = 0
            print("ready", flush=True)
            while table.get(0)["money"] > 0:
                lsn = shop.refresh()
                assert lsn >= last
                last, looks = lsn, looks + 1
                found = table.to_arrow()
                assert (found.num_rows, sum(found["money"].to_pylist())) == (10, 1000), found
            print(looks)
        """
        reader = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for number in range(100):
            with main.transaction() as tx:
                table, other = tx["accounts"], 1 + number % 9
                table.update({"id": 0, "money": table.get(0)["money"] - 1})
                table.update({"id": other, "money": table.get(other)["money"] + 1})
            if number % 20 == 10:
                shop.checkpoint()
                shop.maintain()
        out, _ = reader.communicate(timeout=60)
        assert reader.returncode == 0
        assert int(out) >= 1
