"""ALTER TABLE that makes the definition of a table that of another state, without its constraints.

    before the rows    columns dropped, renamed, added, given another type; defaults; NULLs allowed
    after the rows     NULLs forbidden

A column that was added reads as its initial default in rows that are there, as it does in the other state. Called by
patch.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from absdb.catalog.schema import Column, TableSchema
from absdb.pages.types import can_widen, physical_type
from absdb.sql.compare.definitions import Definitions, inexpressible, table_path
from absdb.sql.compare.literals import value_literal
from absdb.sql.listings.default_text import is_identity
from absdb.sql.text.tokens import literal, quoted
from absdb.versioning.retyped import origin_of


class TableChanges:
    """What becomes of the definition of one table that both states have."""

    def __init__(
        self, source: TableSchema, target: TableSchema, old: Definitions, new: Definitions, *, related: bool
    ) -> None:
        """`related` if the two are one table; else their definitions are the same."""
        self.source = source
        self.target = target
        self._old = old
        self._new = new
        self._path = table_path(target)

        def identity(schema: TableSchema, column: Column) -> int | str:
            return origin_of(schema, column) if related else column.name

        befores = {identity(source, column): column for column in source.columns}
        self.pairs: list[tuple[Column | None, Column]] = [
            (befores.pop(identity(target, column), None), column) for column in target.columns
        ]
        """Each column of the target with what it was; None for one that is new."""
        self.dropped = list(befores.values())
        self._check()

    def _check(self) -> None:
        """InvalidInputError for what no statement does."""
        name = self.target.full_name
        if self.source.options != self.target.options:
            raise inexpressible(
                f"other merge policies of table {name!r}", "set_merge_policy() sets them in Python"
            )
        kept = [before.id for before, _ in self.pairs if before is not None]
        order = [column.id for column in self.source.columns if column.id in kept]
        if order != kept or None in [b for b, _ in self.pairs][: len(kept)]:
            raise inexpressible(
                f"the order of the columns of table {name!r}", "reorder_columns() does it in Python"
            )
        for before, after in self.pairs:
            if before is None:
                continue
            if before.generated != after.generated:
                raise inexpressible(
                    f"another expression of the generated column {after.name!r} of table {name!r}"
                )
            if before.default != after.default and is_identity(after, self._new.catalog):
                raise inexpressible(f"that column {after.name!r} of table {name!r} counts by itself")

    @property
    def cast(self) -> list[tuple[Column, Column]]:
        """The columns whose values do not all fit into their new type, as they were and as they are."""
        return [
            (before, after) for before, after in self.pairs if before is not None and not _fits(before, after)
        ]

    def before_rows(self) -> Iterator[str]:
        """The statements that come before those about rows."""
        for column in self.dropped:
            yield self._alter(f"DROP COLUMN {quoted(column.name)}")
        yield from self._renames()
        for before, after in self.pairs:
            yield from self._added(after) if before is None else self._altered(before, after)
        if self.source.compression != self.target.compression:
            yield self._alter(f"SET (compression = '{self.target.compression or 'none'}')")
        yield from self._comments()

    def _renames(self) -> Iterator[str]:
        """By way of names that nothing has, where another column has the name still."""
        changed = [(b.name, a.name) for b, a in self.pairs if b is not None and b.name != a.name]
        taken = {old.casefold() for old, _ in changed}
        for number, (old, new) in enumerate(changed):
            if new.casefold() in taken:
                yield self._alter(f"RENAME COLUMN {quoted(old)} TO {quoted(f'renamed {number} {new}')}")
            else:
                yield self._alter(f"RENAME COLUMN {quoted(old)} TO {quoted(new)}")
        for number, (_, new) in enumerate(changed):
            if new.casefold() in taken:
                yield self._alter(f"RENAME COLUMN {quoted(f'renamed {number} {new}')} TO {quoted(new)}")

    def _added(self, column: Column) -> Iterator[str]:
        if column.generated is not None or is_identity(column, self._new.catalog):
            yield self._alter(f"ADD COLUMN {self._new.column(self.target, column)}")
            return
        initial = value_literal(self._new.engine, column.initial_default, column.type)
        default = "" if column.initial_default is None else f" DEFAULT {initial}"
        yield self._alter(
            f"ADD COLUMN {quoted(column.name)} {self._new.type_of(self.target, column)}{default}"
        )
        now = self._new.default(column)
        if now != (None if column.initial_default is None else initial):
            yield self._default(column, now)

    def _altered(self, before: Column, after: Column) -> Iterator[str]:
        name, casts = quoted(after.name), not _fits(before, after)
        if not before.nullable and (after.nullable or casts) and after.id not in self.target.key:
            yield self._alter(f"ALTER COLUMN {name} DROP NOT NULL")
        if before.type != after.type:
            kind = self._new.type_of(self.target, after)
            using = f" USING TRY_CAST({name} AS {kind})" if casts else ""
            if casts and before.default is not None:
                yield self._default(after, None)
            yield self._alter(f"ALTER COLUMN {name} TYPE {kind}{using}")
        old = None if casts else self._old.default(before)
        if old != (now := self._new.default(after)):
            yield self._default(after, now)

    def _default(self, column: Column, text: str | None) -> str:
        action = "DROP DEFAULT" if text is None else f"SET DEFAULT {text}"
        return self._alter(f"ALTER COLUMN {quoted(column.name)} {action}")

    def after_rows(self) -> Iterator[str]:
        """The statements that come after those about rows."""
        for before, after in self.pairs:
            was_open = before is None or before.nullable or not _fits(before, after)
            computed = before is None and (
                after.generated is not None or is_identity(after, self._new.catalog)
            )
            if was_open and not after.nullable and not computed and after.id not in self.target.key:
                yield self._alter(f"ALTER COLUMN {quoted(after.name)} SET NOT NULL")

    def _comments(self) -> Iterator[str]:
        if self.source.comment != self.target.comment:
            yield f"COMMENT ON TABLE {self._path} IS {literal(self.target.comment)};\n"
        for before, after in self.pairs:
            if ("" if before is None else before.comment) != after.comment:
                yield f"COMMENT ON COLUMN {self._path}.{quoted(after.name)} IS {literal(after.comment)};\n"

    def _alter(self, action: str) -> str:
        return f"ALTER TABLE {self._path} {action};\n"


def _fits(before: Column, after: Column) -> bool:
    """Whether every value of a column is one of the other's type, so that none is computed."""
    old, new = physical_type(before.type), physical_type(after.type)
    return bool(old == new or can_widen(old, new))
