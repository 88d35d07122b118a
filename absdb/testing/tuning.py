"""Small limits, so that a few rows go where otherwise millions must go: seals, spills, folds, merges, streams.

    with tuned(random.Random(seed)) as settings:
        play = Workload(fs, settings=settings)

The limits that are settings are returned; the others are constants of modules, put back at the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

CONSTANTS: dict[str, tuple[int, ...]] = {
    "absdb.engine.cover.SEAL_ROWS": (2, 5, 1000),
    "absdb.engine.small.SMALL_MAX": (3, 100),
    "absdb.engine.netchange.ROWS_MAX": (2, 6, 100),
    "absdb.engine.compaction.FOLD_ROWS_MIN": (1, 20),
    "absdb.engine.compaction.SLICE_ROWS": (3, 1000),
    "absdb.engine.gather.CHUNK_BYTES": (50, 2000),
    "absdb.engine.spill.SPILL_BYTES": (50, 2000),
    "absdb.engine.load.BATCH_ROWS": (4, 1000),
    "absdb.pages.run.MEMORY_ROWS_MAX": (10, 1000),
    "absdb.versioning.merge_sides.SLICE_ROWS": (3, 1000),
}
SETTINGS: dict[str, tuple[Any, ...]] = {
    "wal_segment_size": (4096, 8192),
    "page_rows": (1, 3, 16),
    "run_limit": (1, 2, 4),
    "bulk_threshold": (0, 500, 100_000),
    "sequence_block": (1, 4, 1024),
    "history_retention": ("30 days", "30 days", "90 s", "0 s"),
    "page_compression": (None, None, "lz4"),
}


@contextmanager
def tuned(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Some of the small limits, by chance; gives the settings to open an engine with."""
    with ExitStack() as stack:
        for name, values in CONSTANTS.items():
            stack.enter_context(mock.patch(name, chance.choice(values)))
        yield {name: chance.choice(values) for name, values in SETTINGS.items()}
