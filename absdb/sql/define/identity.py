"""Where the values of an identity column begin, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence

from absdb.catalog.schema import TableSchema
from absdb.sql.define.column_clauses import ColumnClause
from absdb.versioning.scope import TransactionScope


def start_identity(scope: TransactionScope, schema: TableSchema, columns: Sequence[ColumnClause]) -> None:
    """Let the sequences of new identity columns count as their clauses say; before they hand out a value."""
    for clause in columns:
        options = clause.identity
        if options is None:
            continue
        default = schema.column(clause.name).default
        assert default is not None, "an identity column has a sequence"
        entity = ("sequence", default.value)
        definition = scope.catalog().entities[entity]
        changed = {**definition, "start": options.first, "increment": options.increment}
        scope.tx.change_schema({entity: {**changed, **options.bounds()}})
