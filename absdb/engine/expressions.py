"""What the engine asks of whoever understands SQL expressions: CHECK, DEFAULT and generated columns.

The engine stores such expressions as text and never looks into them. `sql/` provides the evaluator; an instance
opened without one refuses tables that need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from absdb.errors import StateError


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
