"""What the columns of a table look like on both sides of a diff: share of NULL, distinct values, range, quantiles.

    column, type
    from_null_rate      to_null_rate      share of rows that are NULL, 0 to 1; missing where there is no row
    from_distinct       to_distinct       distinct values, estimated
    from_min, from_max  to_min, to_max    of everything that has an order
    from_q25 …          to_q25 …          quantiles of numbers, dates and times, estimated; floats that are finite

Each side is one query of DuckDB over its rows, with memory bounded; the cost is that of reading both. Columns that one
side has not are missing there. `group_totals` counts and sums by group. Called by TableDiff.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import InvalidInputError, NotFoundError
from absdb.pages.types import describe_type
from absdb.sql.compare.computed import computed
from absdb.sql.compare.patch_changes import rows_of
from absdb.sql.duck.connection import backend_of
from absdb.sql.duck.types import duckdb_type
from absdb.sql.text.tokens import quoted
from absdb.versioning.table_diff import TableDiff

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = (0.25, 0.5, 0.75)
_WITHOUT_ORDER = ("STRUCT", "MAP", "UNION", "BIT")
_MEASURED = ("DECIMAL", "DATE", "TIMESTAMP", "TIME", "FLOAT", "DOUBLE")


@dataclass(frozen=True, slots=True)
class Pair:
    """A column by the name it is shown under, and its name on each side, None where it is not."""

    name: str
    kind: pa.DataType
    source: str | None
    target: str | None


def column_pairs(diff: TableDiff) -> list[Pair]:
    """All columns of both sides: those of the target in its order, then those that only the source has."""
    old, new = diff.source.schema, diff.target.schema
    befores = {shared.target.id: shared.source for shared in diff.columns}
    befores |= dict(zip(new.key, old.key_columns, strict=True)) if new.key_names else {}
    there = {column.id for column in old.columns}
    pairs = []
    for column in new.columns:
        before = befores.get(column.id)
        has = before is not None and before.id in there
        pairs.append(
            Pair(column.name, column.type, before.name if has and before is not None else None, column.name)
        )
    known = {pair.source for pair in pairs}
    return pairs + [Pair(c.name, c.type, c.name, None) for c in old.columns if c.name not in known]


def profile(engine: Engine, diff: TableDiff, quantiles: Sequence[float] = QUANTILES) -> pd.DataFrame:
    """One row a column. InvalidInputError for a quantile that is not between 0 and 1."""
    import pandas as pd

    for quantile in quantiles:
        if not isinstance(quantile, (int, float)) or not 0 <= quantile <= 1:
            raise InvalidInputError(f"{quantile!r} is no quantile", hint="pass numbers from 0 to 1")
    pairs = column_pairs(diff)
    measures = ["null_rate", "distinct", "min", "max", *(f"q{100 * quantile:g}" for quantile in quantiles)]
    sides = [
        _measured(engine, diff.source, [pair.source for pair in pairs], quantiles),
        _measured(engine, diff.target, [pair.target for pair in pairs], quantiles),
    ]
    frame: dict[str, Any] = {
        "column": pd.Series([pair.name for pair in pairs], dtype="object"),
        "type": pd.Series([describe_type(pair.kind) for pair in pairs], dtype="object"),
    }
    for at, measure in enumerate(measures):
        for prefix, side in zip(("from", "to"), sides, strict=True):
            dtype = "float64" if measure == "null_rate" else "Int64" if measure == "distinct" else "object"
            frame[f"{prefix}_{measure}"] = pd.Series([row[at] for row in side], dtype=dtype)
    return pd.DataFrame(frame)


def _is_measured(kind: str) -> bool:
    """Whether values of a type have quantiles."""
    number = kind.startswith(_MEASURED) or kind.endswith("INT") or kind in ("INTEGER", "UINTEGER")
    return number and not kind.endswith("]")


def _measured(
    engine: Engine, reader: TableReader, names: Sequence[str | None], quantiles: Sequence[float]
) -> list[list[Any]]:
    """For each column of one side its measures, None for one that it has not."""
    own = [name for name in names if name is not None]
    listed = ", ".join(f"{float(quantile)!r}::FLOAT" for quantile in quantiles)
    texts = ["count(*)"]
    for name in own:
        column, kind = quoted(name), duckdb_type(backend_of(engine), reader.schema.column(name).type)
        texts += [f"count({column})", f"approx_count_distinct({column})"]
        ordered = not kind.startswith(_WITHOUT_ORDER)
        texts += [f"{each}({column})" if ordered else "NULL" for each in ("min", "max")]
        finite = f" FILTER (WHERE isfinite({column}))" if kind in ("FLOAT", "DOUBLE") else ""
        measured = bool(quantiles) and _is_measured(kind)
        texts.append(f"approx_quantile({column}, [{listed}]){finite}" if measured else "NULL")
    found = computed(
        engine, f"SELECT {', '.join(texts)} FROM given", {"given": rows_of(reader, own)}
    ).fetchall()[0]
    rows, count = {}, found[0]
    for at, name in enumerate(own):
        filled, distinct, least, most, between = found[1 + 5 * at : 6 + 5 * at]
        rate = (count - filled) / count if count else None
        rows[name] = [rate, distinct, least, most, *(between or [None] * len(quantiles))]
    return [[None] * (4 + len(quantiles)) if name is None else rows[name] for name in names]


def group_totals(engine: Engine, diff: TableDiff, by: Sequence[str], of: Sequence[str]) -> pa.Table:
    """For each value of the columns in `by`, in order: rows on both sides, and the sums of the columns in `of`.

    NotFoundError for a column that is not on both sides; QueryError for one that has no sum.
    """
    pairs = {
        pair.name: pair for pair in column_pairs(diff) if pair.source is not None and pair.target is not None
    }
    for name in (*by, *of):
        if name not in pairs:
            raise NotFoundError(
                f"{name!r} is not a column of both sides", hint=f"these are: {', '.join(pairs)}"
            )
    if not by:
        raise InvalidInputError("no column is named to group by", hint='such as "status"')
    keys, sums = range(len(by)), range(len(of))

    def side(which: str) -> str:
        named = {name: getattr(pairs[name], which) for name in (*by, *of)}
        groups = [f"{quoted(named[name])} AS k{at}" for at, name in enumerate(by)]
        totals = [f"sum({quoted(named[name])}) AS x{at}" for at, name in enumerate(of)]
        return f"(SELECT {', '.join([*groups, 'count(*) AS n', *totals])} FROM {which} GROUP BY ALL)"

    own = [f"coalesce(t.k{at}, s.k{at})" for at in keys]
    shown = [f"{text} AS {quoted(name)}" for text, name in zip(own, by, strict=True)]
    shown += ["coalesce(s.n, 0) AS from_rows", "coalesce(t.n, 0) AS to_rows"]
    for at in sums:
        shown += [f"s.x{at} AS {quoted(f'from_{of[at]}')}", f"t.x{at} AS {quoted(f'to_{of[at]}')}"]
    same = " AND ".join(f"s.k{at} IS NOT DISTINCT FROM t.k{at}" for at in keys)
    text = f"""SELECT {", ".join(shown)} FROM {side("source")} s FULL JOIN {side("target")} t ON {same}
        ORDER BY {", ".join(own)}"""
    names = {
        which: [getattr(pairs[name], which) for name in dict.fromkeys((*by, *of))]
        for which in ("source", "target")
    }
    readers = {"source": diff.source, "target": diff.target}
    return computed(
        engine, text, {which: rows_of(readers[which], names[which]) for which in readers}
    ).to_arrow()
