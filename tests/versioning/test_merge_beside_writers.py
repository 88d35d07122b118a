"""Merges go on beside writers of both sides: nothing is lost, nothing counts twice, and readers see whole merges."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import absdb

KEYS = 8
ROUNDS = 60


def count_up(database: absdb.Database, seed: int, done: list[int]) -> None:
    """Add one to a counter, `ROUNDS` times, each as a commit that reads what it changes."""
    chance = random.Random(seed)
    for _ in range(ROUNDS):
        key = chance.randrange(KEYS)
        database.sql("UPDATE counters SET n = n + 1 WHERE id = ?", [key])
        done[key] += 1


def together(*work: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_counters_of_both_sides_add_up(tmp_path):
    """With the policy `sum` both sides' changes count, and each once, however often they are merged meanwhile."""
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        main.create_table(
            "counters", {"id": list(range(KEYS)), "n": [0] * KEYS, "pair": [0] * KEYS}, key="id"
        )
        main["counters"].set_merge_policy(n="sum")
        branch = main.branch("branch")
        mine, theirs = [0] * KEYS, [0] * KEYS
        over = threading.Event()

        def write() -> None:
            together(lambda: count_up(main, 1, mine), lambda: count_up(branch, 2, theirs))
            over.set()

        def merge() -> None:
            while not over.is_set():
                main.merge(branch)
                branch.merge(main)

        together(write, merge)
        main.merge(branch)
        branch.merge(main)
        expected = [a + b for a, b in zip(mine, theirs, strict=True)]
        assert main["counters"].to_pandas()["n"].tolist() == expected
        assert branch["counters"].to_pandas()["n"].tolist() == expected


def test_a_reader_sees_a_merge_whole_or_not_at_all(tmp_path):
    with absdb.connect(tmp_path / "shop") as shop:
        main = shop["main"]
        main.create_table("a", {"id": [1], "n": [0]}, key="id")
        main.create_table("b", {"id": [1], "n": [0]}, key="id")
        branch = main.branch("branch")
        over = threading.Event()

        def merge() -> None:
            for number in range(1, 40):
                with branch.transaction() as tx:
                    tx["a"].update({"id": 1, "n": number})
                    tx["b"].update({"id": 1, "n": number})
                main.merge(branch, squash=bool(number % 2))
            over.set()

        def read() -> None:
            while not over.is_set():
                a, b = main.sql("SELECT a.n, b.n FROM a, b").fetchall()[0]
                assert a == b

        together(merge, read)
        assert main["a"].get(1)["n"] == 39
