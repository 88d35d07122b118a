"""EXPLAIN and EXPLAIN ANALYZE: DuckDB's plan, and what of each table is read for it.

    explain_key     physical_plan, and others that DuckDB's setting explain_output asks for
    explain_value   the plan
    tables          absdb's part: per table its state, its layers (image, runs, rows in memory), and which of
                    their pages the keys that the WHERE clause names leave over
    change          what a statement would do that changes rows (change/explain.py)

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.lineage import position
from absdb.engine.listing import field, listed
from absdb.errors import QueryError
from absdb.ids import Lsn
from absdb.pages.key import search_one
from absdb.pages.section import Section
from absdb.reprs import counted
from absdb.sql.dispatch import CHANGES, QUERIES, explainer_of_changes, verb_of
from absdb.sql.duck.duck_errors import placed_back
from absdb.sql.query.prune import Selection, selection
from absdb.sql.query.result import Result
from absdb.sql.query.run import explained
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at

if TYPE_CHECKING:
    from absdb.engine.reader import TableReader
    from absdb.sql.query.names import NamedTable
    from absdb.sql.query.prepared import TableRead
    from absdb.sql.session import Call

_PLAN = pa.schema([field("explain_key", pa.string()), field("explain_value", pa.string())])


def execute(call: Call) -> Result:
    """explain_key, explain_value of the plan; the rows are not computed unless ANALYZE is said."""
    cursor = TokenCursor(call.statement)
    cursor.expect("EXPLAIN")
    analyze = cursor.accept("ANALYZE")
    if cursor.token.upper == "(" and cursor.tokens[cursor.at + 1].upper in ("FORMAT", "ANALYZE"):
        options = cursor.brackets()
        if options.upper() not in ("ANALYZE", "FORMAT TEXT"):
            raise error_at(
                call.text, cursor.token.start, "only plans as text are given", hint="EXPLAIN SELECT …"
            )
        analyze = analyze or options.upper() == "ANALYZE"
    edited = Edited(call.text, [Edit(0, cursor.token.start, "")])
    inner = call.statement.part(edited.text)
    if inner.keywords(2) == ("MERGE", "DATABASE"):
        hint = "MERGE DATABASE … DRY RUN tells what it would do"
        raise error_at(call.text, cursor.token.start, "merges of databases are not explained", hint=hint)
    verb = verb_of(inner)
    if verb in CHANGES and not analyze:
        try:
            return explainer_of_changes()(call.of(inner))
        except QueryError as error:
            raise placed_back(error, edited.text, [edited]) from error
    if verb not in QUERIES:
        message, hint = _refusal(verb)
        raise error_at(call.text, cursor.token.start, message, hint=hint)
    rewriter = call.rewriter()
    prepared = rewriter.prepare(edited.text, [call.statement.named, edited])
    rows = explained(call.session.backend, prepared, call.values, analyze=analyze)
    return explanation([*rows, *tables(call, rewriter.tables_read)])


def _refusal(verb: str) -> tuple[str, str]:
    if verb in CHANGES:
        return (
            f"EXPLAIN ANALYZE {verb} would change rows",
            "EXPLAIN tells what it would do; to see how long it takes, run it between BEGIN and ROLLBACK",
        )
    return "only queries and changes of rows are explained", f"it may be one of {', '.join(CHANGES)}"


def explanation(rows: list[tuple[str, str]]) -> Result:
    """What EXPLAIN gives back."""
    return Result(table=listed(_PLAN, rows), statement="EXPLAIN")


def tables(call: Call, reads: list[TableRead]) -> list[tuple[str, str]]:
    """What is read of each table, in one row if there are any."""
    notes = [
        _told(read, selection(read.named.schema, read.ref, read.beside, call.values, read.frames))
        for read in reads
    ]
    return [("tables", "\n".join(dict.fromkeys(notes)))] if notes else []


def _told(read: TableRead, selection: Selection | None) -> str:
    """What is read of one table."""
    named = read.named
    reader = named.view.reader(named.schema)
    columns = "all columns" if read.columns is None else ", ".join(read.columns)
    lines, sections = layers_told(reader)
    pages = sum(len(section.pages) for section in sections)
    left = pages if selection is None else sum(_pages_left(section, selection) for section in sections)
    by = "" if selection is None else _by(selection)
    return "\n".join(
        [
            f"{table_told(named, reader)}: {columns}",
            *lines,
            f"  reads {left:,} of {counted(pages, 'page')}{by}",
        ]
    )


def table_told(named: NamedTable, reader: TableReader) -> str:
    """A table, and the state of it that is looked at."""
    state = f"{named.view.info.name} @ {named.view.past or Lsn(position(reader.layers.lineage))}"
    return f"{named.schema.full_name} ({state})"


def layers_told(reader: TableReader) -> tuple[list[str], list[Section]]:
    """The layers of a table: a line for each that has rows, and what lies in them."""
    lines, sections = [], []
    layers = [("image", section, True) for section in reader.layers.fixed]
    for cover, after, upto in reader.layers.intervals:
        layers += [("run", run.at(upto), run.is_stored) for run in cover.runs(after, upto)]
    if reader.own is not None:
        layers += [("own", section, False) for section in reader.own.sections(-1, reader.own_upto)]
    for kind, section, stored in layers:
        if not section.rows:
            continue
        where = "" if stored else "written in this transaction, " if kind == "own" else "in memory, "
        what = kind if kind != "own" else "run"
        lines.append(
            f"  {what}: {where}{counted(len(section.pages), 'page')}, {counted(section.rows, 'row')}"
        )
        sections.append(section)
    return lines, sections


def _by(selection: Selection) -> str:
    return (
        f", by {counted(len(selection.keys), 'key')}"
        if selection.keys is not None
        else ", by a range of keys"
    )


def _pages_left(section: Section, selection: Selection) -> int:
    """How many pages can hold one of the keys, or lie in the range."""
    if selection.keys is None:
        return len({id(page) for page, _, _ in section.slice_keys(*selection.key_range)})
    firsts = section.firsts
    found = set()
    for key in selection.keys:
        number = section.page_for(key)
        if number < len(section.pages) and search_one(firsts, key, "right") > number:
            found.add(number)
    return len(found)
