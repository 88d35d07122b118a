"""A table larger than the memory there is: a process under RLIMIT_DATA takes it through everything, in batches.

What absdb works on at a time is divided by PART, and so is the limit, so that a small table is too large. Loaded,
read, changed, compared, exported, compacted and replaced whole, it would be several times the limit; a step that
holds it whole does not get through. What every step takes was measured at 31 MiB. tests/bench/memory.py is what
runs there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from absdb.testing.orders import orders
from tests.bench.memory import peaks

ROWS = 300_000
TEXT_BYTES = 512
LIMIT_MIB = 52
PART = 32


@pytest.mark.slow
def test_work_on_a_table_larger_than_memory(tmp_path: Path) -> None:
    assert ROWS * (orders(1000).nbytes // 1000 + TEXT_BYTES) > 3 * (LIMIT_MIB << 20)
    found = peaks(tmp_path, ROWS, LIMIT_MIB, PART, TEXT_BYTES)
    assert len(found) >= 15
    assert max(found.values()) < LIMIT_MIB << 20
