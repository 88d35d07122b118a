"""The state that a listing's arguments name: a database, and perhaps a point of its past.

    absdb_log('staging', at_time => '2026-04-04 14:05')
    absdb_diff('main', 'main', 'orders', from_snapshot => 'before')

Without a point it is what the rest of the statement sees of that database. Called by listings.py and
diff_listings.py.
"""

from __future__ import annotations

from typing import Any

from absdb.errors import InvalidInputError
from absdb.sql.query.names import Moment
from absdb.versioning.as_of import Point, resolve
from absdb.versioning.scope import PastScope


def point_of(moment: Moment, database: Any = None, prefix: str = "at_", **given: Any) -> Point:
    """The point; `given` are `at_lsn`, `at_time`, `at_snapshot`, or begin with another prefix.

    NotFoundError for a database that is not there, and what `resolve` raises.
    """
    if database is not None and not isinstance(database, str):
        raise InvalidInputError(f"a database is named by text, not by {database!r}", hint="such as 'main'")
    current = moment.current
    info = current.info if database is None else moment.named(database)
    named = {name.removeprefix(prefix): value for name, value in given.items() if value is not None}
    if not named:
        if info.id == current.info.id and isinstance(current.held, PastScope):
            return current.held.point()
        named = {"lsn": moment.lsn}
    return resolve(moment.engine, info, **named)
