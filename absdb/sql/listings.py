"""The tables and table functions that absdb itself provides: branches, log, snapshots, settings, diffs.

Each is made at the moment a statement names it. Called by rewrite.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.sql.names import Moment, Path
from absdb.versioning.listing import databases


def table(moment: Moment, path: Path) -> pa.Table | None:
    """The listing of that name, None if there is none."""
    made = _TABLES.get(path[-1].casefold())
    return None if made is None or len(path) > 1 else made(moment)


def function(path: Path) -> Callable[..., Any] | None:
    """The table function of that name, None if there is none."""
    return _FUNCTIONS.get(path[-1].casefold())


_TABLES: dict[str, Callable[[Moment], pa.Table]] = {
    "absdb_databases": lambda moment: databases(moment.engine),
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {}
