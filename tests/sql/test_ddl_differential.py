"""Definitions changed by chance, on absdb and on DuckDB: both take a statement or both refuse it; rows are the same."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import duckdb
import pytest

import absdb
from absdb.errors import AbsdbError

STEPS = 25
VALUES = {
    "INTEGER": ["1", "-5", "NULL", "70000"],
    "BIGINT": ["3", "NULL", "9999999999"],
    "SMALLINT": ["7", "NULL"],
    "VARCHAR": ["'x'", "'12'", "NULL", "''", "'2024-01-02'", "'1.5'"],
    "DOUBLE": ["1.5", "NULL", "-2", "1e10"],
    "DECIMAL(8,2)": ["3.14", "NULL", "10"],
    "DATE": ["DATE '2024-02-03'", "NULL"],
    "BOOLEAN": ["true", "NULL", "false"],
    "TIMESTAMP": ["TIMESTAMP '2024-01-01 10:00:00'", "NULL"],
}
TYPES = list(VALUES)
EAGER = "does not become"
"""What absdb says of a default that does not fit the column's new type; DuckDB says so at the next insert."""


def statement(chance: random.Random, columns: Mapping[str, str]) -> str:
    """Something to do to table t."""
    column = chance.choice([*(name for name in columns if name != "id"), "nosuch"])
    kind, new = chance.choice(TYPES), chance.choice("abcdefg")
    alter = f"ALTER TABLE t ALTER COLUMN {column}"
    default = chance.choice(VALUES[columns.get(column, kind)])
    return chance.choice(
        [
            f"ALTER TABLE t ADD COLUMN {new} {kind}",
            f"ALTER TABLE t ADD COLUMN IF NOT EXISTS {new} {kind}",
            f"ALTER TABLE t ADD COLUMN {new} {kind} DEFAULT {chance.choice(VALUES[kind])}",
            f"ALTER TABLE t DROP COLUMN {column}",
            f"ALTER TABLE t DROP COLUMN IF EXISTS {column}",
            f"ALTER TABLE t RENAME COLUMN {column} TO {new}",
            f"{alter} TYPE {kind}",
            f"{alter} TYPE VARCHAR USING CAST({column} AS VARCHAR) || '1'",
            f"{alter} SET DEFAULT {default}",
            f"{alter} DROP DEFAULT",
            f"{alter} SET NOT NULL",
            f"{alter} DROP NOT NULL",
            *2
            * [
                f"INSERT INTO t (id, {column}) VALUES ({chance.randrange(1000)}, {chance.choice(VALUES[kind])})"
            ],
            "CREATE OR REPLACE TABLE t AS FROM t",
        ]
    )


def shape(run: Any) -> tuple[Any, list[Any]]:
    """Columns and rows of t."""
    described = run("SELECT column_name, column_type FROM (DESCRIBE t)")
    return described, sorted(run("SELECT COLUMNS(*)::VARCHAR FROM t"), key=repr)


def cast_defaults(run: Any) -> None:
    """Make DuckDB's defaults values of the types of their columns, as those of absdb are."""
    listed = "SELECT column_name, data_type, column_default FROM information_schema.columns"
    for name, kind, default in run(f"{listed} WHERE column_default IS NOT NULL"):
        run(f"ALTER TABLE t ALTER COLUMN {name} SET DEFAULT CAST(({default}) AS {kind})")


@pytest.mark.parametrize("seed", range(8))
def test_both_do_the_same(seed: int) -> None:
    chance = random.Random(seed)
    with absdb.connect(":memory:") as shop, duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()

        def ours(text: str) -> list[Any]:
            return shop["main"].sql(text).fetchall()

        def theirs(text: str) -> list[Any]:
            return connection.execute(text).fetchall()

        done = [f"CREATE TABLE t (id INTEGER, a {chance.choice(TYPES)}, b {chance.choice(TYPES)})"]
        ours(done[0])
        theirs(done[0])
        for _ in range(STEPS):
            columns = dict(theirs("SELECT column_name, column_type FROM (DESCRIBE t)"))
            done.append(statement(chance, columns))
            refused, refused_there = "", ""
            try:
                ours(done[-1])
            except AbsdbError as error:
                refused = error.message
            if EAGER in refused:
                continue
            try:
                theirs(done[-1])
            except duckdb.Error as error:
                refused_there = str(error)
            assert bool(refused) == bool(refused_there), (done, refused, refused_there)
            assert shape(ours) == shape(theirs), done
            cast_defaults(theirs)
