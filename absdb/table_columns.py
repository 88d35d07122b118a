"""TableColumns: the half of Table that is about its definition: columns, constraints, name, comment.

Forwards to engine/ddl.py. Every change is a commit of its own (or part of the transaction); all of them
cost the same at any number of rows, but for a change of type that is no lossless widening, and for what has
to look at the rows (a new constraint, NOT NULL). Beside writers that never pause such a change is tried some
times and then made while their commits wait, each for at most 30 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine import column_changes, ddl
from absdb.engine.constraint_definition import ConstraintDefinition, add_constraint
from absdb.engine.definition import NO_DEFAULT
from absdb.engine.frames import listing
from absdb.engine.listing import columns, constraints
from absdb.engine.transaction import Transaction
from absdb.engine.type_text import as_type
from absdb.ids import TableId
from absdb.versioning.policies import policies_of, set_policies
from absdb.versioning.scope import Scope, find_table

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
TableWork = Callable[[Transaction, TableSchema], T]


class TableColumns:
    """A table's definition, seen and changed."""

    __slots__ = ("_id", "_name", "_scope")

    def __init__(self, scope: Scope, schema: TableSchema) -> None:
        self._scope = scope
        self._id: TableId = schema.id
        self._name = schema.full_name

    # -- seeing it

    @property
    def name(self) -> str:
        """`orders`, or `sales.orders` outside the default schema."""
        return self._definition().full_name

    @property
    def key(self) -> tuple[str, ...]:
        """The names of the key columns; empty for a table without a key."""
        return self._definition().key_names

    @property
    def schema(self) -> pa.Schema:
        """The columns as an Arrow schema, as `to_arrow()` gives them."""
        return self._definition().arrow_schema

    @property
    def comment(self) -> str:
        """What was said about the table when it was made."""
        return self._definition().comment

    def columns(self) -> pd.DataFrame:
        """One row a column, in order: name, type, nullable, key, default, generated, comment."""
        return listing(columns(self._definition()))

    def constraints(self) -> pd.DataFrame:
        """One row a constraint, the key first: name, kind, columns, definition."""
        return listing(constraints(self._definition(), self._scope.catalog()))

    # -- changing it

    def add_column(
        self,
        name: str,
        type: Any,
        *,
        default: Any = NO_DEFAULT,
        nullable: bool = True,
        default_sql: str | None = None,
        generated: str | None = None,
        identity: bool = False,
        comment: str = "",
        position: int | None = None,
        message: str = "",
    ) -> None:
        """Add a column, last unless `position` (from 0) says otherwise; rows that are there read as its default.

        `type` is an Arrow type or text such as "int64" or "decimal(12, 2)". Costs nothing per row with a
        plain default; one that has to be computed (`default_sql`, `generated`, `identity`) rewrites the
        rows.

            orders.add_column("channel", "string", default="web")
        """
        self._write(
            lambda tx, schema: column_changes.add_column(
                tx,
                schema,
                (name, type),
                position=position,
                default=default,
                nullable=nullable,
                default_sql=default_sql,
                generated=generated,
                identity=identity,
                comment=comment,
            ),
            message,
        )

    def drop_column(self, name: str, *, message: str = "") -> None:
        """Remove a column; states of the past still have it. Refused for key columns and what a constraint needs."""
        self._write(lambda tx, schema: ddl.drop_column(tx, schema, name), message)

    def rename_column(self, name: str, new_name: str, *, message: str = "") -> None:
        """Give a column another name; nothing else changes, and other branches' data still fits."""
        self._write(lambda tx, schema: ddl.rename_column(tx, schema, name, new_name), message)

    def retype_column(self, name: str, type: Any, *, using: str | None = None, message: str = "") -> None:
        """Change a column's type. A lossless widening costs nothing; anything else rewrites the rows.

        Values are cast, or computed by the SQL expression `using`. ConstraintError if one does not fit.
        """
        self._write(
            lambda tx, schema: ddl.retype_column(tx, schema, name, as_type(type), using=using), message
        )

    def reorder_columns(self, names: Sequence[str], *, message: str = "") -> None:
        """Put these columns first, in this order; the others follow as they were."""
        self._write(lambda tx, schema: ddl.reorder_columns(tx, schema, names), message)

    def alter_column(
        self,
        name: str,
        *,
        nullable: bool | None = None,
        default: Any = ...,
        comment: str | None = None,
        message: str = "",
    ) -> None:
        """Change what holds for a column from now on: NOT NULL, its default (None drops it), its comment.

        `nullable=False` is refused with a ConstraintError while there are NULLs.
        """
        self._write(
            lambda tx, schema: column_changes.alter_column(
                tx, schema, name, nullable=nullable, default=default, comment=comment
            ),
            message,
        )

    def add_constraint(self, constraint: ConstraintDefinition, *, message: str = "") -> None:
        """Add `absdb.Unique(…)`, `absdb.Check(…)` or `absdb.ForeignKey(…)`.

        The rows that are there must hold it, else ConstraintError with the keys of the first that do not.
        """
        self._write(lambda tx, schema: add_constraint(tx, schema, constraint), message)

    def drop_constraint(self, name: str, *, message: str = "") -> None:
        """Remove a constraint by name; `constraints()` lists them."""
        self._write(lambda tx, schema: ddl.drop_constraint(tx, schema, name), message)

    def rename(self, name: str, *, message: str = "") -> None:
        """Give the table another name, `schema.name` to move it; this object follows it."""
        self._name = self._write(
            lambda tx, schema: column_changes.rename_table(tx, schema, name), message
        ).full_name

    # -- how its conflicts are met

    def set_merge_policy(self, *, message: str = "", **policies: str | None) -> None:
        """Say what a merge does with cells that both sides changed, by column: `set_merge_policy(total="sum")`.

        A policy is ours, theirs, max, min, sum (both changes count), newest, or a name given to
        `absdb.register_merge_policy`; None takes it away. It belongs to the definition, and merges with it.
        InvalidInputError for a policy that is not there or does not fit the column's type.
        """
        self._write(lambda tx, schema: set_policies(tx, schema, policies), message)

    def merge_policies(self) -> dict[str, str]:
        """What was declared with `set_merge_policy`, by the names of columns."""
        return policies_of(self._definition())

    # -- how it is found

    def _definition(self) -> TableSchema:
        return find_table(self._scope.catalog(), self._id, self._name)

    def _write(self, work: TableWork[T], message: str = "", author: str | None = None) -> T:
        return self._scope.write(
            lambda tx: work(tx, find_table(tx.catalog, self._id, self._name)), message=message, author=author
        )
