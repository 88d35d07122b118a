"""The value of an expression that stands alone in a statement: a point in time, the argument of a listing.

Literals and parameters are taken as they are; everything else DuckDB computes. Called by rewrite.py and
functions.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.errors import AbsdbError
from absdb.sql.duck.duck_errors import query_error
from absdb.sql.query.run import table
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, tokenize

if TYPE_CHECKING:
    from absdb.sql.query.rewrite import Rewriter


def evaluate(rewriter: Rewriter, text: str, start: int, stop: int) -> Any:
    """The value of `text[start:stop]` as Python has it. QueryError if it depends on rows or fails."""
    tokens = tokenize(text[start:stop])
    if len(tokens) == 2:
        only = tokens[0]
        if only.kind is Kind.STRING:
            return only.value
        if only.kind is Kind.NUMBER and only.value.isdecimal():
            return int(only.value)
        if only.kind is Kind.PARAMETER:
            return rewriter.values[only.value]
    # The expression keeps its place, so that errors point at it.
    edited = Edited(text, [Edit(0, start, "SELECT ("), Edit(stop, len(text), "\n)")])
    inner = rewriter.alone()
    try:
        prepared = inner.prepare(edited.text, [edited])
        return _python(table(inner.backend, prepared, inner.values).column(0))
    except AbsdbError as error:
        raise error_at(text, start, error.message.split("\n")[0], hint=error.hint) from error
    except Exception as error:
        raise query_error(error, edited.text, [edited]) from error


def _python(column: pa.ChunkedArray) -> Any:
    """The only value of a column; the fields of a row without names, `(1, 'x')`, as a tuple."""
    if pt.is_struct(column.type) and not any(field.name for field in column.type):
        return tuple(pc.struct_field(column, [at])[0].as_py() for at in range(column.type.num_fields))
    return column[0].as_py()
