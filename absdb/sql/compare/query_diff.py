"""Two queries compared: rows side by side by key columns, or by content with counts (content.py) without a key.

    diff_type     added, modified, removed: what the first query gives that the second does not, and so on
    <key>         in order
    from_<name>   each column that both queries have, as the second gives it
    to_<name>     as the first gives it
    changed       names of the columns that differ

Both run in one query of DuckDB, each seeing its own database at its own point, so that what does not fit in memory is
spilled. NULL is a key value like any other; a key that comes twice on a side is an error. Called by
Database.query_diff, and by rewrite.py for absdb_query_diff().
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.errors import InvalidInputError, NotFoundError
from absdb.paths import check_names
from absdb.sql.compare.content import content_text
from absdb.sql.duck.connection import backend_of
from absdb.sql.query.names import DatabaseView, Moment
from absdb.sql.query.prepared import Prepared
from absdb.sql.query.result import Result
from absdb.sql.query.rewrite import Rewriter
from absdb.sql.query.run import Running
from absdb.sql.query.sequence_values import currval_macro
from absdb.sql.text.parameters import Values, bind
from absdb.sql.text.parsed import Statement
from absdb.sql.text.tokens import literal, quoted
from absdb.versioning.diff_counts import DiffCounts, count_rows

if TYPE_CHECKING:
    from absdb.versioning.scope import PastScope

_NUMBERS = (
    "tinyint",
    "smallint",
    "integer",
    "bigint",
    "hugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
)
_KINDS = {
    **dict.fromkeys((*_NUMBERS, "uhugeint", "float", "double", "decimal"), "number"),
    **dict.fromkeys(("date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"), "time"),
}
"""Types that DuckDB compares with one another without a loss that matters."""


@dataclass(frozen=True, slots=True)
class Side:
    """A query, and the state that it sees; its parameters are named."""

    view: DatabaseView
    text: str
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Shape:
    """What is compared: the key columns, and the others that both queries have."""

    key: tuple[str, ...]
    names: tuple[str, ...]


def shape_of(rewriter: Rewriter, source: Side, target: Side, key: Sequence[str]) -> Shape:
    """What two queries have in common. QueryError for one that is wrong, NotFoundError for a key that is not there,
    InvalidInputError for columns that cannot be compared."""
    old, new = (_described(rewriter, side) for side in (source, target))
    for name in key:
        for columns in (old, new):
            if name not in columns:
                hint = f"its columns are {', '.join(columns)}"
                raise NotFoundError(f"the query has no column {name!r} to be the key", hint=hint, column=name)
    names = [name for name in new if name in old]
    for name in names:
        kinds = [columns[name] for columns in (old, new)]
        if (
            kinds[0] != kinds[1]
            and len({_KINDS.get(kind.partition("(")[0].lower(), kind) for kind in kinds}) > 1
        ):
            raise InvalidInputError(
                f"column {name!r} is {kinds[0]} in one query and {kinds[1]} in the other",
                hint=f"cast it in one of them, such as {name}::{kinds[1]}",
                column=name,
            )
    if not names:
        raise InvalidInputError("the two queries have no column in common", hint="name their columns with AS")
    return Shape(tuple(key), tuple(name for name in names if name not in key))


def _described(rewriter: Rewriter, side: Side) -> dict[str, str]:
    """The columns of one query with their types, in DuckDB's words."""
    alone = rewriter.alone()
    with alone.inside(side.view, side.namespace):
        running = Running(alone.backend, alone.prepare(side.text), alone.values)
    try:
        columns = [str(name) for name in running.relation.columns]
        kinds = [str(kind) for kind in running.relation.types]
    finally:
        running.close()
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise InvalidInputError(f"the query has two columns {twice[0]!r}", hint="name one of them with AS")
    return dict(zip(columns, kinds, strict=True))


def compared_text(rewriter: Rewriter, source: Side, target: Side, shape: Shape) -> str:
    """The query that compares the two, in words that DuckDB understands; what it reads is registered."""
    inner = []
    for side in (source, target):
        with rewriter.inside(side.view, side.namespace):
            inner.append(rewriter.nested_text(side.text))
    if not shape.key:
        return content_text(shape.names, *(f"{text} AS q" for text in inner))
    return _keyed(shape, *inner)


def _keyed(shape: Shape, source: str, target: str) -> str:
    keys, names = range(len(shape.key)), range(len(shape.names))
    grouped = ", ".join(
        [f"{quoted(name)} AS k{at}" for at, name in enumerate(shape.key)]
        + [f"first({quoted(name)}) AS c{at}" for at, name in enumerate(shape.names)]
        + ["count(*) AS n"]
    )
    by = ", ".join(f"{quoted(name)}" for name in shape.key)
    own = [f"coalesce(t.k{at}, s.k{at})" for at in keys]
    twice = (
        "error('key (' || concat_ws(', ', "
        + ", ".join(f"coalesce({key}::VARCHAR, 'NULL')" for key in own)
        + ") || ') comes ' || greatest(s.n, t.n) || ' times in one of the queries')"
    )
    differs = [f"s.c{at} IS DISTINCT FROM t.c{at}" for at in names]
    changed = (
        f"list_where([{', '.join(map(literal, shape.names))}], [{', '.join(differs)}])"
        if differs
        else "[]::VARCHAR[]"
    )
    return f"""
        SELECT CASE WHEN s.n > 1 OR t.n > 1 THEN {twice} WHEN s.n IS NULL THEN 'added'
                WHEN t.n IS NULL THEN 'removed' ELSE 'modified' END AS diff_type,
            {"".join(f"{key} AS {quoted(name)}, " for key, name in zip(own, shape.key, strict=True))}
            {
        "".join(
            f"s.c{at} AS {quoted(f'from_{name}')}, t.c{at} AS {quoted(f'to_{name}')}, "
            for at, name in enumerate(shape.names)
        )
    }
            CASE WHEN s.n IS NOT NULL AND t.n IS NOT NULL THEN {changed} END AS changed
        FROM (SELECT {grouped} FROM {source} AS q GROUP BY {by}) s
            FULL JOIN (SELECT {grouped} FROM {target} AS q GROUP BY {by}) t
            ON {" AND ".join(f"s.k{at} IS NOT DISTINCT FROM t.k{at}" for at in keys)}
        WHERE {" OR ".join(["s.n IS NULL", "t.n IS NULL", "s.n > 1", "t.n > 1", *differs])}
        ORDER BY {", ".join(own)}"""


class QuerySource:
    """Two queries on two states, which stay readable; run anew each time that rows are asked for."""

    name = "query"

    def __init__(
        self, target: PastScope, source: PastScope, texts: tuple[str, str], key: Sequence[str], values: Values
    ) -> None:
        """`texts` are the query on the target and the one on the source; `values` are bound in both."""
        statements = [Statement.read(text) for text in texts]
        parameters = dict.fromkeys(name for statement in statements for name in statement.parameters)
        self.values: Mapping[str, Any] = bind(list(parameters), values)
        self.points = (target.point(), source.point())
        self._engine = target.engine
        self._scope = target
        self._target = Side(Moment.of(target).current, statements[0].text)
        self._source = Side(Moment.of(source).current, statements[1].text)
        self.shape = shape_of(self._rewriter(), self._source, self._target, check_names("key", key))

    def _rewriter(self) -> Rewriter:
        return Rewriter(Moment.of(self._scope), backend_of(self._engine), self.values)

    def compared(self) -> list[str]:
        return list(self.shape.names)

    def rows(self, ignore: Sequence[str] = ()) -> pa.RecordBatchReader:
        return self._run(ignore).to_batches()

    def schema(self, ignore: Sequence[str] = ()) -> pa.Schema:
        with self._run(ignore) as result:
            return result.schema

    def counts(self, ignore: Sequence[str] = ()) -> DiffCounts:
        return count_rows(self.rows(ignore))[0]

    def cells(self, ignore: Sequence[str] = ()) -> int:
        return count_rows(self.rows(ignore))[1]

    def _run(self, ignore: Sequence[str]) -> Result:
        rewriter = self._rewriter()
        shape = Shape(self.shape.key, tuple(name for name in self.shape.names if name not in ignore))
        text = compared_text(rewriter, self._source, self._target, shape)
        setup = [*rewriter.setup, currval_macro(rewriter.currents)] if rewriter.currents else rewriter.setup
        prepared = Prepared(text, [], rewriter.objects, setup, rewriter.held, rewriter.leaves_types)
        return Result(Running(rewriter.backend, prepared, self.values), held=rewriter.held)
