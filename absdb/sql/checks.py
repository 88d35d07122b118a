"""Data checks run: their queries on a state, or on a transaction that is not committed yet.

A check holds if its query gives the one value true, or no rows. NULL is not true. Called by the facade, by MERGE
DATABASE and by rehearsals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.engine.engine import Engine
from absdb.engine.transaction import Transaction
from absdb.errors import DataCheckError, InvalidInputError, QueryError
from absdb.sql.dispatch import QUERIES, verb_of
from absdb.sql.session import Session
from absdb.sql.text.parsed import Statement
from absdb.sql.text.tokens import statements_of
from absdb.versioning.as_of import Point
from absdb.versioning.data_checks import checks_of
from absdb.versioning.merge import Checks
from absdb.versioning.scope import PastScope, Scope, TransactionScope

ROWS_MAX = 1_000
"""How many offending rows are kept of a check that does not hold."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of a check. `rows` are the first that offend; `error` says why the query could not be run."""

    name: str
    passed: bool
    rows: pa.Table
    error: str = ""


def check_query(scope: Scope, query: str) -> None:
    """QueryError unless the text is one query that can be run on the state."""
    if not isinstance(query, str):
        raise InvalidInputError(f"a check is an SQL query, not {type(query).__name__}")
    with Session(scope) as session:
        session.sql(_one_query(query)).close()


def _one_query(text: str) -> str:
    """The text, if it is one query: a check that changed something would do so whenever it is run."""
    statements = statements_of(text)
    if len(statements) != 1 or verb_of(Statement.read(statements[0])) not in QUERIES:
        raise QueryError(
            f"{text!r} is not one query, as a check has to be",
            hint="such as SELECT * FROM orders WHERE total <= 0, which holds if there are no rows",
        )
    return statements[0]


def run_checks(scope: Scope, queries: Mapping[str, str] | None = None) -> list[CheckResult]:
    """Run the checks of the state's own database, or others: name → query."""
    if queries is None:
        queries = _queries(scope.catalog())
    return [_run(scope, name, query) for name, query in queries.items()]


def _run(scope: Scope, name: str, query: str) -> CheckResult:
    try:
        with Session(scope) as session:
            result = session.sql(_one_query(query))
            rows = pa.Table.from_batches(_first_rows(result.to_batches()), result.schema)
    except QueryError as error:
        return CheckResult(name, False, pa.table({}), str(error))
    if rows.num_columns == 1 and pa.types.is_boolean(rows.schema.field(0).type) and rows.num_rows == 1:
        return CheckResult(name, rows.column(0)[0].as_py() is True, rows)
    return CheckResult(name, rows.num_rows == 0, rows)


def _first_rows(batches: pa.RecordBatchReader) -> list[pa.RecordBatch]:
    found, left = [], ROWS_MAX
    with batches:
        for batch in batches:
            found.append(batch.slice(0, left))
            left -= found[-1].num_rows
            if not left:
                break
    return found


def raise_failed(results: list[CheckResult], where: str) -> None:
    """DataCheckError for those that do not hold, with the rows that offend."""
    failed = [result for result in results if not result.passed]
    if not failed:
        return
    told = "; ".join(f"{one.name}: {one.error or _said(one)}" for one in failed[:3])
    more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    raise DataCheckError(
        f"{where}: {told}{more}; nothing was changed",
        hint="mend the rows first; .rows has the first that offend, by check",
        checks=[one.name for one in failed],
        rows={one.name: one.rows for one in failed},
    )


def _said(result: CheckResult) -> str:
    alone = result.rows.num_columns == 1 and pa.types.is_boolean(result.rows.schema.field(0).type)
    if alone and result.rows.num_rows == 1:
        return "is not true"
    count = result.rows.num_rows
    return "1 row offends" if count == 1 else f"{count}{' or more' if count == ROWS_MAX else ''} rows offend"


def run_gates(
    scope: Scope, before: DatabaseCatalog | None, also: Mapping[str, str] | None = None
) -> list[CheckResult]:
    """Run what must hold for the result of a merge: its own checks, `also` others, and those there were `before`.

    A check that the merge drops or replaces holds for the merge itself. If it cannot be run on the result, because what
    it speaks of is gone, it holds nothing up.
    """
    queries = _queries(scope.catalog()) | dict(also or {})
    earlier = {} if before is None else _queries(before)
    gone = {name: query for name, query in earlier.items() if queries.get(name) != query}
    dropped = run_checks(scope, gone) if gone else []
    return (run_checks(scope, queries) if queries else []) + [one for one in dropped if not one.error]


def _queries(catalog: DatabaseCatalog) -> dict[str, str]:
    return {name: check["query"] for name, check in checks_of(catalog).items()}


def checks_for(engine: Engine, *, also: Mapping[str, str] | None = None) -> Checks:
    """What a merge runs on its result before it is published: `run_gates`."""

    def run(result: Transaction | Point, before: DatabaseCatalog | None) -> None:
        if isinstance(result, Transaction):
            scope: Scope = TransactionScope(result, owner=False)
        else:
            scope = PastScope(engine, result)
        raise_failed(run_gates(scope, before, also), "a data check does not hold for the result")

    return run
