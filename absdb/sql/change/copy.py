"""COPY: a table from files, a table or a query to a file.

    COPY t [(a, b)] FROM 'file' (options)        DuckDB reads the file into a table of its own with the columns' types;
                                                 its rows stream into the target
    COPY t [(a, b)] | (query) TO 'file' (options)

Options are DuckDB's and reach it as they are written. The instance's own files are neither read nor written.
Called by dispatch.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.engine import intake
from absdb.sql.change.insert import named_columns
from absdb.sql.change.insert_plan import column_names
from absdb.sql.change.returning import counted
from absdb.sql.change.target import TargetRef, database_of, read_target, table_of, types_of, writable_columns
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.query.own_files import check_path, check_read
from absdb.sql.query.result import Result
from absdb.sql.query.run import BATCH_ROWS
from absdb.sql.text.assembly import Assembled, Piece, Span
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.parsed import Statement
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import matching
from absdb.sql.text.tokens import Kind, literal, quoted

if TYPE_CHECKING:
    from absdb.sql.query.prepared import Prepared
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope


@dataclass(slots=True)
class CopyPlan:
    """A COPY statement in its parts. `file` is an expression; of `target` and `query` one is there."""

    target: TargetRef | None
    query: Span | None
    columns: list[tuple[str, int]] | None
    listed: Span | None
    reads: bool
    file: Span
    options: Span | None

    @classmethod
    def read(cls, statement: Statement) -> CopyPlan:
        cursor = TokenCursor(statement)
        cursor.expect("COPY")
        if cursor.ahead("FROM", "DATABASE"):
            raise error_at(
                statement.text,
                cursor.token.start,
                "whole databases are not copied with COPY",
                hint="CREATE DATABASE x BRANCH FROM y makes a branch, which shares everything until it is written",
            )
        target = query = columns = listed = None
        if cursor.ahead("("):
            close = matching(cursor.text, cursor.tokens, cursor.at)
            query = Span(cursor.token.stop, cursor.tokens[close].start)
            cursor.at = close + 1
            cursor.expect("TO")
            reads = False
        else:
            target = read_target(cursor, (), alias=False)
            if cursor.ahead("("):
                start = cursor.token.stop
                columns = column_names(cursor)
                listed = Span(start, cursor.tokens[cursor.at - 1].start)
            reads = cursor.expect_one(("TO", "FROM")) == "FROM"
        file = _read_file(cursor)
        options = None if cursor.done else Span(cursor.token.start, cursor.tokens[-2].stop)
        return cls(target, query, columns, listed, reads, file, options)


def _read_file(cursor: TokenCursor) -> Span:
    token = cursor.token
    if cursor.ahead("("):
        close = matching(cursor.text, cursor.tokens, cursor.at)
        cursor.at = close + 1
        return Span(token.start, cursor.tokens[close].stop)
    if token.kind not in (Kind.STRING, Kind.PARAMETER):
        cursor.refuse("the name of a file in quotes")
    cursor.at += 1
    return Span(token.start, token.stop)


def execute(call: Call) -> Result:
    """Copy the rows; the number of them, or what an option such as RETURN_FILES asks for."""
    plan = call.session.backend.kept.get(CopyPlan, call.text, lambda: CopyPlan.read(call.statement))
    file = _file_of(call, plan.file)
    engine, at = call.session.engine, plan.file.start
    if call.session.strangers:
        raise error_at(call.text, at, "files cannot be copied here", hint="INSERT rows, SELECT them")
    if plan.reads:
        check_read(engine, call.session.backend, call.text, at, file)
    else:
        check_path(engine, call.text, at, file, what="write")
        return _write_file(call, plan, file)
    assert plan.target is not None, "only tables are copied into"
    return call.write(
        database_of(call, plan.target), lambda scope: _read_into(call, plan, file, plan.target, scope)
    )


def _file_of(call: Call, file: Span) -> str:
    """The file's name, which may be computed."""
    text = Assembled(call.text, ["SELECT ", file])
    value = call.table(text.text, edits=[text]).column(0)[0].as_py()
    if not isinstance(value, str):
        raise error_at(call.text, file.start, f"the name of a file is a text, not {value!r}")
    return value


def rows_to_write(call: Call, plan: CopyPlan) -> Prepared:
    """The query whose rows go to the file."""
    if plan.target is not None:
        columns: Piece = "*" if plan.listed is None else plan.listed
        pieces = ["SELECT ", columns, "\nFROM ", Span(plan.target.start, plan.target.stop)]
    else:
        assert plan.query is not None
        pieces = [plan.query]
    text = Assembled(call.text, pieces)
    return call.prepare(text.text, edits=[text])


def _write_file(call: Call, plan: CopyPlan, file: str) -> Result:
    prepared = rows_to_write(call, plan)
    last = len(prepared.text)
    edited = Edited(
        prepared.text,
        [Edit(0, 0, "COPY ("), Edit(last, last, f"\n) TO {literal(file)} {_options(call, plan)}")],
    )
    copied = replace(prepared, text=edited.text, edits=[*prepared.edits, edited])
    found = _run(call, copied)
    return Result(table=found, rowcount=found.column(0)[0].as_py(), statement="COPY")


def _options(call: Call, plan: CopyPlan) -> str:
    return "" if plan.options is None else call.text[plan.options.start : plan.options.stop]


def _run(call: Call, prepared: Prepared) -> pa.Table:
    """Run a statement that is no query, on a connection of its own."""
    backend = call.session.backend
    cursor = backend.cursor()
    used = {name: value for name, value in call.values.items() if f"${name}" in prepared.text}
    try:
        for name, value in prepared.objects.items():
            cursor.register(name, value)
        for statement in prepared.setup:
            cursor.execute(statement).fetchall()
        cursor.execute(prepared.text, used or None)
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
    except Exception as error:
        raise query_error(error, prepared.text, prepared.edits) from error
    finally:
        backend.discard(cursor)
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})


def _read_into(
    call: Call, plan: CopyPlan, file: str, target: TargetRef | None, scope: TransactionScope
) -> Result:
    assert target is not None
    schema = table_of(call, target, scope).schema
    named = plan.columns
    columns = writable_columns(schema) if named is None else named_columns(call, schema, named)
    cursor = call.session.backend.cursor()
    try:
        _load(call, plan, file, schema, columns, cursor)
        # The rows can be read from the file again if the commit must be tried again.
        repeatable = scope.tx.repeatable
        count = intake.insert(scope.tx, schema, _rows(cursor, schema))
        scope.tx.repeatable = repeatable
    finally:
        call.session.backend.discard(cursor)
    return counted(count, "COPY")


def _load(
    call: Call, plan: CopyPlan, file: str, schema: TableSchema, columns: list[Column], cursor: Any
) -> None:
    """Let DuckDB read the file into a table of the connection, which goes with it."""
    types = types_of(call.session.backend, schema)
    listed = ", ".join(f"{quoted(column.name)} {types[column.name]}" for column in columns)
    cursor.execute(f"CREATE TEMP TABLE {quoted(schema.name)} ({listed})").fetchall()
    text = Assembled(call.text, [f"COPY {quoted(schema.name)} FROM {literal(file)} ", plan.options or ""])
    used = {name: value for name, value in call.values.items() if f"${name}" in text.text}
    try:
        cursor.execute(text.text, used or None).fetchall()
    except Exception as error:
        raise query_error(error, text.text, [call.statement.named, text]) from error


def _rows(cursor: Any, schema: TableSchema) -> pa.RecordBatchReader:
    found: pa.RecordBatchReader = cursor.sql(f"FROM {quoted(schema.name)}").to_arrow_reader(BATCH_ROWS)
    return found
