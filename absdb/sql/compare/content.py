"""Rows by content: which distinct rows occur more often on one side than on the other, and how often on each.

    diff_type     added if the target has more of them, removed if it has fewer
    <columns>     the row, once
    from_count    how often the source has it
    to_count      how often the target has it

For tables without a key, whose rows are told apart by hidden numbers that say nothing to anybody, and for queries
without one. Two related states of a table need the rows that differ by number, since the others even out, and one
scan of the target for the counts; two others are read whole. In the order of the columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from absdb.engine.engine import Engine
from absdb.errors import InvalidInputError, NotFoundError
from absdb.pages.fold import fold
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.types import physical_type
from absdb.sql.compare.computed import computed
from absdb.sql.duck.streams import RowStream
from absdb.sql.text.tokens import quoted
from absdb.versioning.diff import Diff
from absdb.versioning.diff_rows import diff_rows, rows_schema
from absdb.versioning.row_read import stream
from absdb.versioning.table_diff import TableDiff

_KINDS = "CASE WHEN {0} > {1} THEN 'added' ELSE 'removed' END AS diff_type"


def content_text(names: Sequence[str], source: str, target: str) -> str:
    """The query for two tables that are read whole; both are text that can stand behind FROM."""
    inner = columns(names)
    given = ", ".join(f"{quoted(name)} AS c{at}" for at, name in enumerate(names))
    return f"""
        SELECT {_KINDS.format("to_count", "from_count")}, {shown(names)}, from_count, to_count FROM (
            SELECT {inner}, count(*) FILTER (side < 0) AS from_count, count(*) FILTER (side > 0) AS to_count
            FROM (SELECT {given}, -1 AS side FROM {source} UNION ALL SELECT {given}, 1 FROM {target})
            GROUP BY {inner} HAVING sum(side) <> 0)
        ORDER BY {inner}"""


def columns(names: Sequence[str]) -> str:
    """The columns by the names they have inside these queries."""
    return ", ".join(f"c{at}" for at in range(len(names)))


def shown(names: Sequence[str]) -> str:
    """The columns under their own names."""
    return ", ".join(f"c{at} AS {quoted(name)}" for at, name in enumerate(names))


def _from_changes(names: Sequence[str], keys: Sequence[str], texts: Sequence[str]) -> str:
    """The query over `changes`, rows of a diff, and `target`, the table as it is; `texts` are compared as text."""

    def of(name: str, column: str) -> str:
        return f"{quoted(column)}::VARCHAR" if name in texts else quoted(column)

    def side(prefix: str, sign: int) -> str:
        own = (
            f"{of(name, name if name in keys else prefix + name)} AS c{at}" for at, name in enumerate(names)
        )
        other = "removed" if sign > 0 else "added"
        return f"SELECT {', '.join(own)}, {sign} AS side FROM given WHERE diff_type <> '{other}'"

    inner = columns(names)
    given = ", ".join(f"{of(name, name)} AS c{at}" for at, name in enumerate(names))
    same = " AND ".join(f"net.c{at} IS NOT DISTINCT FROM t.c{at}" for at in range(len(names)))
    own = ", ".join(f"net.c{at} AS {quoted(name)}" for at, name in enumerate(names))
    return f"""
        WITH given AS MATERIALIZED (FROM changes),
        net AS MATERIALIZED (
            SELECT {inner}, sum(side)::BIGINT AS net FROM ({side("to_", 1)} UNION ALL {side("from_", -1)})
            GROUP BY {inner} HAVING sum(side) <> 0),
        held AS (
            SELECT {inner}, count(*) AS held FROM (SELECT {given} FROM target) t SEMI JOIN net ON {same}
            GROUP BY {inner})
        SELECT {_KINDS.format("net", "0")}, {own},
            coalesce(held, 0) - net AS from_count, coalesce(held, 0) AS to_count
        FROM net LEFT JOIN held AS t ON {same}
        ORDER BY {", ".join(f"net.c{at}" for at in range(len(names)))}"""


class ContentSource:
    """Two tables of one name, compared by content; related ones from what was changed."""

    def __init__(
        self, engine: Engine, name: str, text: str, objects: dict[str, Any], names: list[str]
    ) -> None:
        self.name = name
        self.names = names
        self._engine = engine
        self._text = text
        self._objects = objects

    def schema(self) -> pa.Schema:
        """The columns of the rows."""
        with computed(self._engine, self._text, self._objects) as result:
            return result.schema

    def rows(self) -> pa.RecordBatchReader:
        """The distinct rows that do not occur equally often."""
        return computed(self._engine, self._text, self._objects).to_batches()


def content_of(diff: Diff, name: str, ignore: Sequence[str] = ()) -> ContentSource:
    """The content of a table that both sides have a table of the name of. NotFoundError if one has not."""
    if name in diff.common_names():
        return _of_related(diff.engine, diff.table(name), ignore)
    readers = [diff.reader_of(side, name) for side in (0, 1)]
    names = [c.name for c in readers[1].schema.columns if c.name in readers[0].schema.by_name]
    names = _left(names, ignore, name)
    objects = {
        label: RowStream(stream(reader, names).schema, lambda reader=reader: stream(reader, names))  # type: ignore[misc]
        for label, reader in zip(("source", "target"), readers, strict=True)
    }
    return ContentSource(diff.engine, name, content_text(names, "source", "target"), objects, names)


def _of_related(engine: Engine, diff: TableDiff, ignore: Sequence[str]) -> ContentSource:
    schema = diff.target.schema
    keys = list(schema.key_names)
    names = _left([*keys, *(shared.name for shared in diff.columns)], ignore, schema.full_name)
    shown_as = rows_schema(diff)
    texts = [
        n
        for n in names
        if n not in keys and shown_as.field(f"from_{n}").type != shown_as.field(f"to_{n}").type
    ]
    key = [OutputColumn.plain(c.page_name, physical_type(c.type)) for c in schema.key_columns if keys]
    own = [dataclasses.replace(column, name=name) for column, name in zip(key, keys, strict=True)]
    projection = Projection(
        dataclasses.replace(c, logical=shown_as.field(c.name if c.name in keys else f"to_{c.name}").type)
        for c in (*own, *diff.projection("target").columns)
        if c.name in names
    )

    def scanned() -> pa.RecordBatchReader:
        batches = fold(schema.key_spec, diff.target.sections, projection)
        return pa.RecordBatchReader.from_batches(projection.schema, batches)

    objects = {
        "changes": RowStream(rows_schema(diff), lambda: diff_rows(diff)),
        "target": RowStream(projection.schema, scanned),
    }
    return ContentSource(engine, schema.full_name, _from_changes(names, keys, texts), objects, names)


def _left(names: list[str], ignore: Sequence[str], table: str) -> list[str]:
    """The names without those to ignore, which must be among them."""
    for name in ignore:
        if name not in names:
            raise NotFoundError(
                f"{name!r} is not a column that both sides of {table} have",
                hint=f"these are: {', '.join(names)}",
            )
    left = [name for name in names if name not in ignore]
    if not left:
        raise InvalidInputError(f"no column of {table} is left to compare", hint="ignore fewer of them")
    return left
