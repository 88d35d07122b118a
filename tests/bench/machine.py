"""What the machine can do at best: the limits that the figures are to be read against."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from crc32c import crc32c

from tests.bench.harness import timed

MIB = 1 << 20


def limits(folder: Path) -> dict[str, Any]:
    """Sequential write with sync (MB/s), append and fdatasync (µs), CRC-32C and memory copy (GB/s)."""
    block = os.urandom(16 * MIB)
    path = folder / "limits"
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    start = time.perf_counter()
    for number in range(16):
        os.pwrite(fd, block, number * len(block))
    os.fsync(fd)
    write = 16 * 16 / (time.perf_counter() - start)
    syncs = []
    for number in range(400):
        start = time.perf_counter()
        os.pwrite(fd, block[:200], number * 200)
        os.fdatasync(fd)
        syncs.append((time.perf_counter() - start) * 1e6)
    os.close(fd)
    path.unlink()
    source = np.frombuffer(block, np.uint8)
    target = np.empty_like(source)
    crc = min(timed(lambda: crc32c(block)))
    copy = min(timed(lambda: np.copyto(target, source)))
    return {
        "cores": os.cpu_count(),
        "write_and_sync_mb_s": round(write),
        "append_and_fdatasync_us": round(sorted(syncs)[len(syncs) // 2], 1),
        "crc32c_gb_s": round(16 / 1024 / (crc / 1e3), 1),
        "memory_copy_gb_s": round(16 / 1024 / (copy / 1e3), 1),
    }
