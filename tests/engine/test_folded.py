"""Reads of whole states are kept within a bound, and never mixed up."""

from __future__ import annotations

import pyarrow as pa

from absdb.engine import ddl
from absdb.engine.folded import FoldedCache, owned_bytes
from tests.versioning.conftest import World


def places(table: pa.Table, name: str) -> list[int]:
    """Where the values of a column lie."""
    return [chunk.buffers()[1].address for chunk in table.column(name).chunks]


def test_reading_a_state_again_gives_the_same_columns(world: World) -> None:
    world.create()
    world.put({i: (i, "x") for i in range(300)})
    world.put({i: (-i, "y") for i in range(0, 300, 2)})
    first = world.read()
    assert places(world.read(), "v") == places(first, "v")
    before = world.point()
    world.put({7: (-7, "y")})
    assert world.read().column("v").to_pylist()[7] == -7
    assert places(world.read(before), "v") == places(first, "v")


def test_reads_share_the_columns_they_have_in_common(world: World) -> None:
    world.create()
    world.put({i: (i, "x") for i in range(300)})
    world.put({i: (-i, "y") for i in range(0, 300, 2)})
    with world.engine.begin(world.info("main").id) as tx:
        reader = tx.reader(tx.catalog.table("t"))
    one, two = reader.to_table(["s", "v"]), reader.to_table(["v", "id"])
    assert places(one, "v") == places(two, "v") == places(reader.to_table(), "v")
    assert two.equals(reader.to_table().select(["v", "id"]))


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
    columns = [pa.chunked_array([pa.array(range(n * 1000, n * 1000 + 1000), pa.int64())]) for n in range(5)]
    size = owned_bytes(columns[0])
    cache = FoldedCache(3 * size)
    for number, column in enumerate(columns):
        cache.put(number, column)
    assert [cache.get(number) is not None for number in range(5)] == [False, False, True, True, True]
    cache.put("large", pa.chunked_array([pa.array(range(4000), pa.int64())]))
    assert cache.get("large") is None
    assert cache.get(4) is columns[4]


def test_slices_of_one_buffer_count_once() -> None:
    column = pa.array(range(1000), pa.int64())
    assert owned_bytes(pa.chunked_array([column.slice(0, 10), column.slice(500, 10)])) == 8000


def _numbers(*starts: int) -> list[pa.Array]:
    return [pa.array(range(start, start + 1000), pa.int64()) for start in starts]


def test_memory_that_states_share_counts_once() -> None:
    one, two, three = _numbers(0, 1000, 2000)
    cache = FoldedCache(3 * 8000)
    cache.put("before", pa.chunked_array([one, two]))
    cache.put("after", pa.chunked_array([one, three]))
    assert cache.get("before") is not None
    assert cache.get("after") is not None
    assert cache.room([]) == 0
    assert cache.room(["before"]) == 8000
    cache.put("before", pa.chunked_array([three]))
    assert cache.room([]) == 8000
    cache.forget("after")
    assert cache.get("after") is None
    assert cache.room([]) == 16000


def test_columns_that_free_nothing_stay() -> None:
    shared, alone, large, other = _numbers(0, 1000, 2000, 3000)
    cache = FoldedCache(3 * 8000)
    cache.put("shared", pa.chunked_array([shared]))
    cache.put("alone", pa.chunked_array([alone]))
    cache.put("sharing", pa.chunked_array([shared, other]))
    cache.put("large", pa.chunked_array([large]))
    assert [name for name in ("shared", "alone", "sharing", "large") if cache.get(name) is not None] == [
        "shared", "sharing", "large",
    ]  # fmt: skip
    cache.put("more", pa.chunked_array(_numbers(4000, 5000, 6000)))
    assert [name for name in ("shared", "sharing", "large", "more") if cache.get(name) is not None] == [
        "more"
    ]


def test_columns_that_share_everything_make_room_too() -> None:
    shared = _numbers(0, 1000)
    cache = FoldedCache(2 * 8000)
    for name in ("one", "two"):
        cache.put(name, pa.chunked_array(shared))
    cache.put("three", pa.chunked_array(_numbers(2000)))
    assert [cache.get(name) is not None for name in ("one", "two", "three")] == [False, False, True]
