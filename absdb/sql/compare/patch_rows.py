"""INSERT, UPDATE and DELETE that make the rows of one table those of another state.

    by key       of a row diff: DELETE of what was removed, UPDATE of what changed in a row, INSERT of what was added;
                 a row whose key has changed is one that was removed and one that was added
    by content   of a table without a key: rows that come a different number of times are removed, and put back as
                 often as they come

A few rows have a statement each, to be read by people; many share one, at most STATEMENT_ROWS. Literals are put
together column by column. Called by patch_changes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from absdb.engine.engine import Engine
from absdb.sql.compare.literals import literals
from absdb.sql.duck.streams import RowStream
from absdb.sql.text.tokens import quoted

STATEMENT_ROWS = 500
ROWS_ALONE = 20
"""As many rows have a statement each."""
SHAPES_MAX = 32
"""If rows of a batch changed in more combinations of columns than this, every one is set in all columns."""
_TEXT = pa.string()
_BETWEEN = "\x1f"


class RowPatch:
    """The statements for a table; `kinds` are the types of its columns in DuckDB's words."""

    def __init__(self, engine: Engine, path: str, key: Sequence[str], kinds: Mapping[str, str]) -> None:
        self._engine = engine
        self._path = path
        self._key = list(key)
        self._kinds = kinds

    def deletes(self, rows: RowStream) -> Iterator[str]:
        """Of the removed rows of a diff, whose columns are `diff_type` and `key <name>`."""
        kinds = {f"key {name}": self._kinds[name] for name in self._key}
        for batch in literals(self._engine, rows, kinds, "diff_type = 'removed'"):
            for part in _parts(batch):
                if len(self._key) == 1:
                    given = ", ".join(part.column(0).to_pylist())
                    yield f"DELETE FROM {self._path} WHERE {quoted(self._key[0])} IN ({given});\n"
                else:
                    same = self._same(self._key, "=")
                    yield f"DELETE FROM {self._path} USING {_values(part, self._key)} WHERE {same};\n"

    def inserts(self, rows: Any, names: Mapping[str, str], where: str = "true") -> Iterator[str]:
        """Of rows for which `where` holds; `names` says for each column of theirs which one of the table it is."""
        kinds = {name: self._kinds[column] for name, column in names.items()}
        into = f"INSERT INTO {self._path} ({', '.join(map(quoted, names.values()))}) VALUES\n"
        for batch in literals(self._engine, rows, kinds, where):
            for part in _parts(batch):
                yield f"{into}  {_tuples(part)};\n"

    def updates(self, rows: RowStream, names: Sequence[str]) -> Iterator[str]:
        """Of the modified rows of a diff, with `key <name>`, `to <name>` and `changed`: which set what changed."""
        kinds = {f"key {name}": self._kinds[name] for name in self._key}
        kinds |= {f"to {name}": self._kinds[name] for name in names}
        for batch in literals(self._engine, rows, kinds, "diff_type = 'modified'", ["changed"]):
            shapes = pc.binary_join(batch.column("changed").cast(pa.list_(_TEXT)), _BETWEEN)
            batch = batch.drop_columns(["changed"]).rename_columns([*self._key, *names])
            distinct = pc.unique(shapes).to_pylist()
            for shape in distinct if len(distinct) <= SHAPES_MAX else [None]:
                changed = set(names) if shape is None else set(shape.split(_BETWEEN))
                same = batch if shape is None else batch.filter(pc.equal(shapes, shape))
                yield from self.sets(same, [name for name in names if name in changed])

    def sets(self, rows: pa.RecordBatch, names: Sequence[str]) -> Iterator[str]:
        """Updates that set the columns in `names` of rows of literals, which have the key too."""
        if not names:
            return
        rows = rows.select([*self._key, *names])
        if rows.num_rows <= ROWS_ALONE:
            yield from self._alone(rows, names)
            return
        assigned = ", ".join(f"{quoted(name)} = v.{quoted(name)}::{self._kinds[name]}" for name in names)
        for part in _parts(rows):
            values = _values(part, [*self._key, *names])
            yield f"UPDATE {self._path} SET {assigned} FROM {values} WHERE {self._same(self._key, '=')};\n"

    def _alone(self, rows: pa.RecordBatch, names: Sequence[str]) -> Iterator[str]:
        for row in rows.to_pylist():
            assigned = ", ".join(f"{quoted(name)} = {row[name]}" for name in names)
            where = " AND ".join(f"{quoted(name)} = {row[name]}" for name in self._key)
            yield f"UPDATE {self._path} SET {assigned} WHERE {where};\n"

    def contents(self, rows: RowStream, names: Sequence[str]) -> Iterator[str]:
        """Of distinct rows with `from_count` and `to_count`: they go, and come back as often as they should."""
        kinds = {name: self._kinds[name] for name in names}
        same = self._same(names, "IS NOT DISTINCT FROM")
        for batch in literals(self._engine, rows, kinds, "to_count < from_count"):
            for part in _parts(batch):
                yield f"DELETE FROM {self._path} USING {_values(part, names)} WHERE {same};\n"
        into = f"INSERT INTO {self._path} ({', '.join(map(quoted, names))}) VALUES\n"
        counts = ["from_count", "to_count"]
        for batch in literals(self._engine, rows, kinds, "to_count > 0", counts):
            old, new = (batch.column(name) for name in counts)
            times = pc.if_else(pc.greater(new, old), pc.subtract(new, old), new).to_numpy()
            for part in _parts(batch.select(list(names)).take(pa.array(_repeated(times)))):
                yield f"{into}  {_tuples(part)};\n"

    def _same(self, names: Sequence[str], operator: str) -> str:
        return " AND ".join(
            f"{self._path}.{quoted(name)} {operator} v.{quoted(name)}::{self._kinds[name]}" for name in names
        )


def _repeated(times: Any) -> Any:
    """Each position as often as it says."""
    import numpy as np

    return np.repeat(np.arange(len(times)), times)


def _parts(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """As many rows as go into one statement."""
    for start in range(0, rows.num_rows, STATEMENT_ROWS):
        yield rows.slice(start, STATEMENT_ROWS)


def _tuples(rows: pa.RecordBatch) -> str:
    """(1, 'a'),
    (2, 'b')"""
    texts = pc.binary_join_element_wise(
        *(column.cast(_TEXT) for column in rows.columns), pa.scalar(", ", _TEXT)
    )
    return ",\n  ".join(f"({text})" for text in texts.to_pylist())


def _values(rows: pa.RecordBatch, names: Sequence[str]) -> str:
    return f"(VALUES\n  {_tuples(rows)}\n) AS v({', '.join(map(quoted, names))})"
