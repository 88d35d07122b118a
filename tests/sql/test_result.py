"""Result: every way to read rows, of every type; streams larger than memory; what is abandoned, interrupted, closed."""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

import absdb

UTC = dt.UTC


@pytest.fixture(scope="module")
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:") as shop:
        shop["main"].create_table("t", [{"id": n, "v": f"v{n}"} for n in range(30)], key="id")
        yield shop["main"]


VALUES = [
    ("true", True),
    ("1::TINYINT", 1),
    ("170141183460469231731687303715884105727", 2**127 - 1),
    ("340282366920938463463374607431768211455::UHUGEINT", 2**128 - 1),
    ("(SELECT sum(x) FROM range(5) r(x))", 10),
    ("1.50::DECIMAL(10,2)", Decimal("1.50")),
    ("1.5::FLOAT", 1.5),
    ("DATE '2020-01-02'", dt.date(2020, 1, 2)),
    ("DATE '290000-01-02'", "290000-01-02"),
    ("DATE '0044-03-15 (BC)'", "0044-03-15 (BC)"),
    ("DATE 'infinity'", "infinity"),
    ("TIME '12:34:56.7'", dt.time(12, 34, 56, 700_000)),
    ("TIMESTAMP '2020-01-02 03:04:05.6'", dt.datetime(2020, 1, 2, 3, 4, 5, 600_000)),
    ("TIMESTAMP '20000-01-02'", "20000-01-02 00:00:00.000000"),
    ("TIMESTAMP_S '2020-01-02'", dt.datetime(2020, 1, 2)),
    ("TIMESTAMP_NS '2020-01-02 00:00:00.000000001'", pd.Timestamp("2020-01-02 00:00:00.000000001")),
    ("TIMESTAMPTZ '2020-01-02 00:00:00+02'", dt.datetime(2020, 1, 1, 22, tzinfo=UTC)),
    ("INTERVAL '1 month 2 days'", pa.MonthDayNano([1, 2, 0])),
    ("'\\xAA'::BLOB", b"\xaa"),
    ("'it''s'", "it's"),
    ("'a'::ENUM('a', 'b')", "a"),
    ("[1, NULL]", [1, None]),
    ("[1, 2]::INTEGER[2]", [1, 2]),
    ("{'a': 1, 'b': [DATE '2020-01-02']}", {"a": 1, "b": [dt.date(2020, 1, 2)]}),
    ("{'a': DATE '290000-01-02', 'b': NULL}", {"a": "290000-01-02", "b": None}),
    ("[DATE '290000-01-02', NULL]", ["290000-01-02", None]),
    ("MAP {'a': 1}", [("a", 1)]),
    ("union_value(k := 1)", 1),
    ("NULL", None),
]


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=[text for text, _ in VALUES])
def test_a_value_comes_back_in_every_way(main, text, expected):
    query = f"SELECT {text} AS x, 1 AS one"
    result = main.sql(query)
    assert result.columns == ["x", "one"]
    assert result.fetchall() == [(expected, 1)]
    assert result.rowcount == 1
    assert main.sql(query).fetchone() == (expected, 1)
    assert list(main.sql(query)) == main.sql(query).fetchmany(5) == [(expected, 1)]
    table = main.sql(query).to_arrow()
    assert table.num_rows == 1
    assert main.sql(query).to_batches().read_all().equals(table)
    assert pa.table(main.sql(query)).equals(table)
    frame = main.sql(query).to_pandas()
    assert list(frame.columns) == ["x", "one"]
    assert len(frame) == 1
    found = main.sql(query)
    assert "1 row" in repr(found)
    assert "1 row" in found._repr_html_()
    assert found.fetchall() == [(expected, 1)]


def test_values_of_pandas(main):
    frame = main.sql(
        "SELECT sum(id) AS s, max(DATE '290000-01-02') AS d, NULL::INTEGER AS n FROM t"
    ).to_pandas()
    assert frame["s"].dtype == "int64"
    assert frame.to_dict("records")[0]["d"] == "290000-01-02"
    assert str(main.sql("SELECT NULLIF(id, 1) AS n FROM t").to_pandas()["n"].dtype) == "Int64"
    assert main.sql("SELECT 1 AS a, DATE '290000-01-02' AS d, 2 AS b").to_pandas().columns.tolist() == [
        "a",
        "d",
        "b",
    ]


def test_rows_read_whole_can_be_read_again(main):
    result = main.sql("SELECT id FROM t ORDER BY id")
    assert result.to_arrow().equals(result.to_arrow())
    assert len(result.to_pandas()) == 30
    assert result.fetchmany(2) == [(0,), (1,)]
    assert result.fetchone() == (2,)
    assert len(result.fetchall()) == 27
    assert result.fetchone() is None
    assert result.to_batches().read_all().num_rows == 30
    assert result.rowcount == 30


def test_rows_handed_on_are_gone(main):
    result = main.sql("SELECT id FROM t")
    assert sum(batch.num_rows for batch in result.to_batches()) == 30
    with pytest.raises(absdb.StateError, match="have been read already"):
        result.to_arrow()
    assert "handed on" in repr(result)


def test_a_result_without_rows(main):
    with main.session() as session:
        result = session.sql("SET VARIABLE x = 1")
        assert (result.columns, result.description, result.rowcount) == ([], None, -1)
        assert repr(result) == "<Result of SET VARIABLE>"
        assert result._repr_html_() is None
        assert result.fetchall() == []
    empty = main.sql("SELECT id, v FROM t WHERE id < 0")
    assert repr(empty) == "<Result: 0 rows> id, v"
    assert empty.to_arrow().schema.names == ["id", "v"]


def test_the_plain_repr_shows_the_first_rows(main):
    assert repr(main.sql("SELECT id, v, NULL AS n FROM t WHERE id IN (5, 12)")) == (
        "<Result: 2 rows>\nid  v    n\n 5  v5   NULL\n12  v12  NULL"
    )
    many = main.sql("SELECT id, v FROM t")
    lines = repr(many).splitlines()
    assert lines[0] == "<Result: 30 rows, of which 10 are shown>"
    assert len(lines) == 12
    assert many.to_arrow().num_rows == 30
    huge = main.sql("SELECT range AS x FROM range(1000000)")
    assert repr(huge).startswith("<Result: more than 10 rows, not read yet>\nx\n0\n1\n")
    assert "more than 10 rows" in huge._repr_html_()
    assert sum(batch.num_rows for batch in huge.to_batches()) == 1_000_000
    wide = repr(main.sql(f"SELECT {', '.join(f'{n} AS column_{n}' for n in range(50))}, 'x\ny' AS last"))
    assert max(map(len, wide.splitlines())) <= 120
    assert "…" in wide
    assert "<b>" not in main.sql("SELECT '<b>' AS x")._repr_html_().replace("<b>Result</b>", "").replace(
        "<b>SELECT</b>", ""
    )


def test_an_error_of_a_row_comes_while_reading_and_shows_in_no_repr(main):
    failing = "SELECT CAST(CASE WHEN x < 300000 THEN '1' ELSE 'no' END AS INTEGER) FROM range(400000) r(x)"
    for read in (
        lambda result: result.to_arrow(),
        lambda result: result.fetchall(),
        lambda result: list(result.to_batches()),
        lambda result: result.to_pandas(),
    ):
        with pytest.raises(absdb.QueryError, match="no"):
            read(main.sql(failing))
    with pytest.raises(Exception, match="no"):
        pa.table(main.sql(failing))
    early = "SELECT CAST(v AS INTEGER) FROM t"
    try:
        shown = repr(main.sql(early))
    except absdb.QueryError as error:  # DuckDB may compute the first rows at once
        shown = str(error)
    assert "v0" in shown
    assert main.sql("SELECT 1").fetchall() == [(1,)]


# -- abandoned, interrupted, closed


def test_results_that_nobody_reads_cost_nothing_more(main):
    for number in range(300):
        result = main.sql("SELECT range AS x, 'abc' AS y FROM range(1000000)")
        if number % 3 == 0:
            result.fetchone()
        elif number % 3 == 1:
            result.to_batches().read_next_batch()
        if number % 2:
            result.close()
    del result
    assert main.sql("SELECT count(*) FROM t").fetchall() == [(30,)]


def test_a_closed_result(main):
    with main.sql("SELECT id FROM t") as result:
        pass
    assert result.fetchall() == []
    whole = main.sql("SELECT id FROM t")
    whole.to_arrow()
    whole.close()
    assert len(whole.fetchall()) == 30


SLOW = "SELECT count(*) FROM range(3000000) a(x), range(20000) b(y) WHERE hash(a.x, b.y) = 1"


def test_interrupt_from_another_thread(main):
    """Of a result whose rows are still being computed."""
    result = main.sql("SELECT range AS x FROM range(100000000000)")
    timer = threading.Timer(0.3, result.interrupt)
    timer.start()
    with pytest.raises(absdb.QueryError, match=r"(?i)interrupt"):
        for _ in result.to_batches():
            pass
    timer.join()
    assert main.sql("SELECT 1").fetchall() == [(1,)]


_CTRL_C = f"""
import absdb
shop = absdb.connect(":memory:")
main = shop["main"]
main.create_table("t", [{{"id": 1}}], key="id")
print("ready", flush=True)
try:
    main.sql({SLOW!r}).fetchall()
except KeyboardInterrupt:
    print("stopped", main.sql("SELECT id FROM t").fetchall(), flush=True)
shop.close()
"""


def test_ctrl_c_ends_the_query_and_nothing_else():
    child = subprocess.Popen([sys.executable, "-c", _CTRL_C], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    assert child.communicate(timeout=60)[0] == "stopped [(1,)]\n"
    assert child.returncode == 0


def test_close_of_the_instance_with_open_results():
    shop = absdb.connect(":memory:")
    main = shop["main"]
    main.create_table("t", [{"id": n} for n in range(5)], key="id")
    unread = main.sql("SELECT id FROM t")
    begun = main.sql("SELECT range FROM range(10000000)")
    begun.fetchone()
    shop.close()
    for result in (unread, begun):
        with contextlib.suppress(absdb.StateError):  # or the rest of the rows, if DuckDB has them
            result.fetchall()
    with pytest.raises(absdb.StateError, match="the instance is closed"):
        main.sql("SELECT 1")


_LARGE = """
import resource, sys
import absdb
shop = absdb.connect(":memory:")
main = shop["main"]
main.sql("SELECT 1").fetchall()
query = "SELECT range AS x, repeat('abcdefgh', 8) || range AS y FROM range(24000000)"
resource.setrlimit(resource.RLIMIT_DATA, (1200 * 2**20, 1200 * 2**20))
rows = nbytes = 0
for batch in main.sql(query).to_batches():
    rows += batch.num_rows
    nbytes += batch.nbytes
print(rows, nbytes > 1500 * 2**20, flush=True)
try:
    main.sql(query).to_arrow()
except (MemoryError, absdb.AbsdbError):
    print("too large")
shop.close()
"""


def test_a_result_larger_than_memory_is_streamed():
    done = subprocess.run([sys.executable, "-c", _LARGE], capture_output=True, text=True, timeout=300)
    assert done.stdout == "24000000 True\ntoo large\n", done.stderr
