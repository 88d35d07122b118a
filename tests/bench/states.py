"""States of one large table: branches, snapshots, restores, and diffs of a few changed rows and of many.

The table is loaded in batches and read where it is mapped, so that it may be larger than memory.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa

import absdb
from absdb.testing.orders import changed, order_batches
from tests.bench.harness import Report, stopwatch, timed

SYSTEM = "absdb"
CHANGED = 1200


def run(report: Report, folder: Path, rows: int) -> None:
    """Every work on a table of `rows` orders, in a fresh instance."""
    path = folder / "states"
    with absdb.connect(path) as shop:
        frame = loaded(shop, rows)
        _branching(report, shop, rows)
        _diffing(report, shop, frame)
    shutil.rmtree(path)


def loaded(shop: absdb.Instance, rows: int) -> pa.Table:
    """Load `rows` orders into main, in batches; returns them as they are mapped."""
    shop["main"].create_table("orders", order_batches(rows), key="id")
    return shop["main"]["orders"].to_arrow()


def _branching(report: Report, shop: absdb.Instance, rows: int) -> None:
    main, before, runs = shop["main"], int(shop.lsn), []
    for number in range(30):
        with stopwatch(runs):
            main.branch(f"b{number}")
    report.add("branch", SYSTEM, rows, runs, bytes=(int(shop.lsn) - before) // 30)
    runs = []
    for number in range(30):
        with stopwatch(runs):
            main.snapshot(f"s{number}")
    report.add("snapshot", SYSTEM, rows, runs)
    runs = []
    for number in range(30):
        with stopwatch(runs):
            shop[f"b{number}"].restore(lsn=main.lsn)
    report.add("restore", SYSTEM, rows, runs)
    for number in range(30):
        shop.drop_database(f"b{number}")


def _diffing(report: Report, shop: absdb.Instance, frame: pa.Table) -> None:
    main, rows = shop["main"], frame.num_rows
    branch = main.branch("few")
    report.add("diff, nothing changed", SYSTEM, rows, timed(lambda: branch.diff(main).summary(cells=False)))
    branch["orders"].upsert(changed(frame, CHANGED, seed=77))
    report.add(f"diff, {CHANGED} rows", SYSTEM, rows, timed(lambda: branch.diff(main).summary(cells=False)))
    many = main.branch("many")
    many["orders"].upsert(changed(frame, rows // 10, seed=78))
    report.add(
        "diff, 10 % on one side", SYSTEM, rows, timed(lambda: many.diff(main).summary(cells=False), runs=3)
    )
    other = main.branch("other")
    other["orders"].upsert(changed(frame, rows // 10, seed=79))
    report.add(
        "diff, 10 % on both sides", SYSTEM, rows, timed(lambda: many.diff(other).summary(cells=False), runs=3)
    )
    for name in ("few", "many", "other"):
        shop.drop_database(name)
