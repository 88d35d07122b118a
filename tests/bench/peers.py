"""The same works on what people use today: SQLite, DuckDB, and Parquet files copied per branch."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from absdb.testing.orders import changed, orders
from tests.bench.commits import rate_of
from tests.bench.harness import Report, stopwatch, timed

CHANGED = 1200
COLUMNS = "id INTEGER PRIMARY KEY, user_id, created_at, status, total, quantity, country, note"


def run_tables(report: Report, folder: Path, rows: int) -> None:
    """Load, read, change and branch a table of `rows` orders."""
    frame = orders(rows)
    place = folder / "peers"
    place.mkdir()
    _parquet(report, place, frame)
    _duckdb(report, place, frame)
    _sqlite_table(report, place, frame)
    shutil.rmtree(place)


def run_commits(report: Report, folder: Path) -> None:
    """One-row durable commits of SQLite: WAL mode, synchronous=FULL, one connection a thread."""
    path = folder / "commits.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"CREATE TABLE orders ({COLUMNS})")
    for threads in (1, 16, 64):
        local = threading.local()

        def insert(number: int) -> None:
            if not hasattr(local, "connection"):  # noqa: B023  # used before the next round
                local.connection = sqlite3.connect(path, timeout=60, isolation_level=None)  # noqa: B023
                local.connection.execute("PRAGMA synchronous = FULL")  # noqa: B023
            values = (number, 5, 1, "paid", 1.5, 3, "DE", "hello")
            local.connection.execute("INSERT INTO orders VALUES (?,?,?,?,?,?,?,?)", values)  # noqa: B023

        report.add(f"one-row commits, {threads} threads", "SQLite", 1, [rate_of(threads, insert)], unit="1/s")


def run_comparisons(report: Report, folder: Path, rows: int) -> None:
    """Which rows of two full copies differ, 1,200 of them: pandas, and DuckDB over Parquet files."""
    frame = orders(rows)
    few = changed(frame, CHANGED, seed=1)
    after = pa.concat_tables([frame.filter(pc.invert(pc.is_in(frame["id"], few["id"]))), few]).sort_by("id")
    one, other = folder / "one.parquet", folder / "other.parquet"
    pq.write_table(frame, one)
    pq.write_table(after, other)

    def in_pandas() -> None:
        a, b = (pq.read_table(path).to_pandas().set_index("id") for path in (one, other))
        a.compare(b)

    columns = "user_id, created_at, status, total, quantity, country, note"
    query = (
        f"SELECT count(*) FROM '{one}' a FULL JOIN '{other}' b USING (id) "
        f"WHERE (a.{columns.replace(', ', ', a.')}) IS DISTINCT FROM (b.{columns.replace(', ', ', b.')})"
    )
    report.add(f"diff, {CHANGED} rows", "pandas", rows, timed(in_pandas, warm=0, runs=1))
    report.add(
        f"diff, {CHANGED} rows", "DuckDB, files", rows, timed(lambda: duckdb.sql(query).fetchall(), runs=2)
    )
    one.unlink()
    other.unlink()


def _parquet(report: Report, folder: Path, frame: pa.Table) -> None:
    path, rows, runs = folder / "orders.parquet", frame.num_rows, list[float]()
    for _ in range(3):
        with stopwatch(runs):
            pq.write_table(frame, path)
            fd = os.open(path, os.O_RDWR)
            os.fsync(fd)
            os.close(fd)
    report.add("bulk load, sorted, durable", "Parquet", rows, runs)
    report.add("full read to Arrow", "Parquet", rows, timed(lambda: pq.read_table(path), runs=3))
    report.add(
        "branch", "Parquet", rows, timed(lambda: shutil.copyfile(path, folder / "copy.parquet"), runs=3)
    )
    report.add("bytes on disk", "Parquet", rows, [path.stat().st_size / 1e6], unit="MB")


def _duckdb(report: Report, folder: Path, frame: pa.Table) -> None:
    path, rows, runs = folder / "orders.duckdb", frame.num_rows, list[float]()
    for _ in range(2):
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as con:
            con.register("frame", frame)
            con.execute(
                "CREATE TABLE orders (id BIGINT PRIMARY KEY, user_id BIGINT, created_at TIMESTAMPTZ, status TEXT, "
                "total DOUBLE, quantity INTEGER, country TEXT, note TEXT)"
            ).fetchall()
            with stopwatch(runs):
                con.execute("INSERT INTO orders SELECT * FROM frame").fetchall()
                con.execute("CHECKPOINT").fetchall()
    report.add("bulk load, sorted, durable", "DuckDB", rows, runs)
    with duckdb.connect(str(path)) as con:
        report.add(
            "full read to Arrow",
            "DuckDB",
            rows,
            timed(lambda: con.sql("FROM orders").to_arrow_table(), runs=3),
        )
        few = changed(frame, CHANGED, seed=1)
        con.register("few", few)

        def change() -> None:
            con.execute(
                "UPDATE orders SET status = few.status, total = few.total FROM few WHERE orders.id = few.id"
            ).fetchall()

        report.add(f"change {CHANGED} random rows", "DuckDB", rows, timed(change, runs=3))
        keys = iter(range(1, 10_000, 7))
        # Without created_at, for which DuckDB wants another package.
        query = "SELECT id, user_id, status, total, quantity, country, note FROM orders WHERE id = ?"
        runs = [one * 1e3 for one in timed(lambda: con.execute(query, [next(keys)]).fetchall(), runs=200)]
        report.add("point lookup, warm", "DuckDB", rows, runs, unit="µs")
    report.add("bytes on disk", "DuckDB", rows, [path.stat().st_size / 1e6], unit="MB")


def _sqlite_table(report: Report, folder: Path, frame: pa.Table) -> None:
    path, rows, runs = folder / "orders.sqlite", frame.num_rows, list[float]()
    number = frame.schema.get_field_index("created_at")
    plain = frame.set_column(number, "created_at", frame["created_at"].cast("int64"))
    values = list(zip(*(column.to_pylist() for column in plain.columns), strict=True))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"CREATE TABLE orders ({COLUMNS})")
    with stopwatch(runs), connection:
        connection.executemany("INSERT INTO orders VALUES (?,?,?,?,?,?,?,?)", values)
    report.add("bulk load, sorted, durable", "SQLite", rows, runs)
    few = changed(frame, CHANGED, seed=1)
    pairs = list(zip(few["status"].to_pylist(), few["total"].to_pylist(), few["id"].to_pylist(), strict=True))

    def change() -> None:
        with connection:
            connection.executemany("UPDATE orders SET status = ?, total = ? WHERE id = ?", pairs)

    report.add(f"change {CHANGED} random rows", "SQLite", rows, timed(change, runs=3))
    keys = iter(range(1, 100_000, 7))
    runs = [
        one * 1e3
        for one in timed(
            lambda: connection.execute("SELECT * FROM orders WHERE id = ?", (next(keys),)).fetchone(),
            runs=500,
        )
    ]
    report.add("point lookup, warm", "SQLite", rows, runs, unit="µs")
    connection.close()
    report.add("bytes on disk", "SQLite", rows, [path.stat().st_size / 1e6], unit="MB")
