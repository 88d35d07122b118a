"""The target of a statement as a table of the query that computes what changes.

A table with a key stands there under its own name, so that only the columns and rows are read that the query needs;
a table without one is handed over with the hidden keys of its rows. Called by update.py, delete.py, on_conflict.py
and merge_into.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from absdb.engine import row_changes
from absdb.sql.change.target import TargetRef
from absdb.sql.duck.scan import readable
from absdb.sql.query.names import NamedTable
from absdb.sql.query.prepared import StandIn
from absdb.sql.text.assembly import Assembled, Piece, Span
from absdb.sql.text.tokens import quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.versioning.scope import TransactionScope

TARGET = "@target"


@dataclass(slots=True)
class TargetTable:
    """`pieces` name it behind FROM, `key` are its `stored_key` columns, qualified, `given` goes with the query."""

    label: str
    pieces: list[Piece]
    key: list[str]
    given: dict[str, Any] = field(default_factory=dict)

    def select(
        self,
        text: str,
        columns: Sequence[Piece],
        *,
        with_clause: Span | None,
        source: Sequence[Piece] | None,
        condition: Span | None,
    ) -> Assembled:
        """The query for rows of the target that meet `condition`, each once however many rows of `source` it meets."""
        pieces: list[Piece] = [with_clause, "\n"] if with_clause else []
        pieces.append("SELECT ")
        if source is not None:
            pieces.append(f"DISTINCT ON ({', '.join(self.key)}) ")
        pieces += [*columns, "\nFROM ", *self.pieces]
        if source is not None:
            pieces += [", ", *source]
        if condition:
            pieces += ["\nWHERE ", condition]
        return Assembled(text, pieces)


def target_table(
    call: Call, scope: TransactionScope, named: NamedTable, target: TargetRef, rows: Any = None
) -> TargetTable:
    """The target, or those `rows` of it that matter."""
    alias = f" AS {quoted(target.alias)}" if target.alias else ""
    label = target.label
    key = [f"{quoted(label)}.{quoted(name)}" for name in row_changes.stored_key(named.schema)]
    if named.schema.hidden_key is not None:
        rows = row_changes.with_row_ids(scope.reader(named.schema)) if rows is None else rows
    if rows is None:
        return TargetTable(label, [Span(target.start, target.stop), alias], key)
    given = {TARGET: StandIn(readable(rows), target.path)}
    return TargetTable(label, [quoted(TARGET), alias], key, given)
