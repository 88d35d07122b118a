"""TPC-H: its 22 queries on a database that is branched, changed, compacted and read at earlier points.

DuckDB runs the same statements on tables of its own, and its answers are what is expected: `loaded` of the rows
as they come from the generator, `refreshed` after the two refresh functions and a few updates, `late` after two
statements more. Scale factor 0.1 in every run, 1 with ABSDB_DEEP. The refresh functions follow clauses 2.6 and 2.7
of the specification; what they insert is made from rows that are there, under order keys that the generator
leaves free.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import absdb
from tests.sql.tpch_queries import KEYS, QUERIES

GENERATOR = Path(sysconfig.get_path("scripts")) / "tpchgen-cli"
FREE_KEYS = 8
"""The generator uses the first 8 of every 32 order keys, and leaves the next 8 to the refresh functions."""
ONE_ORDER_IN = 1000
"""The refresh functions insert and remove 0.1 % of the orders."""
ORDERS_A_STATEMENT = 10

NEW_ORDERS = f"""
SELECT o_orderkey + {FREE_KEYS} AS o_orderkey, * EXCLUDE (o_orderkey)
FROM orders QUALIFY row_number() OVER (ORDER BY o_orderkey) % {ONE_ORDER_IN} = 1
ORDER BY 1"""
NEW_LINES = f"""
SELECT l_orderkey + {FREE_KEYS} AS l_orderkey, * EXCLUDE (l_orderkey)
FROM lineitem SEMI JOIN new_orders ON l_orderkey + {FREE_KEYS} = o_orderkey
ORDER BY 1, l_linenumber"""
OLD_ORDERS = f"""
SELECT o_orderkey FROM orders QUALIFY row_number() OVER (ORDER BY o_orderkey) % {ONE_ORDER_IN} = 500 ORDER BY 1"""

UPDATES = (
    "UPDATE lineitem SET l_discount = 0.06, l_quantity = l_quantity - 1 WHERE l_orderkey % 97 = 5 AND l_quantity > 1",
    "UPDATE lineitem SET l_shipdate = l_shipdate + 30, l_comment = l_comment || ' (late)' WHERE l_suppkey % 50 = 3",
    "UPDATE customer SET c_acctbal = c_acctbal + o_totalprice FROM orders WHERE o_custkey = c_custkey"
    " AND o_orderkey IN (SELECT max(o_orderkey) FROM orders GROUP BY o_custkey)",
    "UPDATE part SET p_brand = 'Brand#23', p_container = 'MED BOX' WHERE p_partkey % 40 = 7",
    "UPDATE supplier SET s_nationkey = (s_nationkey + 1) % 25 WHERE s_suppkey BETWEEN 100 AND 140",
    "DELETE FROM partsupp WHERE ps_partkey % 100 = 9 AND ps_suppkey % 2 = 0",
    "UPDATE orders SET o_orderpriority = '1-URGENT' WHERE o_custkey % 11 = 0 AND o_orderdate < DATE '1994-06-01'",
)


LATE = (
    "UPDATE lineitem SET l_extendedprice = 0 WHERE l_linenumber = 1",
    "DELETE FROM customer WHERE c_custkey % 3 = 0",
)
Rows = list[tuple[Any, ...]]
Script = list[tuple[str, Any]]
Answers = dict[int, pa.Table]


@dataclass
class Expected:
    """What DuckDB did: its answers at each point, and of each transaction the statements and their counts."""

    folder: Path
    answers: dict[str, Answers]
    scripts: list[Script]
    counts: list[list[int]]


def rows_of(table: pa.Table) -> Rows:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def grouped(rows: Rows) -> Iterator[Rows]:
    left = iter(rows)
    while group := list(islice(left, ORDERS_A_STATEMENT)):
        yield group


def insert_of(table: str, rows: Rows) -> tuple[str, list[Any]]:
    row = f"({', '.join('?' * len(rows[0]))})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * len(rows))}", [v for each in rows for v in each]


def refresh_functions(connection: duckdb.DuckDBPyConnection) -> tuple[Script, Script]:
    """RF1, which adds orders and their lines, and RF2, which removes others the same way; a few at a time."""
    new_orders = connection.sql(NEW_ORDERS).to_arrow_table()
    connection.register("new_orders", new_orders)
    lines: dict[int, Rows] = {}
    for line in rows_of(connection.sql(NEW_LINES).to_arrow_table()):
        lines.setdefault(line[0], []).append(line)
    connection.unregister("new_orders")
    insert: Script = []
    for orders in grouped(rows_of(new_orders)):
        insert.append(insert_of("orders", orders))
        insert.append(insert_of("lineitem", [line for order in orders for line in lines[order[0]]]))
    remove: Script = []
    for orders in grouped(connection.sql(OLD_ORDERS).fetchall()):
        keys, marks = [key for (key,) in orders], ", ".join("?" * len(orders))
        remove.append((f"DELETE FROM lineitem WHERE l_orderkey IN ({marks})", keys))
        remove.append((f"DELETE FROM orders WHERE o_orderkey IN ({marks})", keys))
    return insert, remove


def answers(connection: duckdb.DuckDBPyConnection) -> Answers:
    return {number: connection.sql(text).to_arrow_table() for number, text in QUERIES.items()}


@pytest.fixture(scope="module", params=[0.1, pytest.param(1, marks=pytest.mark.deep)], ids=["sf0.1", "sf1"])
def expected(request, tmp_path_factory) -> Expected:
    """The generator's Parquet files, and what DuckDB makes of them."""
    folder = tmp_path_factory.mktemp("tpch")
    command = [GENERATOR, "parquet", "-s", str(request.param), "--output-dir", folder]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with duckdb.connect() as connection:
        for table in KEYS:
            connection.execute(f"CREATE TABLE {table} AS FROM '{folder / table}.parquet'").fetchall()
        insert, remove = refresh_functions(connection)
        made = Expected(folder, {"loaded": answers(connection)}, [], [])
        for script in (insert, [(text, None) for text in UPDATES], remove):
            made.scripts.append(script)
            made.counts.append([connection.execute(*each).fetchall()[0][0] for each in script])
        made.answers["refreshed"] = answers(connection)
        for text in LATE:
            connection.execute(text).fetchall()
        made.answers["late"] = answers(connection)
    return made


def run_transaction(run: Callable[..., Any], script: Script) -> list[int]:
    """Statements between BEGIN and COMMIT; how many rows each changed."""
    run("BEGIN")
    counts = [run(text, values).rowcount for text, values in script]
    run("COMMIT")
    return counts


@pytest.fixture(scope="module", params=["in the log", "compacted"])
def shop(request, expected, tmp_path_factory) -> Iterator[absdb.Instance]:
    """`main` as it was loaded; `branch` refreshed in three transactions, then changed once more; opened again."""
    path = tmp_path_factory.mktemp("shop")
    compacted = request.param == "compacted"
    with absdb.connect(path, checkpoint_interval="1d", checkpoint_wal_volume="4GB") as shop:
        main = shop["main"]
        for table, key in KEYS.items():
            main.create_table(table, pq.read_table(expected.folder / f"{table}.parquet"), key=key)
        branch = main.branch("branch")
        branch.snapshot("branched")
        with branch.session() as session:
            for script, counts in zip(expected.scripts, expected.counts, strict=True):
                assert run_transaction(session.sql, script) == counts
                assert 0 not in counts, script
                if compacted:
                    shop.checkpoint()
        branch.snapshot("refreshed")
        for text in LATE:
            branch.sql(text)
        if not compacted:
            assert_answers(branch.sql, expected.answers["late"])
            yield shop
            return
        shop.checkpoint()
        while shop.maintain():
            pass
    with absdb.connect(path) as shop:
        yield shop


def assert_answers(run: Callable[[str], Any], expected: Answers, texts: dict[int, str] = QUERIES) -> None:
    """Names, types and rows; quotients are floats, whose sums depend on how threads divide the work."""
    for number, text in texts.items():
        found, wanted = run(text).to_arrow(), expected[number]
        assert found.schema.types == wanted.schema.types, number
        assert found.column_names == wanted.column_names, number
        for ours, theirs in zip(found.columns, wanted.columns, strict=True):
            if pa.types.is_floating(ours.type):
                assert ours.to_pylist() == pytest.approx(theirs.to_pylist(), rel=1e-12), number
            else:
                assert ours.to_pylist() == theirs.to_pylist(), number


def at(point: str) -> dict[int, str]:
    """The queries with a point in time behind every table; only FROM clauses name tables."""
    clause = re.compile(r"FROM [^()]*?(?=WHERE|GROUP|\))")
    name = re.compile(rf"\b({'|'.join(KEYS)})\b")
    return {
        number: clause.sub(lambda found: name.sub(rf"\1 AT ({point})", found.group()), text)
        for number, text in QUERIES.items()
    }


def test_the_points_in_time_have_different_answers(expected):
    for one, other in (("loaded", "refreshed"), ("refreshed", "late")):
        same = [n for n in QUERIES if expected.answers[one][n].equals(expected.answers[other][n])]
        assert len(same) <= len(QUERIES) // 2, (one, other, same)


def test_main_keeps_its_answers(shop, expected):
    assert_answers(shop["main"].sql, expected.answers["loaded"])


def test_a_branch_has_answers_of_its_own(shop, expected):
    assert_answers(shop["branch"].sql, expected.answers["late"])


def test_a_snapshot_keeps_its_answers(shop, expected):
    assert_answers(shop["branch"].at(snapshot="refreshed").sql, expected.answers["refreshed"])
    assert_answers(shop["branch"].at(snapshot="branched").sql, expected.answers["loaded"])


def test_tables_at_a_point_in_time(shop, expected):
    for snapshot, answers in (("branched", "loaded"), ("refreshed", "refreshed")):
        assert_answers(shop["branch"].sql, expected.answers[answers], at(f"SNAPSHOT => '{snapshot}'"))


def test_a_transaction_sees_its_own_refresh_and_nobody_else_does(shop, expected):
    some = {number: QUERIES[number] for number in (1, 3, 4, 18, 22)}
    with shop["main"].session() as session:
        session.sql("BEGIN")
        for script in expected.scripts:
            for text, values in script:
                session.sql(text, values)
        assert_answers(session.sql, expected.answers["refreshed"])
        assert_answers(shop["main"].sql, expected.answers["loaded"], some)
        session.sql("ROLLBACK")
        assert_answers(session.sql, expected.answers["loaded"], some)


def test_query_6_in_plain_python(shop):
    """So that not everything rests on DuckDB."""
    lines = shop["main"]["lineitem"].to_arrow(["l_shipdate", "l_discount", "l_quantity", "l_extendedprice"])
    lines = lines.filter(pc.equal(pc.year(lines["l_shipdate"]), 1994))
    columns = (column.to_pylist() for column in lines.columns[1:])
    revenue = sum(
        price * discount
        for discount, quantity, price in zip(*columns, strict=True)
        if Decimal("0.05") <= discount <= Decimal("0.07") and quantity < 24
    )
    assert shop["main"].sql(QUERIES[6]).fetchall() == [(revenue,)]
