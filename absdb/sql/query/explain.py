"""EXPLAIN and EXPLAIN ANALYZE: DuckDB's plan, and what of each table is read for it.

    explain_key     physical_plan, and others that DuckDB's setting explain_output asks for
    explain_value   the plan
    tables          absdb's part: per table its state, its layers (image, runs, rows in memory), and which of
                    their pages the keys that the WHERE clause names leave over

Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from absdb.catalog.lineage import position
from absdb.engine.listing import field, listed
from absdb.ids import Lsn
from absdb.pages.key import search_one
from absdb.pages.section import Section
from absdb.reprs import counted
from absdb.sql.dispatch import QUERIES
from absdb.sql.query.prune import Selection, selection
from absdb.sql.query.result import Result
from absdb.sql.query.run import explained
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at

if TYPE_CHECKING:
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
    first = cursor.token
    if first.upper not in (*QUERIES, "WITH"):
        raise error_at(
            call.text,
            first.start,
            "only queries are explained",
            hint="explain the SELECT that gives the rows to change",
        )
    edited = Edited(call.text, [Edit(0, first.start, "")])
    rewriter = call.rewriter()
    prepared = rewriter.prepare(edited.text, [call.statement.named, edited])
    rows = explained(call.session.backend, prepared, call.values, analyze=analyze)
    notes = [
        _told(read, selection(read.named.schema, read.ref, read.beside, call.values, read.frames))
        for read in rewriter.tables_read
    ]
    if notes:
        rows.append(("tables", "\n".join(notes)))
    return Result(table=listed(_PLAN, rows), statement="EXPLAIN")


def _told(read: TableRead, selection: Selection | None) -> str:
    """What is read of one table."""
    named = read.named
    reader = named.view.reader(named.schema)
    state = f"{named.view.info.name} @ {named.view.past or Lsn(position(reader.layers.lineage))}"
    columns = "all columns" if read.columns is None else ", ".join(read.columns)
    lines = [f"{named.schema.full_name} ({state}): {columns}"]
    layers = [("image", section, True) for section in reader.layers.fixed]
    for cover, after, upto in reader.layers.intervals:
        layers += [("run", run.at(upto), run.is_stored) for run in cover.runs(after, upto)]
    if reader.own is not None:
        layers += [("own", section, False) for section in reader.own.sections(-1, reader.own_upto)]
    pages = left = 0
    for kind, section, stored in layers:
        if not section.rows:
            continue
        where = "" if stored else "written in this transaction, " if kind == "own" else "in memory, "
        what = kind if kind != "own" else "run"
        lines.append(
            f"  {what}: {where}{counted(len(section.pages), 'page')}, {counted(section.rows, 'row')}"
        )
        pages += len(section.pages)
        left += len(section.pages) if selection is None else _pages_left(section, selection)
    by = "" if selection is None else _by(selection)
    lines.append(f"  reads {left:,} of {counted(pages, 'page')}{by}")
    return "\n".join(lines)


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
