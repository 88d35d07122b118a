"""absdb on one large table: load, change, read, look up, recover."""

from __future__ import annotations

import gc
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

import absdb
from absdb.testing.orders import changed, orders
from tests.bench.harness import Report, stopwatch, timed, tree_bytes

SYSTEM = "absdb"
CHANGED = 1200


def run(report: Report, folder: Path, rows: int) -> None:
    """Every work on a table of `rows` orders, in a fresh instance."""
    path = folder / "shop"
    frame = orders(rows)
    shop, main = _load(report, path, frame)
    main.snapshot("loaded")
    _changing(report, main, rows, frame)
    _reading(report, main, rows)
    _looking_up(report, main, rows)
    report.add("bytes on disk", SYSTEM, rows, [tree_bytes(path / "pages") / 1e6], unit="MB")
    shop.close()
    _reopening(report, path, rows)
    _shuffled(report, folder / "shuffled", frame)
    shutil.rmtree(path)


def _load(report: Report, path: Path, frame: pa.Table) -> tuple[absdb.Instance, absdb.Database]:
    runs: list[float] = []
    for _ in range(3):
        shutil.rmtree(path, ignore_errors=True)
        shop = absdb.connect(path)
        with stopwatch(runs):
            shop["main"].create_table("orders", frame, key="id")
        shop.close()
    report.add("bulk load, sorted, durable", SYSTEM, frame.num_rows, runs)
    shop = absdb.connect(path)
    start = time.perf_counter()
    shop["main"]["orders"].to_arrow()
    report.add("full read, first touch", SYSTEM, frame.num_rows, [(time.perf_counter() - start) * 1e3])
    shop.close()
    shop = absdb.connect(path)
    shop["main"]["orders"].head(1)
    report.add("full read to Arrow", SYSTEM, frame.num_rows, timed(shop["main"]["orders"].to_arrow))
    return shop, shop["main"]


def _shuffled(report: Report, path: Path, frame: pa.Table) -> None:
    order = np.random.default_rng(5).permutation(frame.num_rows)
    mixed = frame.take(pa.array(order))
    runs: list[float] = []
    with absdb.connect(path) as shop, stopwatch(runs):
        shop["main"].create_table("orders", mixed, key="id")
    report.add("bulk load, unsorted, durable", SYSTEM, frame.num_rows, runs)
    shutil.rmtree(path)


def _changing(report: Report, main: absdb.Database, rows: int, frame: pa.Table) -> None:
    table, runs, written = main["orders"], [], []
    for seed in range(9):
        rows_changed = changed(frame, CHANGED, seed=seed)
        before = int(main.lsn)
        with stopwatch(runs):
            table.upsert(rows_changed)
        written.append(int(main.lsn) - before)
        if not seed:
            read = timed(lambda: main["orders"].to_arrow(), warm=0, runs=1)
            again = timed(lambda: main["orders"].to_arrow(), warm=0, runs=3)
            report.add(f"full read with {CHANGED} changes, first", SYSTEM, rows, read)
            report.add(f"full read with {CHANGED} changes, again", SYSTEM, rows, again)
    report.add(f"change {CHANGED} random rows", SYSTEM, rows, runs[1:], bytes=max(written))


def _reading(report: Report, main: absdb.Database, rows: int) -> None:
    table = main["orders"]
    report.add(f"full read with {9 * CHANGED} changes", SYSTEM, rows, timed(table.to_arrow))
    table.update({"id": 1, "status": "paid"})
    report.add(
        "full read after one more commit", SYSTEM, rows, timed(main["orders"].to_arrow, warm=0, runs=1)
    )
    past = main.at(snapshot="loaded")["orders"]
    report.add("full read of a snapshot", SYSTEM, rows, timed(past.to_arrow))
    report.add("count", SYSTEM, rows, timed(main["orders"].count))


def _looking_up(report: Report, main: absdb.Database, rows: int) -> None:
    table = main["orders"]
    keys = np.random.default_rng(1).integers(1, rows, 2000).tolist()
    runs = []
    for key in keys:
        start = time.perf_counter()
        table.get(key)
        runs.append((time.perf_counter() - start) * 1e6)
    report.add("point lookup, warm", SYSTEM, rows, runs[200:], unit="µs")


def _reopening(report: Report, path: Path, rows: int) -> None:
    runs: list[float] = []
    for _ in range(5):
        with stopwatch(runs):
            shop = absdb.connect(path)
        shop.close()
        gc.collect()
    report.add("open, clean", SYSTEM, rows, runs)
