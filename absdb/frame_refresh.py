"""refresh: what a frame shows, read again as of now, from what the frame remembers of where it came from.

Called by users as absdb.refresh; frame_origin.py is what frames remember.
"""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa

from absdb.database import Database
from absdb.errors import InvalidInputError, StateError
from absdb.frame_origin import Provenance, given_values, metadata_of, provenance
from absdb.instance import Instance, open_instances


def refresh(frame: Any, instance: Instance | None = None) -> Any:
    """The same table, query, diff, history or blame as of now, as the same kind of frame.

    `frame` is a pandas frame, or an Arrow table, batch or stream, that says where it came from
    (`absdb.provenance`); a batch gives a table. What was done with it since is not done again. Tables and queries are
    read at the head of their database, and so are the sides of a diff, but for one that was a point in the past: that
    stays. Time travel inside a query stays what it says. The instance is the one that is open in this process, or
    `instance`, such as a copy of it.

    InvalidInputError for a frame that does not say where it came from, and for a query that cannot be run again: one
    that read frames of the program or had parameters that are no plain values, or was too long to be kept. StateError
    if the instance is not open, NotFoundError if the database or table is gone.

        paid = main.sql("SELECT * FROM orders WHERE status = ?", ["paid"]).to_pandas()
        paid = absdb.refresh(paid)
    """
    pandas = sys.modules.get("pandas")
    is_pandas = pandas is not None and isinstance(frame, pandas.DataFrame)
    if not is_pandas and not isinstance(frame, pa.Table | pa.RecordBatch | pa.RecordBatchReader):
        raise InvalidInputError(
            f"a {type(frame).__name__} cannot be refreshed",
            hint="pass a pandas frame, or an Arrow table, batch or stream",
        )
    origin = provenance(frame)
    if origin is None:
        raise InvalidInputError(
            "the frame does not say where it came from",
            hint="frames that absdb made do; joining them with others, or another library, may lose it",
        )
    if origin.lost:
        raise InvalidInputError(
            f"what the frame came from cannot be read again: {', '.join(origin.lost)} of the {origin.kind} "
            "are not kept",
            hint="run it again as it was run",
        )
    form = (
        "to_pandas" if is_pandas else "to_batches" if isinstance(frame, pa.RecordBatchReader) else "to_arrow"
    )
    return _read(origin, _home(origin) if instance is None else instance, form)


def _home(origin: Provenance) -> Instance:
    """The open instance that a frame came from; one that may write rather than one beside it that reads."""
    found = [each for each in open_instances() if each.id == origin.instance_id]
    found.sort(key=lambda each: (each.path != origin.instance, each.read_only))
    if found:
        return found[0]
    where = origin.instance
    other = any(each.path == where for each in open_instances())
    raise StateError(
        f"the instance {where} that the frame came from is not open in this process"
        + (", though another one is in its place" if other else ""),
        hint="open it with absdb.connect, or pass an instance",
    )


def _read(origin: Provenance, instance: Instance, form: str) -> Any:
    """What the frame came from, as of now."""
    asked = {name: given_values(value) for name, value in (origin.options or {}).items()}
    database = instance[origin.database]
    count = asked.pop("n", None)
    if origin.kind in ("history", "blame"):
        return _in_form(_told(database, origin, asked), form)
    if origin.kind == "query":
        return getattr(_query(database, origin), form)()
    if origin.kind == "table":
        table = database[str(origin.table)]
        return getattr(table, form)(**asked) if count is None else _in_form(table.head(count), form)
    diff = _diff(database, instance, origin, asked)
    return getattr(diff, form)() if count is None else _in_form(diff.head(count), form)


def _query(database: Database, origin: Provenance) -> Any:
    with database.session() as session:
        if origin.schema is not None:
            session.use(session.scope, origin.schema)
        return session.sql(str(origin.query), _parameters(origin))


def _parameters(origin: Provenance) -> dict[str, Any] | None:
    given = origin.parameters
    return None if given is None else {name: given_values(value) for name, value in given.items()}


def _told(database: Database, origin: Provenance, asked: dict[str, Any]) -> Any:
    table = database[str(origin.table)]
    if origin.kind == "blame":
        return table.blame(**asked)
    key = asked["key"]
    return table.history(tuple(key) if isinstance(key, list) else key)


def _diff(database: Database, instance: Instance, origin: Provenance, asked: dict[str, Any]) -> Any:
    """The diff, of which the sides stay at their points that were named by one."""
    fixed = asked.pop("fixed", [])
    target = database.at(lsn=origin.lsn) if "to" in fixed else database
    source = instance[str(origin.against)]
    if "from" in fixed:
        source = source.at(lsn=origin.against_lsn)
    if origin.kind == "content diff":
        ignored = asked.pop("ignore", ())
        found: Any = target.diff(source).by_content(str(origin.table), ignore=ignored)
    elif origin.kind == "diff":
        found = target.diff(source)[str(origin.table)]
    else:
        other, key = asked.pop("other", None), asked.pop("key", None)
        given = _parameters(origin)
        if other is not None:
            found = target.query_diff(str(origin.query), other, key=key, parameters=given)
        else:
            found = target.query_diff(str(origin.query), source, key=key, parameters=given)
    return found.where(asked.pop("predicate", None), **asked) if asked else found


def _in_form(frame: Any, form: str) -> Any:
    """What only comes as a pandas frame, as Arrow if that is wanted."""
    if form == "to_pandas":
        return frame
    origin = provenance(frame)
    assert origin is not None
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(metadata_of(origin))
    return table.to_reader() if form == "to_batches" else table
