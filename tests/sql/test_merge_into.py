"""MERGE INTO: every clause, each row once, nothing at all if something fails."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from absdb.errors import AbsdbError, ConstraintError, InvalidInputError, QueryError


@pytest.fixture
def filled(shop: Any) -> Any:
    shop.session.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER DEFAULT 7)")
    shop.count("INSERT INTO t VALUES (1, 10, 1), (2, 20, 2), (3, 30, 3)")
    shop.session.sql("CREATE TABLE s (id INTEGER, a INTEGER, b INTEGER)")
    shop.count("INSERT INTO s VALUES (2, 200, NULL), (3, 0, 0), (4, 400, 4)")
    return shop


def test_all_sides_at_once(filled: Any) -> None:
    text = """MERGE INTO t USING s ON t.id = s.id
        WHEN MATCHED AND s.a = 0 THEN DELETE
        WHEN MATCHED THEN UPDATE SET a = t.a + s.a, b = DEFAULT
        WHEN NOT MATCHED THEN INSERT (id, a) VALUES (id, -s.a)
        WHEN NOT MATCHED BY SOURCE AND t.id = 1 THEN UPDATE SET b = CASE WHEN t.b = 1 THEN 100 END
        RETURNING merge_action, *, t.a + 1 AS more"""
    assert sorted(filled.rows(text)) == [
        ("DELETE", 3, 30, 3, 31),
        ("INSERT", 4, -400, 7, -399),
        ("UPDATE", 1, 10, 100, 11),
        ("UPDATE", 2, 220, 7, 221),
    ]
    assert filled.rows("FROM t") == [(1, 10, 100), (2, 220, 7), (4, -400, 7)]


@pytest.mark.parametrize(
    ("clauses", "count", "rows"),
    [
        (
            "WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT",
            3,
            [(1, 10, 1), (2, 200, None), (3, 0, 0), (4, 400, 4)],
        ),
        ("WHEN MATCHED THEN UPDATE SET *", 2, [(1, 10, 1), (2, 200, None), (3, 0, 0)]),
        ("WHEN MATCHED THEN UPDATE BY NAME", 2, [(1, 10, 1), (2, 200, None), (3, 0, 0)]),
        ("WHEN NOT MATCHED THEN INSERT BY NAME *", 1, [(1, 10, 1), (2, 20, 2), (3, 30, 3), (4, 400, 4)]),
        ("WHEN NOT MATCHED BY TARGET AND s.a < 0 THEN INSERT *", 0, [(1, 10, 1), (2, 20, 2), (3, 30, 3)]),
        ("WHEN MATCHED AND s.a > 0 THEN DO NOTHING WHEN MATCHED THEN DELETE", 1, [(1, 10, 1), (2, 20, 2)]),
        ("WHEN NOT MATCHED BY SOURCE THEN DELETE", 1, [(2, 20, 2), (3, 30, 3)]),
        (
            "WHEN MATCHED THEN INSERT VALUES (t.id + 100, DEFAULT, s.a)",
            2,
            [(1, 10, 1), (2, 20, 2), (3, 30, 3), (102, None, 200), (103, None, 0)],
        ),
        ("WHEN MATCHED THEN UPDATE SET id = 5 - t.id", 2, [(1, 10, 1), (2, 30, 3), (3, 20, 2)]),
        ("WHEN MATCHED AND t.id > 5 THEN ERROR", 0, [(1, 10, 1), (2, 20, 2), (3, 30, 3)]),
    ],
)
def test_clauses(filled: Any, clauses: str, count: int, rows: list[Any]) -> None:
    assert filled.count(f"MERGE INTO t USING s USING (id) {clauses}") == count
    assert filled.rows("FROM t") == rows


def test_sources(filled: Any) -> None:
    frame = pa.table({"k": [1, 9], "v": [5, 6]})
    text = "MERGE INTO t AS x USING frame f ON x.id = f.k WHEN MATCHED THEN UPDATE SET a = f.v"
    assert filled.count(text, frame=frame) == 1
    text = (
        "WITH w AS (SELECT ? AS k) MERGE INTO t USING w ON t.id = k WHEN MATCHED THEN UPDATE SET a = k * 100"
    )
    assert filled.count(text, [2]) == 1
    text = (
        "MERGE INTO t USING t t2 JOIN s ON t2.id = s.id ON t.id = t2.id WHEN MATCHED THEN UPDATE SET b = s.b"
    )
    assert filled.count(text) == 2
    assert filled.rows("FROM t") == [(1, 5, 1), (2, 200, None), (3, 30, 0)]


def test_tables_without_a_key_and_other_databases(filled: Any) -> None:
    filled.count("INSERT INTO log VALUES (1, 'x'), (1, 'y'), (2, 'z')")
    text = (
        "MERGE INTO log USING t ON log.id = t.id WHEN MATCHED AND t.id = 1 THEN UPDATE SET text = text || a"
    )
    assert filled.count(text + " WHEN MATCHED THEN DELETE") == 3
    assert filled.rows("FROM log") == [(1, "x10"), (1, "y10")]
    staging = filled.main.branch("staging")
    filled.count("MERGE INTO staging.t USING s USING (id) WHEN NOT MATCHED THEN INSERT *")
    assert (staging["t"].count(), filled.main["t"].count()) == (4, 3)


def test_a_row_is_changed_once(filled: Any) -> None:
    text = "MERGE INTO t USING (VALUES (1, 1), (1, 2)) v(id, n) USING (id) WHEN MATCHED AND n = 1 THEN DELETE"
    with pytest.raises(InvalidInputError, match="key 1 more than once"):
        filled.session.sql(text + " WHEN MATCHED THEN UPDATE SET a = n")
    assert filled.count(text) == 1


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "MERGE INTO t USING s USING (id) WHEN MATCHED THEN ERROR 'bad ' || s.a",
            ConstraintError,
            "bad (200|0)",
        ),
        ("MERGE INTO t USING s ON true WHEN NOT MATCHED THEN DELETE", QueryError, "expected INSERT"),
        (
            "MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE WHEN MATCHED THEN DELETE",
            QueryError,
            "never reached",
        ),
        ("MERGE INTO t USING s ON true", QueryError, "expected WHEN"),
        ("MERGE INTO t USING s WHEN MATCHED THEN DELETE", QueryError, "expected ON or USING"),
        ("MERGE INTO t USING ss ON true WHEN MATCHED THEN DELETE", QueryError, "no table 'ss'"),
        ("MERGE INTO t USING s ON t.id = s.idd WHEN MATCHED THEN DELETE", QueryError, "idd"),
        ("MERGE INTO t USING s USING (id) WHEN MATCHED THEN UPDATE SET x = 1", QueryError, "no column 'x'"),
        ("MERGE INTO t USING s USING (id) WHEN NOT MATCHED THEN INSERT VALUES (1)", QueryError, "3 columns"),
        (
            "MERGE INTO t USING s USING (id) WHEN NOT MATCHED BY SOURCE THEN UPDATE",
            QueryError,
            "no row of the source",
        ),
        (
            "MERGE INTO t USING s USING (id) WHEN NOT MATCHED THEN INSERT VALUES (1, 1, 1)",
            ConstraintError,
            "key 1",
        ),
    ],
)
def test_what_fails_changes_nothing(filled: Any, text: str, kind: type[AbsdbError], message: str) -> None:
    with pytest.raises(kind, match=message):
        filled.session.sql(text)
    assert filled.rows("FROM t") == [(1, 10, 1), (2, 20, 2), (3, 30, 3)]
