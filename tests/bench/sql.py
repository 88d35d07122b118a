"""SQL: TPC-H beside DuckDB's own tables, and statements by key on one large table.

Runs of the two systems alternate, so that what else the machine does strikes both; `ratio` is that of the medians.
The generator `tpchgen-cli` (from PyPI) makes the TPC-H tables.
"""

from __future__ import annotations

import math
import random
import shutil
import statistics
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import absdb
from absdb.testing.orders import orders
from tests.bench.harness import Report, stopwatch, timed
from tests.sql.tpch_queries import KEYS, QUERIES

SYSTEM, PEER = "absdb", "duckdb"
ROUNDS = 7
CHANGED = 1000
SECONDS = 3.0
GROUP_BY = "SELECT country, status, count(*), sum(total), avg(quantity) FROM orders GROUP BY ALL ORDER BY ALL"
FILTER = "SELECT count(*), sum(total) FROM orders WHERE quantity = 3 AND country = 'DE' AND total > 100"


def run(report: Report, folder: Path, rows: int) -> None:
    """Statements on a table of `rows` orders."""
    path, frame = folder / "sql", orders(rows)
    peer = duckdb.connect(folder / "peer.duckdb")
    peer.execute("CREATE TABLE orders AS FROM frame").fetchall()
    with absdb.connect(path) as shop:
        shop["main"].create_table("orders", frame, key="id")
    with absdb.connect(path) as shop, shop["main"].session() as session:
        _overhead(report, session, peer)
        for work, text in (("GROUP BY", GROUP_BY), ("aggregate with a filter", FILTER)):
            _beside(report, work, rows, _asked(session.sql, text), _own(peer, text))
        _by_key(report, session, peer, rows)
        _updates(report, shop["main"], rows)
    with absdb.connect(path, wal_sync_mode="nosync") as shop:
        _inserts(report, shop["main"], rows)
    peer.close()
    shutil.rmtree(path)
    (folder / "peer.duckdb").unlink()


def run_tpch(report: Report, folder: Path, scale: float) -> None:
    """The 22 queries: first touch after opening, then alternating; also on a branch with changes of its own."""
    made, path = folder / "tpch", folder / "tpch-shop"
    generator = Path(sysconfig.get_path("scripts")) / "tpchgen-cli"
    command = [generator, "parquet", "-s", str(scale), "--output-dir", made]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    peer = duckdb.connect(folder / "tpch.duckdb")
    _load(report, made, path, peer)
    with absdb.connect(path) as shop:
        _queries(report, f"TPC-H {scale:g}", shop["main"], peer)
        branch = shop["main"].branch("branch")
        for text in (
            "UPDATE lineitem SET l_quantity = l_quantity + 1 WHERE l_orderkey % 1000 = 1",
            "DELETE FROM orders WHERE o_orderkey % 1000 = 33",
        ):
            branch.sql(text)
            peer.execute(text).fetchall()
        _queries(report, f"TPC-H {scale:g}, changed branch", branch, peer)
    peer.close()
    shutil.rmtree(path)
    shutil.rmtree(made)
    (folder / "tpch.duckdb").unlink()


def _load(report: Report, made: Path, path: Path, peer: duckdb.DuckDBPyConnection) -> None:
    """Each table from Arrow in memory, with its key; durable in both systems."""
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    rows = {}
    with absdb.connect(path) as shop:
        for table, key in KEYS.items():
            frame = pq.read_table(made / f"{table}.parquet")
            rows[table] = frame.num_rows
            with stopwatch(ours.setdefault(table, [])):
                shop["main"].create_table(table, frame, key=key)
            with stopwatch(theirs.setdefault(table, [])):
                peer.execute(f"CREATE TABLE {table} AS FROM frame").fetchall()
                peer.execute("CHECKPOINT").fetchall()
    for system, found in ((SYSTEM, ours), (PEER, theirs)):
        report.add("TPC-H load of lineitem", system, rows["lineitem"], found["lineitem"])
        total = sum(runs[0] for runs in found.values())
        report.add("TPC-H load of all tables", system, sum(rows.values()), [total])


def _queries(report: Report, work: str, ours: absdb.Database, peer: duckdb.DuckDBPyConnection) -> None:
    ratios = []
    for number, text in QUERIES.items():
        name = f"{work}, query {number}"
        ratios.append(_beside(report, name, 0, _asked(ours.sql, text), _own(peer, text)))
    mean = math.exp(statistics.fmean(map(math.log, ratios)))
    worst = max(ratios)
    query = list(QUERIES)[ratios.index(worst)]
    report.add(f"{work}, geometric mean", SYSTEM, 0, [mean], unit="x", worst=round(worst, 2), query=query)


def _asked(sql: Callable[..., Any], text: str) -> Callable[[], Any]:
    return lambda: sql(text).to_arrow()


def _own(peer: duckdb.DuckDBPyConnection, text: str) -> Callable[[], Any]:
    return lambda: peer.sql(text).to_arrow_table()


def _beside(
    report: Report, work: str, rows: int, ours: Callable[[], Any], theirs: Callable[[], Any]
) -> float:
    """Both in turns; the ratio of the medians. The first call of each is reported, but is no run."""
    first = timed(ours, runs=1, warm=0)[0]
    theirs()
    mine: list[float] = []
    others: list[float] = []
    for _ in range(ROUNDS):
        with stopwatch(mine):
            ours()
        with stopwatch(others):
            theirs()
    ratio = statistics.median(mine) / statistics.median(others)
    report.add(work, PEER, rows, others)
    report.add(work, SYSTEM, rows, mine, first=round(first, 1), ratio=round(ratio, 2))
    return ratio


def _overhead(report: Report, session: Any, peer: duckdb.DuckDBPyConnection) -> None:
    """An empty query, to tuples: what comes on top of DuckDB's own."""
    mine: list[float] = []
    others: list[float] = []
    for _ in range(300):
        with stopwatch(mine):
            session.sql("SELECT 1").fetchall()
        with stopwatch(others):
            peer.sql("SELECT 1").fetchall()
    report.add("empty query", PEER, 0, others[20:])
    over = statistics.median(mine[20:]) - statistics.median(others[20:])
    report.add("empty query", SYSTEM, 0, mine[20:], overhead_ms=round(over, 3))


def _by_key(report: Report, session: Any, peer: duckdb.DuckDBPyConnection, rows: int) -> None:
    """One row by its key: the same statement with another parameter, and a new statement each time."""
    chosen = random.Random(1)
    texts: dict[str, Callable[[int], Any]] = {
        "look-up by key, parameter": lambda key: session.sql("SELECT * FROM orders WHERE id = ?", [key]),
        "look-up by key, literal": lambda key: session.sql(f"SELECT * FROM orders WHERE id = {key}"),
    }
    for work, look_up in texts.items():
        runs: list[float] = []
        for _ in range(300):
            key = chosen.randrange(1, rows)
            with stopwatch(runs):
                found = look_up(key).fetchall()
            assert found[0][0] == key
        report.add(work, SYSTEM, rows, runs[20:])
    own = timed(
        lambda: peer.sql(f"SELECT * FROM orders WHERE id = {chosen.randrange(1, rows)}").to_arrow_table(),
        runs=30,
    )
    report.add("look-up by key, literal", PEER, rows, own)


def _updates(report: Report, main: absdb.Database, rows: int) -> None:
    """1,000 rows by key, one commit: keys as literals, and with a frame; and what Python's own verb takes."""
    chosen = random.Random(2)
    listed: list[float] = []
    joined: list[float] = []
    direct: list[float] = []
    for number in range(12):
        keys = chosen.sample(range(1, rows), CHANGED)
        text = f"UPDATE orders SET status = 'x{number}' WHERE id IN ({', '.join(map(str, keys))})"
        with stopwatch(listed):
            assert main.sql(text).rowcount == CHANGED
        changes = pa.table({"id": chosen.sample(range(1, rows), CHANGED), "status": [f"y{number}"] * CHANGED})
        with stopwatch(joined):
            text = "UPDATE orders SET status = changes.status FROM changes WHERE orders.id = changes.id"
            assert main.sql(text).rowcount == CHANGED
        changes = pa.table({"id": chosen.sample(range(1, rows), CHANGED), "status": [f"z{number}"] * CHANGED})
        with stopwatch(direct):
            main["orders"].update(changes)
    report.add(f"UPDATE of {CHANGED} rows, IN list", SYSTEM, rows, listed[2:])
    report.add(f"UPDATE of {CHANGED} rows, FROM frame", SYSTEM, rows, joined[2:])
    report.add(f"update of {CHANGED} rows from Python", SYSTEM, rows, direct[2:])


def _inserts(report: Report, main: absdb.Database, rows: int) -> None:
    """`INSERT … VALUES` of one row with parameters, over and over, without sync, on one thread."""
    row = main["orders"].get(1)
    assert row is not None
    text = f"INSERT INTO orders ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    with main.session() as session:
        for work, insert in (
            ("INSERT of one row, session", session.sql),
            ("INSERT of one row, database", main.sql),
        ):
            count, start = 0, time.perf_counter()
            first = 10 * rows if insert == session.sql else 20 * rows
            while time.perf_counter() - start < SECONDS:
                insert(text, list({**row, "id": first + count}.values()))
                count += 1
            report.add(work, SYSTEM, rows, [count / (time.perf_counter() - start)], unit="1/s")
