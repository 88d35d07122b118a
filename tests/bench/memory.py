"""How much memory work on a table larger than memory takes: one process, a table in batches, a limit if wanted.

    python -m tests.bench.memory DIRECTORY ROWS [LIMIT_MIB [PART [TEXT_BYTES]]]

prints one line of JSON: for each step the peak of anonymous memory above what the process had before, in bytes.
Mapped page files do not count: the system takes them back whenever it needs the memory. With a limit, RLIMIT_DATA
makes any allocation beyond it fail. PART divides the numbers of rows and bytes that absdb works on at a time, so that
a small table shows whether memory is bounded by them. TEXT_BYTES widens each row by a text. `run` starts such a
process and reports the peaks.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import absdb
from absdb.engine import candidates, compaction, gather, load, spill
from absdb.pages import fold, lookup, run_merge
from absdb.pages import run as runs
from absdb.pages.cuts import CUTS
from absdb.testing.orders import SCHEMA, order_batches
from absdb.versioning import merge_sides, table_diff
from tests.bench.harness import Report

SYSTEM = "absdb"
SAMPLES_PER_S = 500
ROOT = Path(__file__).parents[2]

BOUNDS: list[tuple[Any, str]] = [
    (gather, "CHUNK_BYTES"),
    (gather, "PIECE_ROWS"),
    (load, "BATCH_ROWS"),
    (spill, "SPILL_BYTES"),
    (compaction, "SLICE_ROWS"),
    (table_diff, "SLICE_ROWS"),
    (merge_sides, "SLICE_ROWS"),
    (candidates, "SLICE_BYTES"),
    (fold, "DELTA_ROWS_MAX"),
    (fold, "RANGE_ROWS"),
    (lookup, "BATCH_ROWS"),
    (run_merge, "RANGE_ROWS"),
    (run_merge, "RANGE_BYTES"),
    (runs, "MEMORY_ROWS_MAX"),
    (CUTS, "bytes_max"),
]
"""The numbers of rows and bytes that work of any size is cut into."""

Batches = pa.RecordBatchReader


def run(report: Report, folder: Path, rows: int) -> None:
    """The peaks of a fresh process, one result a step."""
    for step, peak in peaks(folder / "memory", rows).items():
        report.add(f"peak_memory, {step}", SYSTEM, rows, [peak / 1e6], unit="MB")


def peaks(path: Path, rows: int, limit_mib: int = 0, part: int = 1, text_bytes: int = 0) -> dict[str, int]:
    """Peak anonymous memory of each step in a process of its own, in bytes; CalledProcessError if it fails."""
    numbers = map(str, (rows, limit_mib, part, text_bytes))
    command = [sys.executable, "-m", "tests.bench.memory", str(path), *numbers]
    # The system's allocator asks for what is needed; others reserve a gigabyte that would count as used.
    # Without a threshold it would raise one by itself, keep large blocks, and need more for the same work.
    environment = {
        **os.environ,
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": "65536",
    }
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


# ---------------------------------------------------------------- in the process


class Peaks:
    """Samples the anonymous memory of this process while steps run."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self._before = _anonymous()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note the peak of the block as `name`."""
        done, peak = threading.Event(), [_anonymous()]

        def sample() -> None:
            while not done.wait(1 / SAMPLES_PER_S):
                peak[0] = max(peak[0], _anonymous())

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            yield
        finally:
            done.set()
            sampler.join()
        self.found[name] = max(peak[0], _anonymous()) - self._before


def _anonymous() -> int:
    """Resident bytes that no file stands behind."""
    resident, shared = Path("/proc/self/statm").read_text().split()[1:3]
    return (int(resident) - int(shared)) * resource.getpagesize()


def limit(mib: int) -> None:
    """Let this process have so much more writable memory than it has now."""
    status = Path("/proc/self/status").read_text()
    data = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmData"))
    most = data + (mib << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


class Orders:
    """Streams of orders, each with a text of so many bytes more."""

    def __init__(self, text_bytes: int) -> None:
        self._text_bytes = text_bytes
        self._schema = SCHEMA.append(pa.field("text", pa.string())) if text_bytes else SCHEMA

    def all(self, rows: int) -> Batches:
        """All orders in order."""
        return self._stream(order_batches(rows, batch_rows=load.BATCH_ROWS // 4))

    def backwards(self, rows: int) -> Batches:
        """All orders, the last batch first."""

        def batches() -> Iterator[pa.RecordBatch]:
            step = load.BATCH_ROWS // 4
            for first in range((rows - 1) // step * step, -1, -step):
                yield from order_batches(min(step, rows - first), first_id=first + 1)

        return self._stream(batches())

    def tenth(self, rows: int, which: int) -> Batches:
        """Every tenth order with another total."""

        def batches() -> Iterator[pa.RecordBatch]:
            at = SCHEMA.get_field_index("total")
            for batch in order_batches(rows, batch_rows=load.BATCH_ROWS // 40 * 10):
                chosen = batch.take(pa.array(range(which, batch.num_rows, 10)))
                yield chosen.set_column(at, SCHEMA.field(at), pc.add(chosen["total"], 1.0))

        return self._stream(batches())

    def _stream(self, batches: Iterable[pa.RecordBatch]) -> Batches:
        return Batches.from_batches(self._schema, map(self._widened, batches))

    def _widened(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self._text_bytes:
            return batch
        texts = pc.utf8_rpad(batch["id"].cast(pa.string()), self._text_bytes, ".")
        return pa.RecordBatch.from_arrays([*batch.columns, texts], schema=self._schema)


def counted(batches: Batches) -> int:
    """The rows of a stream."""
    return sum(batch.num_rows for batch in batches)


def expect(found: object, wanted: object) -> None:
    """Stop if a step gave something else."""
    if found != wanted:
        raise SystemExit(f"expected {wanted}, found {found}")


def work_in_parts(part: int) -> dict[str, int]:
    """Divide what absdb works on at a time; returns the settings that do the rest."""
    for module, name in BOUNDS:
        setattr(module, name, getattr(module, name) // part)
    return {
        # Each page costs some kilobytes, whatever its size: there should be few, as in a large table.
        "page_rows": 65_536 // min(part, 16),
        "bulk_threshold": (4 << 20) // part,
        "cache_bytes": (256 << 20) // part,
    }


def work(path: Path, rows: int, orders: Orders, peaks: Peaks, settings: dict[str, int]) -> None:
    """Everything that a table larger than memory must go through, each answer compared with what is known."""
    changed, changed_there = len(range(3, rows, 10)), len(range(4, rows, 10))
    shop = absdb.connect(path, **settings)
    main = shop["main"]
    with peaks.step("load"):
        main.create_table("orders", orders.all(rows), key="id")
    with peaks.step("read"):
        expect(counted(main["orders"].to_batches()), rows)
    branch, other = main.branch("branch"), main.branch("other")
    with peaks.step("change 10 %"):
        expect(branch["orders"].upsert(orders.tenth(rows, 3)), changed)
    with peaks.step("diff"):
        expect(counted(branch.diff(main)["orders"].to_batches()), changed)
    other["orders"].upsert(orders.tenth(rows, 4))
    with peaks.step("diff of two branches"):
        expect(branch.diff(other)["orders"].counts().modified, changed + changed_there)
    with peaks.step("merge"):
        expect(main.branch("merged").merge(branch).kind, "fast-forward")
        expect(shop["merged"].merge(other).summary()["row_count"].tolist(), [changed_there])
    shop.drop_database("merged")
    with peaks.step("export"):
        _export(branch["orders"], path.with_suffix(".parquet"))
    with peaks.step("checkpoint"):
        shop.checkpoint()
    with peaks.step("compact"):
        shop.maintain()
    with peaks.step("sync"):
        expect(other["orders"].sync(orders.all(rows - 10)).removed, 10)
    with peaks.step("delete"):
        expect(other["orders"].delete(orders.tenth(rows // 2, 5)), sum(1 for _ in range(5, rows // 2, 10)))
    with peaks.step("replace"):
        expect(other["orders"].replace(orders.all(rows // 2)), rows // 2)
    with peaks.step("load unsorted"):
        main.create_table("unsorted", orders.backwards(rows), key="id")
    with peaks.step("compact again"):
        shop.maintain()
    shop.close()
    del main, branch, other
    with peaks.step("reopen and read"), absdb.connect(path) as shop:
        expect(counted(shop["branch"]["orders"].to_batches()), rows)
        expect(shop["main"]["unsorted"].count(), rows)
    with peaks.step("check"), absdb.connect(path) as shop:
        expect([row for row in shop.check().to_dict("records") if row["severity"] != "remark"], [])


def _export(table: absdb.Table, file: Path) -> None:
    batches = table.to_batches()
    with pq.ParquetWriter(file, batches.schema, compression="none") as writer:
        for batch in batches:
            writer.write_batch(batch)
    expect(pq.read_metadata(file).num_rows, table.count())
    file.unlink()


def _main(path: str, rows: str, mib: str = "0", part: str = "1", text_bytes: str = "0") -> None:
    settings, orders = work_in_parts(int(part)), Orders(int(text_bytes))
    # What is loaded on first use, such as pandas, is no memory for rows.
    work(Path(path) / "first", 1000, orders, Peaks(), settings)
    measured = Peaks()
    if int(mib):
        limit(int(mib))
    work(Path(path) / "shop", int(rows), orders, measured, settings)
    print(json.dumps(measured.found))


if __name__ == "__main__":
    _main(*sys.argv[1:])
