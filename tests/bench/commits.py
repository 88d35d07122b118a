"""Small durable commits: one thread and many, what they leave behind, and how fast a log is replayed."""

from __future__ import annotations

import shutil
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

import absdb
from absdb.testing.orders import orders
from tests.bench.harness import Report, stopwatch, timed

SYSTEM = "absdb"
SECONDS = 3.0


def run(report: Report, folder: Path) -> None:
    """One-row commits by 1, 16 and 64 threads; lookups over runs; recovery of 100 MB of log; memory of the tail."""
    path = folder / "commits"
    with absdb.connect(path) as shop:
        table = shop["main"].create_table("orders", orders(1000), key="id")
        row = table.get(1)
        assert row is not None
        for threads in (1, 16, 64):
            before = _wal(shop)
            rate = rate_of(threads, lambda number: table.insert({**row, "id": number}))
            after = _wal(shop)
            batches = after["group_commit_batches"] - before["group_commit_batches"]
            records = after["wal_records_written"] - before["wal_records_written"]
            facts = {"per_sync": round(records / max(1, batches), 1)}
            report.add(f"one-row commits, {threads} threads", SYSTEM, 1, [rate], unit="1/s", **facts)
    shutil.rmtree(path)
    _lookups_over_runs(report, folder / "runs")
    _recovery(report, folder / "recovery")
    _tail_memory(report)
    _write_amplification(report, folder / "day")


def rate_of(threads: int, work: Callable[[int], Any], *, seconds: float = SECONDS) -> float:
    """Calls a second, over all threads; each call gets a number of its own."""
    counts = [0] * threads
    end = time.perf_counter() + seconds

    def loop(number: int) -> None:
        base = (threads * 1000 + number + 1) * 10_000_000
        while time.perf_counter() < end:
            work(base + counts[number])
            counts[number] += 1

    start = time.perf_counter()
    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - start)


def _wal(shop: absdb.Instance) -> dict[str, Any]:
    frame = shop.wal_stats()
    return (
        dict(zip(frame["name"], frame["value"], strict=True)) if "name" in frame else frame.iloc[0].to_dict()
    )


def _lookups_over_runs(report: Report, path: Path) -> None:
    for key, label in (("id", "integer"), ("note", "string")):
        shutil.rmtree(path, ignore_errors=True)
        with absdb.connect(path, run_limit=16) as shop:
            frame = orders(200_000)
            if key == "note":
                frame = frame.set_column(7, "note", frame["id"].cast("string"))
            table = shop["main"].create_table("orders", frame, key=key)
            for number in range(8):
                table.upsert(frame.slice(number * 500, 500))
                shop.checkpoint()
            keys = frame[key].take(list(range(0, 200_000, 400))).to_pylist()
            runs = [one * 1e3 / len(keys) for one in timed(lambda: [table.get(k) for k in keys])]  # noqa: B023  # called at once
            report.add(f"lookup over 8 runs, {label} key", SYSTEM, 200_000, runs, unit="µs")
    shutil.rmtree(path)


def _recovery(report: Report, path: Path) -> None:
    shop = absdb.connect(path, checkpoint_wal_volume="4GB", checkpoint_interval="1d")
    table = shop["main"].create_table("orders", orders(1000), key="id")
    frame = orders(20_000, first_id=1)
    quantity = frame.column_names.index("quantity")
    number = 0
    while int(shop.lsn) < 100_000_000:
        number += 1  # rows as they are there would be left out
        values = pa.array([number] * frame.num_rows, frame.schema.field(quantity).type)
        table.upsert(frame.set_column(quantity, "quantity", values))
    shutil.copytree(path, path.with_name("copy"))
    shop.close()
    runs: list[float] = []
    with stopwatch(runs):
        again = absdb.connect(path.with_name("copy"))
    again.close()
    report.add("recovery of 100 MB of log", SYSTEM, 1, runs)
    shutil.rmtree(path)
    shutil.rmtree(path.with_name("copy"))


def _tail_memory(report: Report) -> None:
    with absdb.connect(":memory:") as shop:
        table = shop["main"].create_table("orders", orders(1000), key="id")
        rows = orders(50_000, first_id=10_000).to_pylist()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for row in rows[:10_000]:
            table.insert(row)
        held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        report.add("Python memory of the tail", SYSTEM, 10_000, [held / 10_000], unit="B/row")


def _write_amplification(report: Report, path: Path) -> None:
    """Bytes handed to the disk for each byte of rows, over a day of 20,000 small commits with upkeep."""
    commits_made, rows_each = 20_000, 1
    with absdb.connect(
        path, wal_sync_mode="nosync", checkpoint_interval="1d", checkpoint_wal_volume="4GB"
    ) as shop:
        table = shop["main"].create_table("orders", orders(200_000), key="id")
        shop.checkpoint()
        rows = orders(commits_made, first_id=1_000_000)
        given = rows.to_pylist()
        before = _bytes_written()
        for number, row in enumerate(given):
            table.insert(row)
            if number % 1000 == 999:
                shop.checkpoint()
                shop.maintain()
        shop.checkpoint()
        written = _bytes_written() - before
    report.add("write amplification", SYSTEM, commits_made * rows_each, [written / rows.nbytes], unit="x")
    shutil.rmtree(path)


def _bytes_written() -> int:
    """What this process has handed to write calls so far; 0 where the system does not count it."""
    counters = Path("/proc/self/io")
    if not counters.exists():
        return 0
    return int(
        next(line for line in counters.read_text().splitlines() if line.startswith("wchar")).split()[1]
    )
