"""What the engine asks of whoever understands SQL expressions: CHECK, DEFAULT and generated columns.

The engine stores such expressions as text and never looks into them. `sql/` provides the evaluator; an instance
opened without one refuses tables that need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import pyarrow as pa

from absdb.catalog.schema import Column, TableSchema
from absdb.errors import InvalidInputError, StateError


class Evaluator(Protocol):
    """Evaluates SQL expressions over rows."""

    def evaluate(self, expressions: Sequence[str], rows: pa.Table) -> list[pa.Array]:
        """For each expression one value per row, in the order of the rows. QueryError says what is wrong with it."""
        ...

    def columns_of(self, expression: str) -> list[str]:
        """The names of the columns an expression reads. QueryError if it is no expression."""
        ...


class NoEvaluator:
    """Stands in where no SQL is available."""

    def evaluate(self, expressions: Sequence[str], rows: pa.Table) -> list[pa.Array]:
        raise self._refusal(expressions[0])

    def columns_of(self, expression: str) -> list[str]:
        raise self._refusal(expression)

    def _refusal(self, expression: str) -> StateError:
        return StateError(
            f"the expression {expression!r} needs SQL, which this engine was opened without",
            hint="open the instance with absdb.connect()",
        )


def columns_read(evaluator: Evaluator, schema: TableSchema, expressions: Iterable[str]) -> list[Column]:
    """The columns of a table that expressions read, each once; InvalidInputError for one it has not.

    As in SQL, upper and lower case are one, and `a.b` may be field b of column a.
    """
    found: dict[str, Column] = {}
    for text in expressions:
        for name in evaluator.columns_of(text):
            column = _named(schema, name)
            if column is None:
                raise InvalidInputError(
                    f"table {schema.full_name!r}: ({text}) reads {name!r}, which is not a column of it",
                    hint=f"its columns are {', '.join(schema.by_name)}",
                    table=schema.full_name,
                )
            known = found.setdefault(column.name.casefold(), column)
            if known.id != column.id:
                raise InvalidInputError(
                    f"table {schema.full_name!r}: SQL cannot tell its columns {known.name!r} and {column.name!r} apart",
                    hint="rename one of them",
                    table=schema.full_name,
                )
    return list(found.values())


def _named(schema: TableSchema, name: str) -> Column | None:
    for candidate in (name, name.partition(".")[0]):
        exact = schema.by_name.get(candidate)
        if exact is not None:
            return exact
        alike = [
            column for known, column in schema.by_name.items() if known.casefold() == candidate.casefold()
        ]
        if alike:
            return alike[0]
    return None
