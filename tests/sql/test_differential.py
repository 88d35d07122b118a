"""Statements by chance, on absdb and on DuckDB's own tables: the same rows, the same counts, the same refusals.

Schemas, rows and statements are drawn by hypothesis from few values, so that keys and UNIQUE values collide often.
What is meant to differ is listed in MEANT.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, note, reject, settings
from hypothesis import strategies as st

import absdb
from absdb.errors import AbsdbError
from absdb.sql.session import Session
from tests.sql.conftest import answer

MEANT = {
    "many matches in MERGE": "a row that several rows of the source match is refused; DuckDB 1.5 takes one of them",
    "OR REPLACE of all columns in the key": "RETURNING gives the rows that are there; DuckDB 2.0 leaves them out",
    "NULL in UNIQUE": "never conflicts; DuckDB's ON CONFLICT takes the first of several rows with NULL",
    "NULL in a row left out": "is not looked at; DuckDB may refuse it if the table has several constraints",
    "BY NAME with a conflict": "means what it says; DuckDB loses sight of the columns that are not given",
    "constants that fail": "in a clause of MERGE or ON CONFLICT that takes no row they may fail or not",
    "constraints at the end": "UNIQUE is held at the end of a statement, not row by row",
}
"""What differs on purpose, and why."""

LITERALS = {
    "TINYINT": ["0", "1", "2", "-3", "'4'", "2.5"],
    "INTEGER": ["0", "1", "2", "3", "'2'", "1.5", "true"],
    "BIGINT": ["0", "1", "2", "9007199254740993", "'7'"],
    "UINTEGER": ["0", "1", "2", "4000000000"],
    "DOUBLE": ["0", "1.5", "-2", "'1e3'", "'nan'", "3::DECIMAL(4,1)"],
    "FLOAT": ["0", "0.1", "2", "16777217"],
    "DECIMAL(8,2)": ["0", "1.25", "1.255", "'3.1'", "2"],
    "VARCHAR": ["''", "'a'", "'b'", "'ä'", "7", "DATE '2026-01-02'", "true"],
    "BOOLEAN": ["true", "false", "'t'", "1", "0"],
    "DATE": ["DATE '2026-01-02'", "'2026-01-03'", "TIMESTAMP '2026-01-02 10:00'"],
    "TIME": ["TIME '10:00:00'", "'23:59:59.5'"],
    "TIMESTAMP": ["TIMESTAMP '2026-01-02 10:00'", "'2026-01-03'", "DATE '2026-01-02'"],
    "TIMESTAMPTZ": ["TIMESTAMPTZ '2026-01-02 10:00+02'", "'2026-01-03 00:00:00+00'"],
    "BLOB": ["'a'::BLOB", "'\\x01'::BLOB"],
    "UUID": ["'00000000-0000-0000-0000-000000000001'", "UUID 'ffffffff-0000-0000-0000-000000000001'"],
    "INTEGER[]": ["[1, 2]", "[]", "[NULL]", "['3']"],
    "STRUCT(x INTEGER, y VARCHAR)": ["{'x': 1, 'y': 'a'}", "row(2, 'b')"],
}
WRONG = ["'abc'", "99999999999999999999", "DATE '2026-01-02'", "[1]", "'2026-13-01'", "-1", "1e300"]
KEYS = [
    "TINYINT",
    "INTEGER",
    "BIGINT",
    "UINTEGER",
    "VARCHAR",
    "DATE",
    "TIMESTAMP",
    "DECIMAL(8,2)",
    "UUID",
    "BOOLEAN",
]
CHECKS = {
    "INTEGER": "{} < 3",
    "VARCHAR": "{} <> 'b'",
    "DOUBLE": "{} >= 0",
    "BOOLEAN": "{}",
    "TINYINT": "{} <> 2",
}


@dataclass(frozen=True)
class Table:
    """A table drawn: (name, type) of its columns, the names of its key, its UNIQUE columns, and its definition."""

    columns: list[tuple[str, str]]
    key: list[str]
    unique: list[str]
    definition: str

    def names(self) -> list[str]:
        return [name for name, _ in self.columns]


@st.composite
def tables(draw: Any) -> Table:
    count = draw(st.integers(1, 4))
    key_count = draw(st.integers(0, min(2, count)))
    columns, parts, unique = [], [], []
    for number in range(count):
        kind = draw(st.sampled_from(KEYS if number < key_count else list(LITERALS)))
        name = f"c{number}"
        columns.append((name, kind))
        text = f"{name} {kind}"
        if number >= key_count:
            if draw(st.integers(0, 4)) == 0:
                text += " NOT NULL"
            if kind in KEYS and kind != "UUID" and draw(st.integers(0, 2)) == 0:
                text += f" DEFAULT {draw(st.sampled_from(LITERALS[kind][:2]))}"
            if kind in KEYS and draw(st.integers(0, 5)) == 0:
                text += " UNIQUE" if "NOT NULL" in text else " NOT NULL UNIQUE"
                unique.append(name)
            if kind in CHECKS and draw(st.integers(0, 3)) == 0:
                text += f" CHECK ({CHECKS[kind].format(name)})"
        parts.append(text)
    key = [name for name, _ in columns[:key_count]]
    if key:
        parts.append(f"PRIMARY KEY ({', '.join(key)})")
    return Table(columns, key, unique, ", ".join(parts))


def value(draw: Any, kind: str) -> str:
    """A literal for a column, now and then one that does not fit."""
    chance = draw(st.integers(0, 30))
    if chance == 0:
        return draw(st.sampled_from(WRONG))
    return "NULL" if chance < 3 else draw(st.sampled_from(LITERALS[kind]))


def condition(draw: Any, table: Table, prefix: str = "") -> str:
    name, kind = draw(st.sampled_from(table.columns))
    tests = [f"{prefix}{name} IS NULL", f"{prefix}{name} IS NOT NULL", "true"]
    if kind in KEYS:
        literal = f"{draw(st.sampled_from(LITERALS[kind][:2]))}::{kind}"
        tests += [
            f"{prefix}{name} = {literal}",
            f"{prefix}{name} <> {literal}",
            f"{prefix}{name} IN ({literal})",
        ]
    if draw(st.integers(0, 40)) == 0:
        return f"{prefix}nope = 1"
    return draw(st.sampled_from(tests))


def assignments(draw: Any, table: Table, sources: list[str], *, wrong: bool = True) -> str:
    """A SET list; `sources` are prefixes of other rows with the same columns. `wrong`: some values may not fit."""
    chosen = draw(st.lists(st.sampled_from(table.columns), min_size=1, max_size=2, unique=True))
    texts = []
    for name, kind in chosen:
        literal = value(draw, kind) if wrong else draw(st.sampled_from(LITERALS[kind]))
        choices = [literal, literal, "DEFAULT", *(f"{source}{name}" for source in sources)]
        texts.append(f"{name} = {draw(st.sampled_from(choices))}")
    return ", ".join(texts)


def rows(draw: Any, columns: list[tuple[str, str]]) -> str:
    made = []
    for _ in range(draw(st.integers(1, 4))):
        cells = ["DEFAULT" if draw(st.integers(0, 12)) == 0 else value(draw, kind) for _, kind in columns]
        made.append(f"({', '.join(cells)})")
    return ", ".join(made)


def source_rows(draw: Any, columns: list[tuple[str, str]]) -> str:
    """Rows with different values in the first column."""
    made = []
    for first in draw(st.lists(st.sampled_from(LITERALS[columns[0][1]][:2]), min_size=1, unique=True)):
        made.append(f"({', '.join([first, *(value(draw, kind) for _, kind in columns[1:])])})")
    return ", ".join(made)


@st.composite
def inserts(draw: Any, table: Table) -> str:
    columns = draw(st.permutations(table.columns)) if draw(st.booleans()) else table.columns
    columns = columns[: draw(st.integers(1, len(columns)))] if draw(st.integers(0, 2)) == 0 else columns
    names = [name for name, _ in columns]
    listed = "" if columns == table.columns else f" ({', '.join(names)})"
    how = draw(st.sampled_from(["", "", "", " OR IGNORE", " OR REPLACE"]))
    ways = [f"VALUES {rows(draw, columns)}"] * 3
    ways += [
        f"SELECT {', '.join(names)} FROM src",
        f"SELECT {', '.join(names)} FROM {{t}} WHERE {condition(draw, table)}",
    ]
    source = draw(st.sampled_from(ways))
    by_name = " BY NAME" if listed and not how and source.startswith("SELECT") and draw(st.booleans()) else ""
    listed = "" if by_name else listed
    return f"INSERT{how} INTO {{t}}{by_name}{listed} {source}" + (
        "" if how or by_name else conflict(draw, table)
    )


def conflict(draw: Any, table: Table) -> str:
    chance = draw(st.integers(0, 5))
    target = ""
    if draw(st.booleans()) and (table.key or table.unique):
        named = draw(
            st.sampled_from([*([table.key] if table.key else []), *([name] for name in table.unique)])
        )
        target = f" ({', '.join(named)})"
    if chance == 1:
        return f" ON CONFLICT{target} DO NOTHING"
    if chance == 2:
        set_list = assignments(draw, table, ["excluded.", "{t}."], wrong=False)
        where = f" WHERE {condition(draw, table, draw(st.sampled_from(['{t}.', 'excluded.'])))}"
        return f" ON CONFLICT{target} DO UPDATE SET {set_list}" + (where if draw(st.booleans()) else "")
    return ""


@st.composite
def updates(draw: Any, table: Table) -> str:
    if draw(st.integers(0, 3)) == 0 and table.key:
        join = " AND ".join(f"{{t}}.{name} = src.{name}" for name in table.key)
        sets = assignments(draw, table, ["src."])
        return f"UPDATE {{t}} SET {sets} FROM src WHERE {join} AND {condition(draw, table, 'src.')}"
    return f"UPDATE {{t}} SET {assignments(draw, table, ['{t}.'])} WHERE {condition(draw, table)}"


@st.composite
def deletes(draw: Any, table: Table) -> str:
    if draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(table.names()))
        return f"DELETE FROM {{t}} USING src WHERE {{t}}.{name} = src.{name}"
    return draw(
        st.sampled_from(
            [f"DELETE FROM {{t}} WHERE {condition(draw, table)}"] * 8 + ["TRUNCATE {t}", "DELETE FROM {t}"]
        )
    )


@st.composite
def merges(draw: Any, table: Table) -> str:
    names = table.key or ["c0"]
    join = " AND ".join(f"{{t}}.{name} = src.{name}" for name in names)
    values = [draw(st.sampled_from([f"src.{name}", "DEFAULT", f"src.{name}"])) for name in table.names()]
    sets = assignments(draw, table, ["src.", "{t}."], wrong=False)
    clauses = [
        f"WHEN MATCHED AND {condition(draw, table, 'src.')} THEN DELETE",
        "WHEN MATCHED AND false THEN ERROR 'x'",
        f"WHEN MATCHED THEN UPDATE SET {sets}",
        f"WHEN NOT MATCHED THEN INSERT VALUES ({', '.join(values)})",
        f"WHEN NOT MATCHED BY SOURCE AND {condition(draw, table, '{t}.')} THEN DELETE",
    ]
    chosen = [clause for clause in clauses if draw(st.booleans())] or [clauses[2]]
    return f"MERGE INTO {{t}} USING src ON {join} {' '.join(chosen)}"


@st.composite
def statements(draw: Any, table: Table) -> str:
    kind = draw(st.sampled_from([inserts, inserts, inserts, updates, updates, deletes, merges]))
    text = draw(kind(table))
    useless = text.startswith("INSERT OR REPLACE") and len({*table.key, *table.unique}) == len(table.columns)
    if draw(st.integers(0, 3)) == 0 and not text.startswith("TRUNCATE") and not useless:
        text += f" RETURNING {draw(st.sampled_from(['*', '{t}.c0', 'c0 AS x, *']))}"
    return text


class Both:
    """absdb and DuckDB, side by side."""

    def __init__(self, instance: Any) -> None:
        self.ours = Session(instance["main"]._scope)
        self.theirs = duckdb.connect(":memory:")
        self.theirs.execute("SET TimeZone = 'UTC'").fetchall()
        self.number = 0

    def run(self, text: str) -> tuple[Any, Any]:
        """What each of them says: (columns, rows in order of their text), or an error."""
        try:
            result = self.ours.sql(text)
            ours: Any = (result.columns, sorted(map(plain, result.fetchall()), key=repr))
        except AbsdbError as error:
            ours = error
        try:
            found = answer(self.theirs, text)
            rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
            theirs: Any = (found.column_names, sorted(map(plain, rows), key=repr))
        except duckdb.Error as error:
            theirs = error
        return ours, theirs

    def same(self, text: str) -> Any:
        """Run a statement on both and compare what they say."""
        note(text)
        ours, theirs = self.run(text)
        if _null_left_out(text, ours, theirs):
            reject()
        assert isinstance(ours, Exception) == isinstance(theirs, Exception), (text, ours, theirs)
        if not isinstance(ours, Exception) and not text.startswith(("CREATE", "DROP")):
            assert ours == theirs, (text, ours, theirs)
        return ours

    def alike(self, text: str) -> None:
        """Run a statement that gives no rows."""
        note(text)
        ours, theirs = self.run(text)
        assert isinstance(ours, Exception) == isinstance(theirs, Exception), (text, ours, theirs)

    def failed(self, text: str, *, row_by_row: bool) -> bool:
        """Whether a statement failed in a transaction; `row_by_row`: DuckDB may refuse what holds at its end."""
        note(text)
        ours, theirs = self.run(text)
        if row_by_row and isinstance(theirs, duckdb.ConstraintException) and not isinstance(ours, Exception):
            return True
        if _null_left_out(text, ours, theirs):
            reject()
        assert isinstance(ours, Exception) == isinstance(theirs, Exception), (text, ours, theirs)
        assert isinstance(ours, Exception) or ours == theirs, (text, ours, theirs)
        return isinstance(ours, Exception)

    def prepared(self, draw: Any) -> tuple[Table, str]:
        """A table with some rows, and a table `src` of the same columns, without equal rows in the key's columns."""
        self.run("ROLLBACK")  # of an example that was cut short
        self.number += 1
        table, name = draw(tables()), f"t{self.number}"
        plain_columns = ", ".join(f"{n} {kind}" for n, kind in table.columns)
        for text in (
            f"CREATE TABLE {name} ({table.definition})",
            f"CREATE OR REPLACE TABLE src ({plain_columns})",
            f"INSERT INTO src VALUES {source_rows(draw, table.columns)}",
        ):
            self.same(text)
        return table, name


def _null_left_out(text: str, ours: Any, theirs: Any) -> bool:
    """Whether only DuckDB refuses a NULL in an INSERT that may leave rows out."""
    return (
        (text.startswith("INSERT OR ") or " ON CONFLICT" in text)
        and isinstance(theirs, duckdb.ConstraintException)
        and "NOT NULL" in str(theirs)
        and not isinstance(ours, Exception)
    )


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values that compare equal on both sides."""
    return tuple(_plain(each) for each in row)


def _plain(each: Any) -> Any:
    if isinstance(each, float) and math.isnan(each):
        return "nan"
    if isinstance(each, list | tuple):
        return [_plain(item) for item in each]
    if isinstance(each, dict):
        return {name: _plain(item) for name, item in each.items()}
    return str(each) if isinstance(each, uuid.UUID) else each


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with absdb.connect(":memory:") as instance:
        made = Both(instance)
        yield made
        made.theirs.close()


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_statements(both: Both, data: Any) -> None:
    example(both, data.draw)


def example(both: Both, draw: Any) -> None:
    """Some statements on one table, with a look at it after each of them."""
    table, name = both.prepared(draw)
    for _ in range(draw(st.integers(3, 8))):
        both.same(draw(statements(table)).replace("{t}", name))
        both.same(f"FROM {name}")
    both.same(f"DROP TABLE {name}")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_transactions(both: Both, data: Any) -> None:
    example_of_transactions(both, data.draw)


def example_of_transactions(both: Both, draw: Any) -> None:
    """Some transactions, each committed or rolled back; DuckDB ends one that has failed."""
    table, name = both.prepared(draw)
    for _ in range(draw(st.integers(1, 3))):
        both.alike("BEGIN")
        end = draw(st.sampled_from(["COMMIT", "ROLLBACK"]))
        for _ in range(draw(st.integers(1, 4))):
            text = draw(statements(table)).replace("{t}", name)
            if both.failed(text, row_by_row=bool(table.unique)):
                end = "ROLLBACK"
                break
            both.same(f"FROM {name}")
        both.alike(end)
        both.same(f"FROM {name}")
    both.same(f"DROP TABLE {name}")
