"""Backups of one large table: full, verified, restored, and an incremental one after a thousand changed rows.

Beside them what other programs do with the same files: `tar | zstd -1`, `cp` and `sync`, `sha256sum`. All go to the
same disk; a target is at most as quick as the slowest of disk, compression and SHA-256.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

import absdb
from absdb.backup.restore_files import restore_files
from absdb.testing.orders import changed
from tests.bench.harness import Report, stopwatch
from tests.bench.states import loaded

SYSTEM = "absdb"
CHANGED = 1000
RUNS = 3


def run(report: Report, folder: Path, rows: int) -> None:
    """Every work on a table of `rows` orders, in a fresh instance."""
    path = folder / "backed-up"
    with absdb.connect(path) as shop:
        frame = loaded(shop, rows)
        shop.checkpoint()
        for compress in (None, "zstd"):
            _full(report, folder, shop, rows, compress)
        _incremental(report, folder, shop, rows, changed(frame, CHANGED * 8, seed=5))
        _beside_commits(report, folder, shop, rows)
    _others(report, folder, path / "pages", rows)
    shutil.rmtree(path)


def _full(report: Report, folder: Path, shop: absdb.Instance, rows: int, compress: str | None) -> None:
    made: list[float] = []
    verified: list[float] = []
    restored: list[float] = []
    how, size, stored = compress or "plain", 0, 0
    for _ in range(RUNS):
        url, target = str(folder / "backups"), folder / "restored"
        with stopwatch(made):
            found = shop.backup(url, label="full", compress=compress)
        size, stored = found.size, found.stored_bytes
        with stopwatch(verified):
            assert absdb.verify(url).well
        with stopwatch(restored):
            restore_files(url, target)
        shutil.rmtree(url)
        shutil.rmtree(target)
    for work, runs in (("backup", made), ("verify", verified), ("restore", restored)):
        _add(report, f"{work}, {how}", SYSTEM, rows, runs, size, stored=stored)


def _incremental(report: Report, folder: Path, shop: absdb.Instance, rows: int, frame: pa.Table) -> None:
    """Each on the one before, with other rows changed in between."""
    url, runs, stored, base = str(folder / "backups"), list[float](), 0, "base"
    shop.backup(url, label=base)
    for number in range(RUNS + 1):
        some = frame.slice(number * CHANGED, CHANGED)
        shop["main"]["orders"].upsert(some)
        with stopwatch(runs):
            found = shop.backup(url, label=f"i{number}", incremental_from=base)
        base, stored = found.label, found.stored_bytes
    report.add(f"incremental, {CHANGED} rows", SYSTEM, rows, runs[1:], stored=stored)
    shutil.rmtree(url)


def _beside_commits(report: Report, folder: Path, shop: absdb.Instance, rows: int) -> None:
    """Commits of one row a second, with and without a backup under way."""
    main = shop["main"]
    main.create_table("small", {"id": "int64"}, key="id")
    url, number = str(folder / "backups"), 0

    def rate(until: Callable[[], bool]) -> float:
        nonlocal number
        begun, first = time.perf_counter(), number
        while not until():
            main["small"].insert({"id": number})
            number += 1
        return (number - first) / (time.perf_counter() - begun)

    def alone(seconds: float) -> float:
        end = time.perf_counter() + seconds
        return rate(lambda: time.perf_counter() > end)

    alone(0.5)
    before = alone(2)
    thread = threading.Thread(target=lambda: [shop.backup(url) for _ in range(2)])
    thread.start()
    during = rate(lambda: not thread.is_alive())
    thread.join()
    report.add("commits beside a backup", SYSTEM, rows, [during], unit="1/s", alone=round(before))
    shutil.rmtree(url)


def _others(report: Report, folder: Path, pages: Path, rows: int) -> None:
    target = folder / "other"
    size = sum(file.stat().st_size for file in pages.iterdir())
    works = {
        "tar | zstd -1": f"tar -C {pages} -cf - . | zstd -q -1 -T0 > {target}; sync {target}",
        "cp and sync": f"cp -r {pages} {target}; sync -f {target}",
        "sha256sum": f"sha256sum {pages}/* > /dev/null",
    }
    for work, script in works.items():
        if work.startswith("tar") and shutil.which("zstd") is None:
            continue
        runs: list[float] = []
        for _ in range(RUNS):
            with stopwatch(runs):
                subprocess.run(["bash", "-ec", script], check=True)
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        _add(report, work, "shell", rows, runs, size)


def _add(
    report: Report, work: str, system: str, rows: int, runs: list[float], size: int, **facts: object
) -> None:
    speed = size / 1e3 / sorted(runs)[len(runs) // 2]
    report.add(work, system, rows, runs, mb_per_s=round(speed), **facts)
