"""Listings about merges: what would be in conflict, and the data checks that gate them.

    absdb_conflicts(source, target)   table_name, kind, key, column_name, base_value, our_value, their_value,
                                      resolution, resolved_value; keys and values as JSON
    absdb_checks                      name, query, comment

`absdb_conflicts` merges without writing anything. Filled in, its rows are what RESOLVE WITH of MERGE DATABASE takes.
Called by listings.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.sql.query.names import Moment
from absdb.sql.query.points import point_of
from absdb.versioning.conflicts import COLUMNS
from absdb.versioning.data_checks import listed
from absdb.versioning.merge import merge
from absdb.versioning.merge_states import Rules

_JSON = ("key", "base_value", "our_value", "their_value", "resolved_value")


def conflicts(moment: Moment, source: Any = None, target: Any = None, on_conflict: Any = "fail") -> pa.Table:
    """What stands in the way of merging `source` into `target`, a row a conflict."""
    if source is None or target is None:
        raise InvalidInputError(
            "two databases are merged", hint="such as absdb_conflicts('staging', 'main'): staging into main"
        )
    rules = Rules(str(on_conflict))
    found = merge(moment.engine, moment.named(target), point_of(moment, source), rules=rules, dry_run=True)
    columns = found.conflicts.columns
    arrays = [
        pa.array([_json(v) for v in columns[name]] if name in _JSON else columns[name], pa.string())
        for name in COLUMNS
    ]
    return pa.Table.from_arrays(arrays, names=list(COLUMNS))


def checks(moment: Moment) -> pa.Table:
    """The data checks of the current database."""
    return listed(moment.current.catalog)


def _json(value: Any) -> str | None:
    """A value as JSON; what JSON does not know (times, decimals, bytes) as its text."""
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "absdb_conflicts": (conflicts, ("source", "target", "on_conflict"))
}
