"""A process that commits and archives until it is killed; started by test_kill.py, and of no use alone.

    python -m tests.backup.archive.kill_worker DIRECTORY TARGET

Says how far the archive is, a line each time it has grown: what it has said must be there whatever happens then.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import pyarrow as pa

import absdb

SETTINGS: dict[str, Any] = {
    "wal_segment_size": 16384,
    "page_rows": 64,
    "run_limit": 3,
    "bulk_threshold": 4096,
    "checkpoint_interval": 1,
    "checkpoint_wal_volume": 65536,
    "wal_archive_enabled": True,
    "wal_archive_interval": 1,
    "author": "proof",
}


def commit(shop: absdb.Instance, who: int) -> None:
    """Small and bulk commits, for ever."""
    table, number = shop["main"]["t"], 0
    while True:
        number += 1
        if number % 20 == who:
            rows = pa.table({"id": range(who * 1000, who * 1000 + 200), "v": [f"bulk {number:080}"] * 200})
            table.upsert(rows)
        else:
            table.upsert({"id": who * 1000 + number % 300, "v": f"{number}" * (1 + number % 50)})


def main(directory: str, target: str) -> None:
    shop = absdb.connect(directory, wal_archive_target=target, **SETTINGS)
    for who in range(2):
        threading.Thread(target=commit, args=(shop, who), daemon=True).start()
    print("ready", flush=True)
    said = None
    while True:
        found = shop.wal_stats()["last_archived_lsn"][0]
        if found != said and found is not None:
            print(found, flush=True)
            said = found


if __name__ == "__main__":
    main(*sys.argv[1:])
