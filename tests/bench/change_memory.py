"""How much memory changes of many rows take: a fresh process for each work, on a branch and main that both changed.

    python -m tests.bench.change_memory WORK DIRECTORY

opens the instance in DIRECTORY, does one of WORKS and prints one line of JSON: the peak of anonymous memory above what
the process had before, as tests/bench/memory.py counts it, and the peak of all that was resident, mapped page files
among it, both in bytes. `run` makes the instance and reports what every work took.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import absdb
from absdb.testing.orders import changed, order_batches
from tests.bench.harness import Report
from tests.bench.memory import ROOT, SYSTEM, Peaks, counted

CHANGED = 500_000


def run(report: Report, folder: Path, rows: int) -> None:
    """The peaks of every work on a table of `rows` orders, CHANGED of them other on each side."""
    path, copy = folder / "many-changes", folder / "many-changes-copy"
    with absdb.connect(path) as shop:
        main = shop["main"]
        main.create_table("orders", order_batches(rows), key="id")
        frame, branch = main["orders"].to_arrow(), main.branch("branch")
        branch["orders"].upsert(changed(frame, CHANGED, seed=1))
        main["orders"].upsert(changed(frame, CHANGED, seed=2))
        del frame
    for work in WORKS:
        shutil.copytree(path, copy)
        command = [sys.executable, "-m", "tests.bench.change_memory", work, str(copy)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
        peak, resident = json.loads(done.stdout)
        name = f"peak_memory, {work}, {CHANGED} rows on each side"
        report.add(name, SYSTEM, rows, [peak / 1e6], unit="MB", resident_MB=round(resident / 1e6))
        shutil.rmtree(copy)
    shutil.rmtree(path)


# ---------------------------------------------------------------- in the process


def _diff(shop: absdb.Instance) -> None:
    counted(shop["branch"].diff(shop["main"])["orders"].to_batches())


def _merge(shop: absdb.Instance) -> None:
    shop["main"].merge(shop["branch"], on_conflict="theirs")


def _conflicts(shop: absdb.Instance) -> None:
    found = shop["main"].merge(shop["branch"], dry_run=True)
    if found.clean:
        raise SystemExit("expected conflicts, found none")


def _undo(shop: absdb.Instance) -> None:
    shop["main"].merge(shop["branch"], on_conflict="theirs").undo()


WORKS = {"diff": _diff, "merge": _merge, "dry run with conflicts": _conflicts, "merge and undo": _undo}


def _peak_resident() -> int:
    """The peak of what was resident, in bytes. That of getrusage would be the parent's, where that was larger."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def _main(work: str, path: str) -> None:
    # What is loaded on first use, such as pandas, is no memory for rows.
    with absdb.connect(":memory:") as shop:
        shop["main"].create_table("orders", order_batches(1000), key="id")
        branch = shop["main"].branch("branch")
        branch["orders"].delete({"id": 1})
        shop["main"]["orders"].update({"id": 1, "total": 1.0})
        WORKS[work](shop)
    peaks = Peaks()
    with peaks.step(work), absdb.connect(path) as shop:
        WORKS[work](shop)
    print(json.dumps([peaks.found[work], _peak_resident()]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
