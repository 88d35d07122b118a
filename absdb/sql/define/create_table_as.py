"""CREATE TABLE … AS query: the table has the query's columns, and its rows, streamed with bounded memory.

    CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [(column, …, PRIMARY KEY (column, …))] [WITH (…)]
        AS query [WITH [NO] DATA]

Columns take the names that are listed, or those of the query. A primary key may be listed with them or alone; the
rows need not come in its order. The query sees the table that it replaces. Called by create_table.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.engine import ddl, intake
from absdb.engine.definition import ColumnDefinition
from absdb.errors import InvalidInputError, QueryError
from absdb.ids import TableId
from absdb.paths import check_name
from absdb.sql.define.column_building import column_names
from absdb.sql.define.ddl_target import Creation, make_room
from absdb.sql.define.table_options import read_table_options
from absdb.sql.duck.types import arrow_type
from absdb.sql.query.result import Result
from absdb.sql.query.rewrite import Rewriter
from absdb.sql.query.run import Running
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


@dataclass
class _Described:
    columns: list[tuple[str, int]] = field(default_factory=list)
    key: list[str] = field(default_factory=list)
    key_at: int = 0
    compression: str | None = None
    query: Edited | None = None
    with_data: bool = True


def execute(call: Call, cursor: TokenCursor, creation: Creation) -> Result:
    """Make a table out of a query; `cursor` stands behind its name. The result counts its rows."""
    described = _described(call, cursor)
    count = creation.target.write(lambda scope: _create(call, scope, creation, described))
    return Result(rowcount=count, statement="CREATE TABLE")


def _described(call: Call, cursor: TokenCursor) -> _Described:
    found = _Described()
    if cursor.accept("("):
        while True:
            at = cursor.token.start
            if cursor.accept("PRIMARY", "KEY"):
                found.key, found.key_at = cursor.names(), at
            else:
                found.columns.append((cursor.name("a column"), at))
            if not cursor.accept(","):
                break
        if not cursor.accept(")"):
            cursor.refuse(",", ")", "PRIMARY KEY (…)")
    found.compression = read_table_options(cursor)
    cursor.expect("AS")
    first, last = cursor.at, len(cursor.tokens) - 1
    words = [token.upper for token in cursor.tokens[max(first, last - 3) : last]]
    if words == ["WITH", "NO", "DATA"]:
        found.with_data, last = False, last - 3
    elif words[-2:] == ["WITH", "DATA"]:
        last -= 2
    if last <= first:
        cursor.refuse("a query")
    start, stop = cursor.tokens[first].start, cursor.tokens[last - 1].stop
    found.query = Edited(call.text, [Edit(0, start, ""), Edit(stop, len(call.text), "")])
    return found


def _create(call: Call, scope: TransactionScope, creation: Creation, described: _Described) -> int:
    query = described.query
    assert query is not None, "there is a query behind AS"
    rewriter = call.rewriter(scope)
    prepared = rewriter.prepare(query.text, [call.statement.named, query])
    running = Running(call.session.backend, prepared, call.values)
    try:
        before = set(scope.catalog().tables)
        space = make_room(scope, creation)
        if space is None:
            return 0
        scope.tx.rests_on |= _read_now(rewriter) & (before - set(scope.catalog().tables))
        definitions = _definitions(call, running, described)
        names = [definition.name for definition in definitions]
        key = column_names(call, described.key_at, described.key, names, creation.target.name)
        made = ddl.create_table(
            scope.tx,
            creation.target.name,
            definitions,
            key=key,
            namespace=space,
            compression=described.compression,
        )
        if not described.with_data:
            return 0
        repeatable = scope.tx.repeatable
        count = intake.insert(scope.tx, made, _named(running, names))
        scope.tx.repeatable = repeatable  # the query is run again, too
        return count
    finally:
        running.close()


def _read_now(rewriter: Rewriter) -> set[TableId]:
    """The tables that a query reads as they are now."""
    return {read.named.schema.id for read in rewriter.tables_read if read.named.view.past is None}


def _definitions(call: Call, running: Running, described: _Described) -> list[ColumnDefinition]:
    """The query's columns, with the names that are listed."""
    names = list(running.relation.columns)
    listed = described.columns
    if len(listed) > len(names):
        name, at = listed[len(names)]
        raise error_at(call.text, at, f"the query has {len(names)} columns, and none for {name!r}")
    names[: len(listed)] = [name for name, _ in listed]
    _check_names(call, names, len(listed))
    backend = call.session.backend
    found = []
    for name, kind in zip(names, running.relation.types, strict=True):
        try:
            found.append(ColumnDefinition(name, arrow_type(backend, str(kind))))
        except QueryError as error:
            raise InvalidInputError(f"column {name!r}: {error.message}", hint=error.hint) from error
    return found


def _check_names(call: Call, names: list[str], listed: int) -> None:
    """Number names that come twice, as DuckDB does; an error for an expression that cannot name its column."""
    taken: set[str] = set()
    for at, name in enumerate(names):
        number = 0
        while at >= listed and names[at].casefold() in taken:
            number += 1
            names[at] = f"{name}_{number}"
        taken.add(names[at].casefold())
        try:
            check_name("column", names[at])
        except InvalidInputError as error:
            hint = "give the column a name: … AS name" if at >= listed else error.hint
            raise InvalidInputError(error.message, hint=hint) from error


def _named(running: Running, names: list[str]) -> pa.RecordBatchReader:
    """The query's rows under the names of the table's columns."""
    reader = running.reader()
    schema = pa.schema([field.with_name(name) for field, name in zip(reader.schema, names, strict=True)])

    def batches() -> object:
        try:
            for batch in reader:
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
        except Exception as error:
            raise running.error(error) from error

    return pa.RecordBatchReader.from_batches(schema, batches())
