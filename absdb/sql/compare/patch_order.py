"""In which order the tables of a patch come, and how they get their names. Called by patch.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from absdb.catalog.schema import ForeignKey, TableSchema
from absdb.ids import TableId
from absdb.sql.compare.definitions import path_of, table_path
from absdb.sql.text.tokens import quoted


def parents_first(
    tables: Mapping[TableId, TableSchema],
) -> tuple[list[TableId], set[tuple[TableId, TableId]]]:
    """(tables after those that they refer to, references that no order satisfies: to itself, or round in a circle)."""
    order: list[TableId] = []
    open_to: list[TableId] = []
    circular: set[tuple[TableId, TableId]] = set()

    def visit(table: TableId) -> None:
        open_to.append(table)
        for constraint in tables[table].constraints:
            if not isinstance(constraint, ForeignKey) or constraint.table not in tables:
                continue
            if constraint.table in open_to:
                circular.add((table, constraint.table))
            elif constraint.table not in order:
                visit(constraint.table)
        open_to.pop()
        order.append(table)

    for table in tables:
        if table not in order:
            visit(table)
    return order, circular


def renames(pairs: Sequence[tuple[TableSchema, TableSchema]]) -> Iterator[str]:
    """ALTER TABLE for those that have another name or schema; by way of free names where another has the name still."""
    moved = [(source, target) for source, target in pairs if table_path(source) != table_path(target)]
    taken = {table_path(source).casefold() for source, _ in moved}
    waiting = []
    for number, (source, target) in enumerate(moved):
        if source.namespace == target.namespace and table_path(target).casefold() not in taken:
            yield f"ALTER TABLE {table_path(source)} RENAME TO {quoted(target.name)};\n"
            continue
        free = f"moved {number} {target.name}"
        yield f"ALTER TABLE {table_path(source)} RENAME TO {quoted(free)};\n"
        if source.namespace != target.namespace:
            yield f"ALTER TABLE {path_of(source.namespace, free)} SET SCHEMA {quoted(target.namespace)};\n"
        waiting.append((path_of(target.namespace, free), target.name))
    for path, name in waiting:
        yield f"ALTER TABLE {path} RENAME TO {quoted(name)};\n"
