"""Expressions over rows: order, types, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from absdb.errors import QueryError
from absdb.sql.duck.expressions import SqlEvaluator

ROWS = pa.table({"a": pa.array([3, 1, None], pa.int64()), "B c": ["x", "y", "z"]})


@pytest.fixture
def evaluator() -> Iterator[SqlEvaluator]:
    made = SqlEvaluator()
    yield made
    made.close()


def test_values_come_in_the_order_of_the_rows(evaluator: SqlEvaluator) -> None:
    doubled, shouted = evaluator.evaluate(["a * 2", 'upper("B c")'], ROWS)
    assert doubled.to_pylist() == [6, 2, None]
    assert shouted.to_pylist() == ["X", "Y", "Z"]


def test_no_rows_give_no_values(evaluator: SqlEvaluator) -> None:
    assert evaluator.evaluate(["a + 1"], ROWS.slice(0, 0))[0].to_pylist() == []


def test_columns_an_expression_reads(evaluator: SqlEvaluator) -> None:
    assert evaluator.columns_of('a > 1 AND length("B c") < a') == ["a", "B c"]
    assert evaluator.columns_of("42") == []


@pytest.mark.parametrize(
    "text",
    [
        "a +",
        "1, 2",
        "1) FROM range(3) --",
        "1); DROP TABLE x; SELECT (1",
        "(SELECT max(a) FROM rows_given)",
        "a FROM read_csv('/etc/passwd')",
    ],
)
def test_what_is_not_one_expression_is_refused(evaluator: SqlEvaluator, text: str) -> None:
    with pytest.raises(QueryError):
        evaluator.columns_of(text)
    with pytest.raises(QueryError):
        evaluator.evaluate([text], ROWS)


def test_an_unknown_column_is_an_error_that_names_the_expression(evaluator: SqlEvaluator) -> None:
    with pytest.raises(QueryError, match="nonsense > 1"):
        evaluator.evaluate(["nonsense > 1"], ROWS)


def test_no_file_can_be_read(evaluator: SqlEvaluator) -> None:
    with pytest.raises(QueryError):
        evaluator.evaluate(["(SELECT content FROM read_text('/etc/hostname'))"], ROWS)


def test_it_opens_again_after_close(evaluator: SqlEvaluator) -> None:
    evaluator.evaluate(["a"], ROWS)
    evaluator.close()
    assert evaluator.evaluate(["a"], ROWS)[0].to_pylist() == [3, 1, None]
