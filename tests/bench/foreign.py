"""Peers that want an environment of their own: ArcticDB, Delta Lake and doltlite. Run by `python foreign.py`.

A script that imports nothing of absdb, so that it runs in that environment: `foreign.py SYSTEM FRAME CHANGES FOLDER`
with the orders and the changed rows as Parquet files; prints one JSON object a line: work, unit, runs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if sys.argv[1:2] == ["doltlite"]:
    import doltlite  # noqa: F401  # must come before sqlite3: it replaces the library behind it

import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq

COLUMNS = "id INTEGER PRIMARY KEY, user_id, created_at, status, total, quantity, country, note"


def say(work: str, runs: list[float], unit: str = "ms") -> None:
    """One result."""
    print(json.dumps({"work": work, "unit": unit, "runs": runs}), flush=True)


def clock(work: Callable[[], Any], runs: int = 3) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1e3)
    return found


def bytes_of(path: Path) -> float:
    """Megabytes below a path."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def delta(frame: pa.Table, few: pa.Table, folder: Path) -> None:
    """Delta Lake through delta-rs."""
    from deltalake import DeltaTable, write_deltalake

    path = str(folder / "delta")
    say("bulk load, sorted, durable", clock(lambda: write_deltalake(path, frame), 1))
    say("full read to Arrow", clock(lambda: DeltaTable(path).to_pyarrow_table()))
    table = DeltaTable(path)

    def change() -> None:
        merge = table.merge(few, "t.id = s.id", source_alias="s", target_alias="t")
        merge.when_matched_update_all().execute()

    say(f"change {few.num_rows} random rows", clock(change, 2))
    say("full read of a snapshot", clock(lambda: DeltaTable(path, version=0).to_pyarrow_table()))
    say("bytes on disk", [bytes_of(Path(path))], "MB")


def arctic(frame: pa.Table, few: pa.Table, folder: Path) -> None:
    """ArcticDB on LMDB, rows indexed by their id."""
    import arcticdb

    library = arcticdb.Arctic(f"lmdb://{folder / 'arctic'}").create_library("shop")
    pandas = frame.to_pandas().set_index("id")
    pandas["created_at"] = pandas["created_at"].dt.tz_localize(None).astype("datetime64[ns]")
    for name in ("status", "country", "note"):
        pandas[name] = pandas[name].astype(object)
    say("bulk load, sorted, durable", clock(lambda: library.write("orders", pandas), 1))
    say("full read to pandas", clock(lambda: library.read("orders").data))
    say("snapshot", clock(lambda: library.snapshot(f"s{time.perf_counter_ns()}"), 3))
    say("full read of a snapshot, pandas", clock(lambda: library.read("orders", as_of=0).data))
    rows = few.to_pandas().set_index("id")

    def change() -> None:
        # It has no update by key: what is there is read, changed and written as a new version.
        held = library.read("orders").data
        held.loc[rows.index, ["status", "total"]] = rows[["status", "total"]]
        library.write("orders", held)

    say(f"change {few.num_rows} random rows", clock(change, 1))
    say("bytes on disk", [bytes_of(folder / "arctic")], "MB")


def dolt(frame: pa.Table, few: pa.Table, folder: Path) -> None:
    """doltlite: branches and diffs behind SQLite's interface."""
    path = folder / "dolt.db"
    connection = sqlite3.connect(path)
    number = frame.schema.get_field_index("created_at")
    plain = frame.set_column(number, "created_at", frame["created_at"].cast("int64"))
    values = list(zip(*(column.to_pylist() for column in plain.columns)))  # noqa: B905  # columns of one table
    connection.execute(f"CREATE TABLE orders ({COLUMNS})")

    def load() -> None:
        with connection:
            connection.executemany("INSERT INTO orders VALUES (?,?,?,?,?,?,?,?)", values)
        connection.execute("SELECT dolt_commit('-A', '-m', 'load')").fetchall()

    say("bulk load, sorted, durable", clock(load, 1))
    names = iter(range(100))
    say("branch", clock(lambda: connection.execute(f"SELECT dolt_branch('b{next(names)}')").fetchall(), 10))
    pairs = list(zip(few["status"].to_pylist(), few["total"].to_pylist(), few["id"].to_pylist()))  # noqa: B905

    def change() -> None:
        with connection:
            connection.executemany(
                "UPDATE orders SET status = ?, total = total + 1 WHERE id = ?", [(a, c) for a, _, c in pairs]
            )
        connection.execute("SELECT dolt_commit('-A', '-m', 'change')").fetchall()

    say(f"change {few.num_rows} random rows", clock(change, 2))
    diff = "SELECT count(*) FROM dolt_diff_orders('HEAD~1', 'HEAD')"
    say(f"diff, {few.num_rows} rows", clock(lambda: connection.execute(diff).fetchall()))
    _dolt_merges(connection, [a for a, _, _ in pairs], [c for _, _, c in pairs], frame.num_rows)
    keys = iter(range(1, 100_000, 7))
    one = "SELECT * FROM orders WHERE id = ?"
    runs = clock(lambda: connection.execute(one, (next(keys),)).fetchone(), 500)
    say("point lookup, warm", [run * 1e3 for run in runs], "µs")
    connection.close()
    say("bytes on disk", [bytes_of(path)], "MB")


def _dolt_merges(connection: sqlite3.Connection, statuses: list[str], keys: list[int], rows: int) -> None:
    """1,200 other rows changed on each side since the branch was made, in other columns."""

    def commit(column: str, shift: int) -> None:
        with connection:
            connection.executemany(
                f"UPDATE orders SET {column} = ? WHERE id = ?",
                [(f"{s}{shift}", (key + shift) % rows + 1) for s, key in zip(statuses, keys)],  # noqa: B905
            )
        connection.execute(f"SELECT dolt_commit('-A', '-m', '{column} {shift}')").fetchall()

    runs = []
    for number in range(3):
        connection.execute(f"SELECT dolt_branch('m{number}')").fetchall()
        commit("country", number)
        connection.execute(f"SELECT dolt_checkout('m{number}')").fetchall()
        commit("note", number + 7)
        connection.execute("SELECT dolt_checkout('main')").fetchall()
        runs += clock(lambda: connection.execute(f"SELECT dolt_merge('m{number}')").fetchall(), 1)  # noqa: B023
    say(f"merge, {len(keys)} rows on each side", runs)


def main() -> None:
    """Measure one system."""
    system, frame, few, folder = sys.argv[1:]
    work = {"delta": delta, "arctic": arctic, "doltlite": dolt}[system]
    work(pq.read_table(frame), pq.read_table(few), Path(folder))


if __name__ == "__main__":
    main()
