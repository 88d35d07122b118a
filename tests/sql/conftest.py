"""What the tests of statements share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import absdb
from absdb.sql.session import Session

ORDERS = pa.schema([("id", pa.int32()), ("total", pa.int64()), ("day", pa.date32()), ("note", pa.string())])


class Shop:
    """A session on an instance in memory with a table `orders`, and `log`, which has no key."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.main = instance["main"]
        self.session = Session(self.main._scope)

    def rows(self, text: str, values: Any = None, **frames: Any) -> list[tuple[Any, ...]]:
        """What a statement gives back."""
        return self.session.sql(text, values, frames=frames.get).fetchall()

    def count(self, text: str, values: Any = None, **frames: Any) -> int:
        """The number of rows a statement changed, which it gives in two ways."""
        result = self.session.sql(text, values, frames=frames.get)
        assert result.columns == ["Count"]
        assert result.fetchall() == [(result.rowcount,)]
        return result.rowcount


@pytest.fixture
def shop() -> Iterator[Shop]:
    with absdb.connect(":memory:") as instance:
        made = Shop(instance)
        made.main.create_table("orders", ORDERS, key="id")
        made.main.create_table("log", pa.schema([("id", pa.int32()), ("text", pa.string())]))
        yield made


def answer(connection: duckdb.DuckDBPyConnection, text: str) -> pa.Table:
    """What DuckDB says to a statement. Version 1 gives counts by `execute` only, of which version 2 warns."""
    if duckdb.__version__.startswith("1."):
        return connection.execute(text).to_arrow_table()
    return connection.sql(text).to_arrow_table()
