"""A few rows of each of many pages come out as `take` gives them, whatever the columns hold and wherever pages lie."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from absdb.io.memory import MemoryFileSystem
from absdb.pages import scattered
from absdb.pages.key import KeySpec
from absdb.pages.projection import OutputColumn, Projection
from absdb.pages.section import Page
from absdb.pages.store import PageStore

PAGES, ROWS = 40, 50
MAKERS: dict[pa.DataType, Any] = {
    pa.int64(): lambda chance: chance.randrange(-(2**63), 2**63),
    pa.int8(): lambda chance: chance.randrange(-128, 128),
    pa.uint16(): lambda chance: chance.randrange(2**16),
    pa.float64(): lambda chance: chance.choice([0.0, -0.0, float("nan"), 1.5, 1e300]),
    pa.float32(): lambda chance: chance.choice([0.0, 2.5]),
    pa.bool_(): lambda chance: chance.random() < 0.5,
    pa.string(): lambda chance: "ä" * chance.randrange(4) + str(chance.randrange(1000)),
    pa.binary(): lambda chance: bytes(chance.randrange(256) for _ in range(chance.randrange(6))),
    pa.decimal128(20, 2): lambda chance: Decimal(chance.randrange(-(10**18), 10**18)) / 100,
    pa.timestamp("us", tz="UTC"): lambda chance: (
        dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=chance.randrange(10**6))
    ),
    pa.date32(): lambda chance: dt.date(2024, 1, 1 + chance.randrange(30)),
}


def _batch(chance: random.Random, first: int, nulls: float, kinds: list[pa.DataType]) -> pa.RecordBatch:
    # Of a longer batch, so that its columns do not begin where their buffers do.
    count = ROWS + 3
    columns = [pa.array(range(first - 3, first + ROWS), pa.int64())]
    for kind in kinds:
        values = [None if chance.random() < nulls else MAKERS[kind](chance) for _ in range(count)]
        columns.append(pa.array(values, kind))
    return pa.record_batch(columns, names=["k", *map(str, range(len(kinds)))]).slice(3)


def _pages(chance: random.Random, kinds: list[pa.DataType], *, lacking: int = 0) -> list[Page]:
    """Pages of a file and pages in memory; the last columns are not there yet in those of the file."""
    spec = KeySpec.of(["k"], [pa.int64()])
    batches = [
        _batch(chance, number * ROWS, chance.choice([0.0, 0.0, 0.3, 1.0]), kinds) for number in range(PAGES)
    ]
    there = 1 + len(kinds) - lacking
    stored = [batch.select(range(there)) for batch in batches[: PAGES * 2 // 3]]
    store = PageStore(MemoryFileSystem())
    file = store.write(stored, stored[0].schema, spec, rows_per_page=ROWS, lsn=1)
    return [*store.section(file, spec).pages, *(Page.of(batch, spec, 1) for batch in batches[len(stored) :])]


def _both_ways(
    monkeypatch: pytest.MonkeyPatch, pages: list[Page], columns: list[OutputColumn], chance: random.Random
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    picked = 150
    part = np.array(sorted(chance.randrange(len(pages)) for _ in range(picked)))
    if chance.random() < 0.5:
        part = np.array(chance.sample(part.tolist(), picked))
    rows = np.array([chance.randrange(pages[number].rows) for number in part])
    quick = Projection(columns).gather(pages, part, rows)
    with monkeypatch.context() as patched:
        patched.setattr(scattered, "pays", lambda pages, rows: False)
        return quick, Projection(columns).gather(pages, part, rows)


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_those_that_take_gives(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)
    kinds = chance.sample(list(MAKERS), 6)
    lacking = chance.randrange(3)
    pages = _pages(chance, kinds, lacking=lacking)
    initial = [MAKERS[kind](chance) if chance.random() < 0.5 else None for kind in kinds]
    columns = [
        OutputColumn.plain(str(at), kind, value)
        for at, (kind, value) in enumerate(zip(kinds, initial, strict=True))
    ]
    used: list[bool] = []
    gather = scattered.gather

    def noting(*given: Any) -> Any:
        made = gather(*given)
        used.append(made is not None)
        return made

    monkeypatch.setattr(scattered, "gather", noting)
    quick, plain = _both_ways(monkeypatch, pages, columns, chance)
    quick.validate(full=True)
    assert repr(quick.to_pylist()) == repr(plain.to_pylist())
    assert used == [True]


@pytest.mark.parametrize(
    ("kind", "wanted", "text"),
    [
        (pa.int32(), pa.int64(), 0),
        (pa.list_(pa.int32()), pa.list_(pa.int32()), 0),
        (pa.string(), pa.string(), scattered.TEXT_BYTES_MAX // 100),
    ],
    ids=["a narrower type", "a nested type", "long texts"],
)
def test_other_columns_are_left_to_take(
    kind: pa.DataType, wanted: pa.DataType, text: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, chance = KeySpec.of(["k"], [pa.int64()]), random.Random(1)
    pages = []
    for number in range(PAGES):
        keys = range(number * ROWS, (number + 1) * ROWS)
        values = [
            "x" * text + str(key) if text else [key] if pa.types.is_nested(kind) else key for key in keys
        ]
        batch = pa.record_batch([pa.array(keys, pa.int64()), pa.array(values, kind)], names=["k", "v"])
        pages.append(Page.of(batch, spec, 1))
    quick, plain = _both_ways(monkeypatch, pages, [OutputColumn.plain("v", wanted)], chance)
    assert quick.equals(plain)


def test_compressed_pages_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, chance = KeySpec.of(["k"], [pa.int64()]), random.Random(2)
    batches = [_batch(chance, number * ROWS, 0.0, [pa.int64()]) for number in range(PAGES)]
    store = PageStore(MemoryFileSystem(), cache_bytes=0)
    file = store.write(batches, batches[0].schema, spec, rows_per_page=ROWS, lsn=1, compression="lz4")
    pages, part = list(store.section(file, spec).pages), np.arange(PAGES)
    decoded: list[pa.RecordBatch] = []
    page_of = store.page
    monkeypatch.setattr(store, "page", lambda *given: decoded.append(page_of(*given)) or decoded[-1])
    assert scattered.gather(pages, part, part, [OutputColumn.plain("k", pa.int64())]) is None
    assert len(decoded) == 1
    rows = Projection([OutputColumn.plain("k", pa.int64())]).gather(pages, part, part)
    assert rows["k"].to_pylist() == [number * ROWS + number for number in range(PAGES)]


def test_a_batch_that_was_let_go_is_found_where_it_is_now() -> None:
    spec, chance = KeySpec.of(["k"], [pa.int64()]), random.Random(3)
    old, new = (_batch(chance, 0, 0.0, [pa.int64()]) for _ in range(2))
    page = Page.of(old, spec, 1)
    before = page.buffers(old)
    assert page.buffers(old) is before
    assert page.buffers(new).tolist() == scattered.buffers_of(new).tolist() != before.tolist()
