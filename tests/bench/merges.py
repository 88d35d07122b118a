"""Merging branches of one large table: a few changed rows on each side, many, and repeated merges both ways."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa

import absdb
from absdb.testing.orders import changed
from tests.bench.harness import Report, stopwatch
from tests.bench.states import loaded

SYSTEM = "absdb"
CHANGED = 1200
ROUNDS = 7


def run(report: Report, folder: Path, rows: int) -> None:
    """Every work on a table of `rows` orders, in a fresh instance."""
    path = folder / "merging"
    with absdb.connect(path) as shop:
        frame = loaded(shop, rows)
        _few(report, shop, frame)
        _forward(report, shop, frame)
        _alternating(report, shop, frame)
        _many(report, shop, frame)
    shutil.rmtree(path)


def _few(report: Report, shop: absdb.Instance, frame: pa.Table) -> None:
    """1,200 other rows changed on each side since the branch was made."""
    main, merges, dry, written = shop["main"], [], [], []
    for seed in range(ROUNDS):
        branch = main.branch("few")
        branch["orders"].upsert(changed(frame, CHANGED, seed=100 + seed))
        main["orders"].upsert(changed(frame, CHANGED, seed=200 + seed))
        with stopwatch(dry):
            main.merge(branch, dry_run=True, on_conflict="theirs")
        before = int(main.lsn)
        with stopwatch(merges):
            main.merge(branch, on_conflict="theirs")
        written.append(int(main.lsn) - before)
        branch.drop()
    report.add(f"merge, {CHANGED} rows on each side", SYSTEM, frame.num_rows, merges[1:], bytes=max(written))
    report.add(f"merge, {CHANGED} rows on each side, dry run", SYSTEM, frame.num_rows, dry[1:])


def _forward(report: Report, shop: absdb.Instance, frame: pa.Table) -> None:
    main, runs = shop["main"], []
    for seed in range(ROUNDS):
        branch = main.branch("ahead")
        branch["orders"].upsert(changed(frame, CHANGED, seed=300 + seed))
        with stopwatch(runs):
            main.merge(branch)
        branch.drop()
    report.add(f"merge, fast-forward of {CHANGED} rows", SYSTEM, frame.num_rows, runs[1:])


def _alternating(report: Report, shop: absdb.Instance, frame: pa.Table) -> None:
    """Both sides change a few rows and take over the other's, again and again."""
    main, runs = shop["main"], []
    branch = main.branch("beside")
    for seed in range(30):
        branch["orders"].upsert(changed(frame, 100, seed=400 + seed))
        main["orders"].upsert(changed(frame, 100, seed=500 + seed))
        with stopwatch(runs):
            main.merge(branch, on_conflict="theirs")
        with stopwatch(runs):
            branch.merge(main, on_conflict="theirs", squash=True)
    report.add("merge, the last of 60 both ways, 100 rows", SYSTEM, frame.num_rows, runs[-10:])
    branch.drop()


def _many(report: Report, shop: absdb.Instance, frame: pa.Table) -> None:
    """A tenth of the rows changed on each side."""
    main, runs = shop["main"], []
    for seed in range(3):
        branch = main.branch("many")
        branch["orders"].upsert(changed(frame, frame.num_rows // 10, seed=600 + seed))
        main["orders"].upsert(changed(frame, CHANGED, seed=700 + seed))
        with stopwatch(runs):
            main.merge(branch, on_conflict="theirs")
        branch.drop()
    report.add("merge, 10 % of the rows", SYSTEM, frame.num_rows, runs)
