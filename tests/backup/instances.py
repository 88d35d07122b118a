"""Instances to back up, and what must come back: every row of every database, and what `absdb check` finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

import absdb

Rows = dict[str, dict[str, list[dict[str, Any]]]]


def small_instance(path: Path, **settings: Any) -> absdb.Instance:
    """Two tables in main and a branch that differs."""
    shop = absdb.connect(path, wal_segment_size="64 KiB", **settings)
    main = shop["main"]
    main.create_table("orders", {"id": "int64", "status": "text"}, key="id")
    main["orders"].insert([{"id": number, "status": f"new {number % 7}"} for number in range(300)])
    main.create_table("notes", {"text": "text"})
    main["notes"].insert([{"text": "first"}, {"text": "second"}])
    main.branch("staging")["orders"].update({"id": 5, "status": "staged"})
    return shop


def everything(instance: absdb.Instance) -> Rows:
    """Database → table → rows."""
    return {
        name: {
            table: instance[name][table].to_arrow().to_pylist()
            for table in sorted(instance[name].tables()["name"])
        }
        for name in sorted(instance)
    }


def restored(path: Path) -> Rows:
    """Everything in a restored instance, which must be sound."""
    with absdb.connect(path, create=False) as instance:
        problems = instance.check()
        assert not len(problems[problems["severity"] == "error"]), problems
        return everything(instance)


def bulk(count: int, start: int = 0) -> pa.Table:
    """Rows enough for a page file of their own."""
    ids = list(range(start, start + count))
    return pa.table({"id": ids, "status": [f"bulk {number % 11}" for number in ids]})
