"""Which of the rows that differ are wanted, and what counts as a difference: over the stream that `diff_rows` makes.

    tolerance    floats that are nearly equal are equal: they leave `changed`, and rows that keep nothing there go
    columns      modified rows in which one of these changed
    kinds        added, modified, removed
    predicate    an SQL condition over the columns of the diff, evaluated a batch at a time
    limit        no more rows than that; the rest is not read

in this order, a batch at a time, so that memory and cost stay those of the stream. Ignored columns are left out
before, where rows are compared. Called by the diffs that users hold, and by the listings of SQL.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.engine.expressions import Evaluator
from absdb.errors import InvalidInputError, NotFoundError, QueryError
from absdb.pages.types import describe_type, physical_type, to_physical
from absdb.paths import check_names
from absdb.versioning.diff_rows import DIFF_TYPES
from absdb.versioning.table_diff import TableDiff

Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted of a diff. Floats are equal if they differ by no more than `tolerance`, or by no more than
    `relative_tolerance` times the larger of the two."""

    kinds: tuple[str, ...] = DIFF_TYPES
    columns: tuple[str, ...] | None = None
    predicate: str | None = None
    ignore: tuple[str, ...] = ()
    tolerance: float = 0.0
    relative_tolerance: float = 0.0
    limit: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether every row that differs in a column that is compared is wanted."""
        return self == Choice(ignore=self.ignore)


def choice(given: Choice | None = None, **wanted: Any) -> Choice:
    """What is wanted, with None for what `given` says. InvalidInputError for what is no kind, tolerance or limit."""
    named: dict[str, Any] = {
        name: _CHECKED[name](value) for name, value in wanted.items() if value is not None
    }
    return dataclasses.replace(given or Choice(), **named)


def _kinds(value: Any) -> tuple[str, ...]:
    found = check_names("kinds", [value] if isinstance(value, str) else value)
    for kind in found:
        if kind not in DIFF_TYPES:
            raise InvalidInputError(
                f"{kind!r} is no kind of difference", hint=f"kinds: {', '.join(DIFF_TYPES)}"
            )
    return tuple(found)


def _names(what: str, value: Any) -> tuple[str, ...]:
    return tuple(check_names(what, [value] if isinstance(value, str) else value))


def _predicate(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(
            f"{value!r} is no condition", hint="pass SQL, such as 'to_total > from_total'"
        )
    return value


def _tolerance(value: Any) -> float:
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0 <= number < math.inf:
        raise InvalidInputError(f"{value!r} is no tolerance", hint="pass a number, 0 or more, such as 1e-9")
    return number


def _limit(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidInputError(f"{value!r} is no number of rows", hint="pass a whole number, 0 or more")
    return value


_CHECKED: dict[str, Callable[[Any], Any]] = {
    "kinds": _kinds,
    "columns": lambda value: _names("columns", value),
    "predicate": _predicate,
    "ignore": lambda value: _names("ignore", value),
    "tolerance": _tolerance,
    "relative_tolerance": _tolerance,
    "limit": _limit,
}


def check_columns(wanted: Choice, names: Sequence[str], what: str) -> None:
    """NotFoundError for a column to ignore or to look at that is not compared in `what`."""
    for name in (*wanted.ignore, *(wanted.columns or ())):
        if name not in names:
            raise NotFoundError(
                f"{name!r} is not a column that is compared in {what}",
                hint=f"these are: {', '.join(names) or 'none'}",
                column=name,
            )


def without(diff: TableDiff, ignored: Sequence[str]) -> TableDiff:
    """The diff of the other columns."""
    if not ignored:
        return diff
    narrowed = copy.copy(diff)
    narrowed.columns = [shared for shared in diff.columns if shared.name not in ignored]
    return narrowed


def chosen(
    rows: pa.RecordBatchReader, names: Sequence[str], wanted: Choice, evaluator: Evaluator
) -> pa.RecordBatchReader:
    """The rows that are wanted; `names` are the compared columns, whose sides stand before `changed`."""
    if wanted.is_plain:
        return rows
    return pa.RecordBatchReader.from_batches(rows.schema, _batches(rows, list(names), wanted, evaluator))


def _batches(
    rows: pa.RecordBatchReader, names: list[str], wanted: Choice, evaluator: Evaluator
) -> Iterator[pa.RecordBatch]:
    left = wanted.limit
    while left is None or left > 0:
        batch = next(rows, None)
        if batch is None:
            return
        batch = _wanted(batch, names, wanted, evaluator)
        if left is not None:
            batch = batch.slice(0, left)
            left -= batch.num_rows
        if batch.num_rows:
            yield batch


def _wanted(batch: pa.RecordBatch, names: list[str], wanted: Choice, evaluator: Evaluator) -> pa.RecordBatch:
    if wanted.tolerance or wanted.relative_tolerance:
        batch = _tolerated(batch, names, wanted)
    if wanted.columns is not None:
        batch = batch.filter(pa.array(_has_changed(batch, wanted.columns)))
    if wanted.kinds != DIFF_TYPES:
        batch = batch.filter(pc.is_in(batch.column(0), pa.array(wanted.kinds, pa.string())))
    return batch if wanted.predicate is None else holding(batch, wanted.predicate, evaluator)


def _has_changed(batch: pa.RecordBatch, columns: Sequence[str]) -> Bools:
    """For each row whether one of the columns is among those that changed."""
    changed = batch.column(batch.num_columns - 1)
    hits = pc.is_in(changed.flatten(), pa.array(columns, pa.string()))
    found = np.zeros(batch.num_rows, bool)
    found[pc.list_parent_indices(changed).filter(hits).to_numpy()] = True
    return found


# -- tolerance


def _tolerated(batch: pa.RecordBatch, names: list[str], wanted: Choice) -> pa.RecordBatch:
    """The batch without differences of floats that are within the tolerance."""
    at = batch.num_columns - 1
    changed = batch.column(at)
    parents, values = pc.list_parent_indices(changed).to_numpy(), changed.flatten()
    kept = np.ones(len(values), bool)
    for number, name in enumerate(names):
        sides = batch.column(at - 2 * (len(names) - number)), batch.column(at - 2 * (len(names) - number) + 1)
        if not _is_measured(*sides):
            continue
        where = np.flatnonzero(pc.equal(values, name).to_numpy(zero_copy_only=False))
        rows = pa.array(parents[where])
        kept[where] = ~_near(sides[0].take(rows), sides[1].take(rows), wanted)
    if kept.all():
        return batch
    counts = np.bincount(parents[kept], minlength=batch.num_rows)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    mask = changed.is_null()
    lists = pa.ListArray.from_arrays(pa.array(offsets), values.filter(pa.array(kept)), mask=mask)
    batch = batch.set_column(at, batch.schema.field(at), lists)
    return batch.filter(pa.array((counts > 0) | mask.to_numpy(zero_copy_only=False)))


def _is_measured(*sides: pa.Array) -> bool:
    """Whether two columns are numbers of which one is a float."""
    kinds = [physical_type(side.type) for side in sides]
    numbers = all(pt.is_floating(kind) or pt.is_integer(kind) for kind in kinds)
    return numbers and any(pt.is_floating(kind) for kind in kinds)


def _near(old: pa.Array, new: pa.Array, wanted: Choice) -> Bools:
    a, b = (_floats(side) for side in (old, new))
    with np.errstate(invalid="ignore", over="ignore"):
        allowed = np.maximum(wanted.tolerance, wanted.relative_tolerance * np.maximum(np.abs(a), np.abs(b)))
        near: Bools = np.isfinite(a) & np.isfinite(b) & (np.abs(a - b) <= allowed)
    return near


def _floats(side: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The values, NaN for NULL, which is near nothing."""
    physical = to_physical(side, side.type)
    if pt.is_integer(physical.type):
        physical = physical.cast(pa.float64(), safe=False)
    return np.asarray(physical.to_numpy(zero_copy_only=False), np.float64)


# -- predicate


def holding(batch: pa.RecordBatch, predicate: str, evaluator: Evaluator) -> pa.RecordBatch:
    """The rows for which an SQL condition is true. InvalidInputError for a column that is not there."""
    found = evaluator.evaluate([predicate], _read(batch, predicate, evaluator))[0]
    if not pt.is_boolean(found.type):
        raise QueryError(
            f"({predicate}) is no condition: it gives {describe_type(found.type)}",
            hint="compare something, such as to_total > from_total",
        )
    return batch.filter(found)


def _read(batch: pa.RecordBatch, predicate: str, evaluator: Evaluator) -> pa.Table:
    """The columns that a condition reads, one at least."""
    folded = [name.casefold() for name in batch.schema.names]
    wanted = {0}
    for name in evaluator.columns_of(predicate):
        path = name.casefold()
        found = path if path in folded else path.partition(".")[0]
        if found not in folded:
            raise InvalidInputError(
                f"({predicate}) reads {name!r}, which is not a column of the diff",
                hint=f"its columns are {', '.join(batch.schema.names)}",
                column=name,
            )
        wanted |= {at for at, known in enumerate(folded) if known == found}
    return pa.table(batch.select(sorted(wanted)))
