"""Reads of whole states are kept within a bound, and never mixed up."""

from __future__ import annotations

import pyarrow as pa

from absdb.engine import ddl
from absdb.engine.folded import FoldedCache, owned_bytes
from tests.versioning.conftest import World


def test_reading_a_state_again_gives_the_same_table(world: World) -> None:
    world.create()
    world.put({i: (i, "x") for i in range(300)})
    first = world.read()
    assert world.read() is first
    before = world.point()
    world.put({7: (-7, "y")})
    assert world.read().column("v").to_pylist()[7] == -7
    assert world.read(before) is first


def test_a_renamed_column_is_another_read(world: World) -> None:
    world.create()
    world.put({1: (1, "x")})
    before = world.point()
    assert world.read().schema.names == ["id", "v", "s"]
    with world.engine.begin(world.info("main").id) as tx:
        ddl.rename_column(tx, tx.catalog.table("t"), "v", "value")
    assert world.read().schema.names == ["id", "value", "s"]
    assert world.read(before).schema.names == ["id", "v", "s"]


def test_the_bound_holds() -> None:
    tables = [pa.table({"a": pa.array(range(n * 1000, n * 1000 + 1000), pa.int64())}) for n in range(5)]
    size = owned_bytes(tables[0])
    cache = FoldedCache(3 * size)
    for number, table in enumerate(tables):
        cache.put(number, table)
    assert [cache.get(number) is not None for number in range(5)] == [False, False, True, True, True]
    cache.put("large", pa.table({"a": pa.array(range(4000), pa.int64())}))
    assert cache.get("large") is None
    assert cache.get(4) is tables[4]


def test_slices_of_one_buffer_count_once() -> None:
    column = pa.array(range(1000), pa.int64())
    table = pa.Table.from_arrays([pa.chunked_array([column.slice(0, 10), column.slice(500, 10)])], ["a"])
    assert owned_bytes(table) == 8000
