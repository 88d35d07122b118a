"""Page files: what is written, what their descriptors say, and what an old one must go on meaning.

The golden files in tests/golden/pages/v1 were written once, in format version 1, and are never rewritten; a
new version gets a directory of its own. They were made by

    fs = LocalFileSystem("tests/golden/pages/v1")
    for name, (batches, spec, compression, lsn) in golden_contents().items():
        writer = PageWriter(fs, f"{name}.arrow", batches[0].schema, spec, compression=compression)
        for batch in batches: writer.write(batch)
        write name.json: json.dumps(writer.finish(lsn).to_json())
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from crc32c import crc32c

from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StorageError
from absdb.io.base import read_file
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.pages.format import PageFile, PageReader, PageRef, PageWriter
from absdb.pages.key import KeySpec
from absdb.pages.section import LSN, OP
from absdb.pages.store import PageStore

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "pages" / "v1"
INTEGER = KeySpec.of(("c1",), (pa.int64(),))
TEXT = KeySpec.of(("c1",), (pa.string(),))
PAIR = KeySpec.of(("c1", "c2"), (pa.string(), pa.int32()))

Contents = tuple[list[pa.RecordBatch], KeySpec, str | None, int | None]


def golden_contents() -> dict[str, Contents]:
    """What the golden files hold, made again from scratch."""
    bulk = pa.RecordBatch.from_pydict(
        {
            "c1": pa.array(range(1000), pa.int64()),
            "c2": pa.array([n / 8 for n in range(1000)], pa.float64()),
            "c3": pa.array([None if n % 7 == 0 else f"text {n % 10}" for n in range(1000)], pa.string()),
        }
    )
    run = pa.RecordBatch.from_pydict(
        {
            "c1": pa.array(["a", "a", "b\0", "ä"], pa.string()),
            "c2": pa.array([-1, 2, 0, 5], pa.int32()),
            "c3": pa.array([Decimal("1.25"), None, None, Decimal("-3.50")], pa.decimal128(9, 2)),
            "c4": pa.array([1, 2, None, 4], pa.timestamp("us", "UTC")),
            "c5": pa.array([[1, None], [], None, [2]], pa.list_(pa.int16())),
            "c6": pa.array([{"x": True}, {"x": None}, None, {"x": False}], pa.struct([("x", pa.bool_())])),
            "c7": pa.array([b"\0" * 4, b"abcd", None, b"wxyz"], pa.binary(4)),
            "c8": pa.array([[("k", 1)], [], None, []], pa.map_(pa.string(), pa.int64())),
            "c9": pa.nulls(4, pa.null()),
        }
    )
    run = PAIR.with_key(run)
    run = run.append_column(pa.field(OP, pa.int8()), pa.array([0, 0, 1, 0], pa.int8()))
    lsns = pa.RunEndEncodedArray.from_arrays(pa.array([3, 4], pa.int32()), pa.array([100, 250]))
    run = run.append_column(LSN, lsns)
    return {
        "bulk": ([bulk.slice(0, 600), bulk.slice(600)], INTEGER, None, 777),
        "bulk-lz4": ([bulk.slice(0, 600), bulk.slice(600)], INTEGER, "lz4", None),
        "bulk-zstd": ([bulk.slice(0, 600), bulk.slice(600)], INTEGER, "zstd", None),
        "run": ([run], PAIR, None, None),
        "empty": ([bulk.slice(0, 0)], INTEGER, None, None),
    }


def written(batches: list[pa.RecordBatch], spec: KeySpec, compression: str | None = None) -> Any:
    """(file system, descriptor) of a file made of these pages."""
    fs = MemoryFileSystem()
    writer = PageWriter(fs, "x.arrow", batches[0].schema, spec, compression=compression)
    for batch in batches:
        if batch.num_rows:
            writer.write(batch)
    return fs, writer.finish()


def numbers(*values: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"c1": pa.array(values, pa.int64())})


@pytest.mark.parametrize("name", list(golden_contents()))
def test_files_of_format_1_read_as_ever(name: str) -> None:
    batches, spec, _, lsn = golden_contents()[name]
    file = PageFile.from_json(json.loads((GOLDEN / f"{name}.json").read_text()))
    store = PageStore(LocalFileSystem(GOLDEN.parent), "v1")
    assert list(store.verify(file)) == []
    assert file.lsn == lsn
    section = store.section(file, spec)
    found = [page.batch() for page in section.pages]
    assert found == [batch for batch in batches if batch.num_rows]
    assert [page.deletes for page in section.pages] == ([1] if name == "run" else [0] * len(found))
    for page in section.pages:
        keys = spec.keys_of(page.batch())
        assert (page.first, page.last) == (_plain(keys[0]), _plain(keys[len(keys) - 1]))


def _plain(key: Any) -> Any:
    return key.as_py() if isinstance(key, pa.Scalar) else int(key)


@pytest.mark.parametrize("name", list(golden_contents()))
def test_descriptors_cover_every_byte_and_survive_json(name: str) -> None:
    batches, spec, compression, _ = golden_contents()[name]
    fs, file = written(batches, spec, compression)
    data = read_file(fs, "x.arrow")
    assert PageFile.from_json(json.loads(json.dumps(file.to_json()))) == file
    assert file.size == len(data)
    assert file.rows == sum(batch.num_rows for batch in batches)
    covered = bytearray(len(data))
    for ref in file.pages:
        assert crc32c(data[ref.offset : ref.offset + ref.length]) == ref.crc
        covered[ref.offset : ref.offset + ref.length] = b"\1" * ref.length
    outside = b"".join(data[start : start + length] for start, length in file.gaps)
    assert crc32c(outside) == file.head_crc
    assert len(outside) == covered.count(0)
    assert all(ref.offset % 8 == 0 for ref in file.pages)


def test_any_arrow_reader_opens_a_page_file() -> None:
    batches, spec, _, _ = golden_contents()["run"]
    fs, _ = written(batches, spec)
    reader = pa.ipc.open_file(pa.py_buffer(read_file(fs, "x.arrow")))
    assert reader.schema.metadata == {b"absdb.format": b"1", b"absdb.kind": b"page"}
    assert reader.get_batch(0).replace_schema_metadata(None) == batches[0]


def test_slices_are_written_without_the_rest() -> None:
    whole = golden_contents()["bulk"][0][0]
    _, small = written([whole.slice(100, 10)], INTEGER)
    _, large = written([whole], INTEGER)
    assert small.pages[0].length < large.pages[0].length / 10
    assert (small.pages[0].first, small.pages[0].last) == (100, 109)


def test_buffers_reach_the_file_uncopied() -> None:
    """A page is one write, of the very buffers the batch has."""
    batch = golden_contents()["bulk"][0][0]
    fs = _Watching()
    writer = PageWriter(fs, "x.arrow", batch.schema, INTEGER)
    fs.writes.clear()
    writer.write(batch)
    assert len(fs.writes) == 1
    addresses = {chunk.address for chunk in fs.writes[0] if isinstance(chunk, pa.Buffer)}
    assert {batch.column(0).buffers()[1].address, batch.column(1).buffers()[1].address} <= addresses
    writer.abort()
    assert fs.list("") == []


class _Watching(MemoryFileSystem):
    """Keeps what each write was given; fails the next one on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[Any] = []
        self.fail = False

    def create(self, path: str) -> Any:
        file = super().create(path)
        watching = self

        class File:
            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def pwrite(self, offset: int, chunks: Any) -> int:
                if watching.fail:
                    raise StorageError("the disk is full", path=path, errno=28)
                watching.writes.append(list(chunks))
                return file.pwrite(offset, chunks)

        return File()


def test_a_file_that_cannot_be_begun_is_removed() -> None:
    fs = _Watching()
    fs.fail = True
    with pytest.raises(StorageError, match="full"):
        PageWriter(fs, "x.arrow", numbers(1).schema, INTEGER)
    assert fs.list("") == []


def test_unknown_compressions_are_refused_before_a_file_is_made() -> None:
    fs = MemoryFileSystem()
    with pytest.raises(InvalidInputError, match="brotli"):
        PageWriter(fs, "x.arrow", numbers(1).schema, INTEGER, compression="brotli")
    assert fs.list("") == []


def test_a_page_of_another_schema_is_refused() -> None:
    writer = PageWriter(MemoryFileSystem(), "x.arrow", numbers(1).schema, INTEGER)
    with pytest.raises(pa.ArrowInvalid):
        writer.write(pa.RecordBatch.from_pydict({"c1": pa.array([1], pa.int64()), "c2": pa.array([1])}))
    writer.abort()


def test_keys_and_tombstones_are_in_the_descriptor() -> None:
    keys = pa.array(["", "ä"], pa.string())
    batch = pa.RecordBatch.from_pydict({"c1": keys, OP: pa.array([1, 0], pa.int8())})
    _, file = written([batch], TEXT)
    ref = file.pages[0]
    assert (ref.rows, ref.deletes, ref.first, ref.last) == (2, 1, b"", "ä".encode())
    wide = KeySpec.of(("c1",), (pa.uint64(),))
    _, file = written([pa.RecordBatch.from_pydict({"c1": pa.array([0, 2**64 - 1], pa.uint64())})], wide)
    assert PageFile.from_json(json.loads(json.dumps(file.to_json()))).pages[0].last == 2**64 - 1


def ipc_file(batch: pa.RecordBatch, metadata: dict[str, str]) -> tuple[pa.Buffer, PageFile]:
    """An Arrow file with other metadata than ours, and a descriptor that fits it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema.with_metadata(metadata)) as writer:
        writer.write_batch(batch)
    contents = sink.getvalue()
    return contents, PageFile("x.arrow", contents.size, 0, (PageRef(0, 0, batch.num_rows, 0, 0, 0, 0),))


def test_a_newer_format_is_named_with_what_is_known() -> None:
    contents, file = ipc_file(numbers(1), {"absdb.format": "2", "absdb.kind": "page"})
    with pytest.raises(FormatVersionError, match="page format 2, this absdb knows up to 1") as caught:
        PageReader(contents, file, "pages/x.arrow")
    assert (caught.value.path, caught.value.found, caught.value.known) == ("pages/x.arrow", 2, 1)


@pytest.mark.parametrize("metadata", [{}, {"absdb.format": "1"}, {"absdb.format": "x", "absdb.kind": "page"}])
def test_other_arrow_files_are_no_page_files(metadata: dict[str, str]) -> None:
    contents, file = ipc_file(numbers(1), metadata)
    with pytest.raises(CorruptionError, match="not a page file"):
        PageReader(contents, file, "pages/x.arrow")


def test_a_descriptor_of_another_file_is_noticed() -> None:
    contents, file = ipc_file(numbers(1, 2), {"absdb.format": "1", "absdb.kind": "page"})
    with pytest.raises(CorruptionError, match="1 pages, expected 2"):
        PageReader(contents, PageFile("x", file.size, 0, file.pages * 2), "x")
    reader = PageReader(contents, PageFile("x", file.size, 0, (PageRef(0, 0, 3, 0, 0, 0, 0),)), "x")
    with pytest.raises(CorruptionError, match="2 rows, expected 3"):
        reader.read(0)
    with pytest.raises(CorruptionError, match="not a page file"):
        PageReader(pa.py_buffer(b"x" * 100), file, "x")


def test_numpy_memory_is_written_as_it_is() -> None:
    values = np.arange(1000)
    fs, file = written([pa.RecordBatch.from_pydict({"c1": pa.array(values)})], INTEGER)
    assert values.tobytes() in read_file(fs, "x.arrow")
    assert (file.pages[0].first, file.pages[0].last) == (0, 999)
