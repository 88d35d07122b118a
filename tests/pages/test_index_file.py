"""Stored index runs: they answer as those in memory do, and say so when they are not what was written.

tests/golden/pages/index-1 was made once, in format version 1, and is never rewritten:

    stored = write_index(PageStore(LocalFileSystem("tests/golden/pages"), "index-1"), golden_run())
    write index.json: json.dumps(stored.to_json())
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from absdb.errors import CorruptionError
from absdb.io.base import read_file
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.pages import index_file
from absdb.pages.index import ROW, VALUE, IndexSpec, build_index, probe_each, probe_parts
from absdb.pages.index_file import StoredIndex, agrees, probe_opened, write_index
from absdb.pages.key import KeySpec, from_list, to_list
from absdb.pages.store import PageStore

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "pages"
KEY = KeySpec.of(["c0"], [pa.int64()])


def run_of(values: list[Any], kind: pa.DataType, key: KeySpec = KEY) -> list[pa.RecordBatch]:
    rows = pa.record_batch({"c0": pa.array(range(len(values)), key.types[0]), "c1": pa.array(values, kind)})
    return build_index(IndexSpec.of(["c1"], [kind], key), [rows])


def golden_run() -> list[pa.RecordBatch]:
    return run_of([f"Wert {n % 40}" if n % 7 else None for n in range(300)], pa.string())


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> PageStore:
    monkeypatch.setattr(index_file, "INDEX_PAGE_ROWS", 8)
    return PageStore(MemoryFileSystem())


def pairs(found: Any) -> list[tuple[int, Any]]:
    return sorted(
        (int(p), row) for positions, rows in found for p, row in zip(positions, to_list(rows), strict=True)
    )


KINDS: dict[str, tuple[list[Any], pa.DataType, list[Any]]] = {
    "integers": ([n * 3 % 101 for n in range(100)], pa.int64(), [*range(-2, 104)]),
    "one value on many pages": ([5] * 70 + [9], pa.int32(), [4, 5, 6, 9, 10]),
    "unsigned": ([2**63 + n % 11 for n in range(60)], pa.uint64(), [0, 2**63, 2**63 + 10, 2**64 - 1]),
    "text": ([f"{n % 31}" for n in range(90)] + [None], pa.string(), ["", "3", "30", "x"]),
    "nothing": ([None, None], pa.string(), ["x"]),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_stored_index_answers_as_the_one_in_memory(store: PageStore, name: str) -> None:
    values, kind, sought = KINDS[name]
    run = run_of(values, kind)
    written = write_index(store, run)
    stored = StoredIndex.from_json(store, json.loads(json.dumps(written.to_json())))
    assert agrees(stored, run)
    spec = KeySpec.of(["c1"], [kind])
    encoded = spec.encode([pa.array(sought, kind)])
    assert pairs(probe_opened(stored.open(encoded), encoded)) == pairs(probe_parts(run, encoded))
    for value in to_list(encoded):
        assert list(probe_each(stored.open_one(value), value)) == list(probe_each(run, value))


def test_few_pages_are_opened_for_few_values(store: PageStore) -> None:
    stored = write_index(store, run_of(list(range(80)), pa.int64()))
    assert [(o.batch.num_rows, o.start, o.stop) for o in stored.open(np.array([3, 4, 79]))] == [
        (8, 0, 2),
        (8, 2, 3),
    ]
    assert len(stored.open_one(41)) == 1
    assert stored.open_one(80) == []


def test_another_index_does_not_agree(store: PageStore) -> None:
    stored = write_index(store, run_of([1, 2, 3], pa.int64()))
    for other in ([1, 2], [1, 2, 4], [2, 1, 3], []):
        assert not agrees(stored, run_of(other, pa.int64())), other


def test_a_damaged_page_is_an_error_and_others_are_not(store: PageStore) -> None:
    fs = store.fs
    stored = write_index(store, run_of(list(range(80)), pa.int64()))
    (name,) = stored.names
    data = bytearray(read_file(fs, store.path(name)))
    data[stored.files[0].pages[4].offset + 200] ^= 1
    fs.unlink(store.path(name))
    file = fs.create(store.path(name))
    file.pwrite(0, [bytes(data)])
    file.close()
    fresh = StoredIndex.from_json(PageStore(fs), stored.to_json())
    assert len(fresh.open_one(3)) == 1
    with pytest.raises(CorruptionError, match=f"{name}: page 4"):
        fresh.open_one(35)
    with pytest.raises(CorruptionError, match=name):
        fresh.open(np.array([3, 35]))
    fs.unlink(store.path(name))
    with pytest.raises(CorruptionError, match="missing"):
        StoredIndex.from_json(PageStore(fs), stored.to_json()).open_one(3)


def test_an_index_of_format_1_reads_as_ever() -> None:
    store = PageStore(LocalFileSystem(GOLDEN), "index-1")
    stored = StoredIndex.from_json(store, json.loads((GOLDEN / "index-1" / "index.json").read_text()))
    assert [list(store.verify(file)) for file in stored.files] == [[]]
    (page,) = stored.sections()[0].pages
    assert page.batch().schema == pa.schema([(VALUE, pa.binary()), (ROW, pa.int64())])
    assert agrees(stored, golden_run())
    sought = from_list(KeySpec.of(["c1"], [pa.string()]), [b"Wert 3"])
    rows = [row for _, row in pairs(probe_opened(stored.open(sought), sought))]
    assert rows == [n for n in range(300) if n % 40 == 3 and n % 7]
