"""The page store: on a real disk and in memory, with files intact, damaged, missing and in the making."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.errors import CorruptionError, InvalidInputError, StateError, StorageError
from absdb.io.base import FileSystem, read_file
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.pages.builder import Paginator, paginate
from absdb.pages.format import PageFile
from absdb.pages.key import KeySpec
from absdb.pages.section import Section
from absdb.pages.store import PageStore, sections_from_json, sections_to_json
from absdb.paths import page_file_name, parse_page_file_name

INTEGER = KeySpec.of(("c1",), (pa.int64(),))
NARROW = KeySpec.of(("c1",), (pa.int32(),))
TEXT = KeySpec.of(("c1",), (pa.large_string(),))


@pytest.fixture(params=["disk", "memory"])
def fs(request: pytest.FixtureRequest, tmp_path: Path) -> FileSystem:
    if request.param == "memory":
        return MemoryFileSystem()
    return LocalFileSystem(tmp_path)


def batch_of(start: int, stop: int) -> pa.RecordBatch:
    keys = range(start, stop)
    columns = {
        "c1": pa.array(keys, pa.int64()),
        "c2": pa.array([f"row {n}" for n in keys], pa.string()),
        "c3": pa.array([n % 3 == 0 for n in keys], pa.bool_()),
    }
    return pa.RecordBatch.from_pydict(columns)


SCHEMA = batch_of(0, 0).schema


def stored(fs: FileSystem, rows: int = 100, **options: Any) -> tuple[PageStore, PageFile]:
    store = PageStore(fs)
    return store, store.write([batch_of(0, rows)], SCHEMA, INTEGER, **({"rows_per_page": 30} | options))


def damage(fs: FileSystem, path: str, change: Callable[[bytearray], None]) -> None:
    data = bytearray(read_file(fs, path))
    change(data)
    fs.unlink(path)
    handle = fs.create(path)
    handle.pwrite(0, [bytes(data)])
    handle.close()


# ---------------------------------------------------------------- writing and reading


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_what_is_written_is_read(fs: FileSystem, compression: str | None) -> None:
    store, file = stored(fs, compression=compression, lsn=42)
    assert [(ref.rows, ref.first, ref.last) for ref in file.pages] == [
        (30, 0, 29),
        (30, 30, 59),
        (30, 60, 89),
        (10, 90, 99),
    ]
    for opened in (store, PageStore(fs)):
        section = opened.section(file, INTEGER)
        assert section.table().combine_chunks().to_batches() == [batch_of(0, 100)]
        assert {page.lsn for page in section.pages} == {42}
        assert section.pages[2].origin == (file, 2)
        assert list(opened.verify(file)) == []


def test_an_empty_file_is_fine(fs: FileSystem) -> None:
    store = PageStore(fs)
    file = store.write([], SCHEMA, INTEGER)
    assert (file.rows, file.pages, store.section(file, INTEGER).rows) == (0, (), 0)
    assert list(store.verify(file)) == []


def test_pages_of_a_file_share_one_mapping(fs: FileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = stored(fs)
    maps: list[str] = []
    original = type(fs).map

    def counted(self: Any, path: str) -> Any:
        maps.append(path)
        return original(self, path)

    monkeypatch.setattr(type(fs), "map", counted)
    assert maps == []
    for _ in range(3):
        for index in range(4):
            store.page(file, index)
    assert maps == [f"pages/{file.name}"]
    assert store.page(file, 1) is store.page(file, 1)


def test_many_threads_may_touch_a_file_first(fs: FileSystem) -> None:
    store, file = stored(fs, rows=3000, rows_per_page=100, compression="lz4")
    section = store.section(file, INTEGER)
    found: list[int] = []

    def read() -> None:
        found.append(sum(batch.num_rows for batch in section.batches()))
        found.extend(3000 for key in range(0, 3000, 77) if section.find(key))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3000] * (8 * 40)


def test_small_batches_are_joined_and_large_ones_cut(fs: FileSystem) -> None:
    store = PageStore(fs)
    pieces = [batch_of(0, 7), batch_of(7, 7), batch_of(7, 8), batch_of(8, 100)]
    file = store.write(pieces, SCHEMA, INTEGER, rows_per_page=10)
    assert [ref.rows for ref in file.pages] == [10] * 10
    assert store.section(file, INTEGER).table().combine_chunks().to_batches() == [batch_of(0, 100)]


def test_rows_must_come_in_key_order(fs: FileSystem) -> None:
    store = PageStore(fs)
    twice = [batch_of(0, 10), batch_of(9, 20)]
    for rows_per_page in (10, 15, 100):
        with pytest.raises(InvalidInputError, match="not sorted by key, or a key comes twice"):
            store.write(twice, SCHEMA, INTEGER, rows_per_page=rows_per_page)
        with pytest.raises(InvalidInputError, match=r"not sorted by key$"):
            store.write(twice[::-1], SCHEMA, INTEGER, rows_per_page=rows_per_page, strict=False)
    assert store.names() == []
    assert store.write(twice, SCHEMA, INTEGER, rows_per_page=10, strict=False).rows == 21


def test_a_failed_write_leaves_no_file_and_no_open_handle(tmp_path: Path) -> None:
    fs = MemoryFileSystem(capacity=20_000)
    store = PageStore(fs)
    with pytest.raises(StorageError):
        store.write([batch_of(0, 10_000)], SCHEMA, INTEGER)
    assert store.names() == []

    def interrupted() -> Any:
        yield batch_of(0, 10)
        raise KeyboardInterrupt

    disk = PageStore(LocalFileSystem(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        disk.write(interrupted(), SCHEMA, INTEGER, rows_per_page=5)
    assert disk.names() == []


def test_names_go_on_after_those_that_are_there(fs: FileSystem) -> None:
    fs.make_directory("pages")
    for name in (page_file_name(41, "abc"), "notes.txt"):
        fs.create(f"pages/{name}").close()
    store = PageStore(fs)
    names = [store.new_name() for _ in range(3)]
    assert [parse_page_file_name(name).number for name in names] == [42, 43, 44]  # type: ignore[union-attr]
    assert store.names() == [page_file_name(41, "abc")]
    assert PageStore(fs).new_name() not in names


# ---------------------------------------------------------------- damage


def test_every_damaged_byte_is_noticed() -> None:
    """Head, page metadata, padding, bodies, footer: whichever byte differs, reading and verifying tell."""
    fs = MemoryFileSystem()
    store = PageStore(fs)
    file = store.write([batch_of(0, 40)], SCHEMA, INTEGER, rows_per_page=20)
    path = store.path(file.name)
    ranges = [range(ref.offset, ref.offset + ref.length) for ref in file.pages]
    for offset in range(file.size):

        def flip(data: bytearray, offset: int = offset) -> None:
            data[offset] ^= 1 << offset % 8

        damage(fs, path, flip)
        fresh = PageStore(fs)
        struck = [index for index, each in enumerate(ranges) if offset in each]
        errors = list(fresh.verify(file))
        assert len(errors) == 1
        for index in range(len(file.pages)):
            if struck and index not in struck:
                assert fresh.page(file, index).num_rows == 20
                continue
            with pytest.raises(CorruptionError, match="checksum") as caught:
                fresh.page(file, index)
            assert caught.value.path == path
            assert caught.value.offset == (file.pages[index].offset if struck else 0)
        damage(fs, path, flip)
    assert list(store.verify(file)) == []


@pytest.mark.parametrize("length", [0, 1, 500, -1, -9])
def test_a_file_cut_short_is_noticed_before_it_is_mapped(fs: FileSystem, length: int) -> None:
    store, file = stored(fs)

    def cut(data: bytearray) -> None:
        del data[length:]

    damage(fs, store.path(file.name), cut)
    found = length if length >= 0 else file.size + length
    for index in range(len(file.pages)):
        with pytest.raises(CorruptionError, match=f"{found} bytes, expected {file.size}") as caught:
            store.page(file, index)
        assert (caught.value.expected, caught.value.found) == (file.size, found)
    errors = list(store.verify(file))
    whole = [ref for ref in file.pages if ref.offset + ref.length <= found]
    assert len(errors) == 2 + len(file.pages) - len(whole)


def test_a_file_that_has_grown_is_noticed(fs: FileSystem) -> None:
    store, file = stored(fs)
    damage(fs, store.path(file.name), lambda data: data.extend(b"\0"))
    with pytest.raises(CorruptionError, match="expected"):
        store.page(file, 0)


def test_a_missing_file_is_corruption_and_says_what_to_do(fs: FileSystem) -> None:
    store, file = stored(fs)
    store.delete(file.name)
    with pytest.raises(CorruptionError, match=r"missing.*\n.*backup"):
        store.page(file, 0)
    assert [str(error).splitlines()[0] for error in store.verify(file)] == [
        f"pages/{file.name}: the page file is missing"
    ]


def test_a_page_is_checked_on_first_touch_only(fs: FileSystem) -> None:
    store, file = stored(fs, compression="zstd")
    before = store.page(file, 0)
    path = store.path(file.name)

    def strike(data: bytearray) -> None:
        data[file.pages[1].offset + file.pages[1].length // 2] ^= 255

    damage(fs, path, strike)
    assert store.page(file, 0) == before
    with pytest.raises(CorruptionError, match="page 1 at byte"):
        store.page(file, 1)


def test_other_failures_of_the_disk_are_no_corruption(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = stored(fs)

    def refuse(self: Any, path: str, **options: Any) -> Any:
        raise StorageError("permission denied", path=path, errno=13)

    monkeypatch.setattr(type(fs), "open", refuse)
    with pytest.raises(StorageError, match="permission"):
        store.page(file, 0)
    with pytest.raises(StorageError, match="permission"):
        list(store.verify(file))


# ---------------------------------------------------------------- life of a file


def test_deleting_a_file_keeps_mappings_alive(fs: FileSystem) -> None:
    store, file = stored(fs)
    section = store.section(file, INTEGER)
    section.pages[0].batch()
    held = store.page(file, 1)
    store.delete(file.name)
    store.sync()
    assert not fs.exists(store.path(file.name))
    assert held == batch_of(30, 60)
    assert section.pages[0].batch() == batch_of(0, 30)
    with pytest.raises(CorruptionError, match="missing"):
        section.pages[2].batch()


def test_a_closed_store_opens_nothing(fs: FileSystem) -> None:
    store, file = stored(fs)
    held = store.page(file, 0)
    store.close()
    assert held == batch_of(0, 30)
    with pytest.raises(StateError, match="closed"):
        store.page(file, 0)
    with pytest.raises(StateError, match="closed"):
        store.write([], SCHEMA, INTEGER)


def test_decoded_bytes_are_bounded() -> None:
    """Compressed pages and cast keys are taken away again; plain mapped pages cost nothing."""
    store = PageStore(MemoryFileSystem(), cache_bytes=8_000)
    plain = store.write([batch_of(0, 1000)], SCHEMA, INTEGER, rows_per_page=100)
    packed = store.write([batch_of(0, 1000)], SCHEMA, INTEGER, rows_per_page=100, compression="lz4")
    section = store.section(plain, INTEGER)
    assert all(section.find(key) for key in range(1000))
    assert store.cache.bytes_held == 0
    section = store.section(packed, INTEGER)
    for _ in range(2):
        for key in range(0, 1000, 50):
            page, row = section.find(key) or (None, -1)
            assert page is not None
            assert page.batch().column("c2")[row].as_py() == f"row {key}"
            assert 0 < store.cache.bytes_held <= 8_000
    kept = [page for page in section.pages if page._batch is not None]
    assert 0 < len(kept) < 5
    assert all(page._keys is None for page in section.pages if page not in kept)


def test_cast_keys_count_as_decoded() -> None:
    store = PageStore(MemoryFileSystem())
    narrow = pa.RecordBatch.from_pydict({"c1": pa.array(range(100), pa.int32())})
    text = pa.RecordBatch.from_pydict({"c1": pa.array([f"{n:03}" for n in range(100)], pa.large_string())})
    for batch, spec in ((narrow, NARROW), (text, TEXT)):
        before = store.cache.bytes_held
        section = store.section(store.write([batch], batch.schema, spec), spec)
        assert section.find(5 if spec is NARROW else b"005") == (section.pages[0], 5)
        assert store.cache.bytes_held > before


def test_sections_of_several_files_survive_json(fs: FileSystem) -> None:
    store = PageStore(fs)
    low = store.write([batch_of(0, 100)], SCHEMA, INTEGER, rows_per_page=10)
    high = store.write([batch_of(100, 200)], SCHEMA, INTEGER, rows_per_page=10, lsn=9)
    a, b = store.section(low, INTEGER), store.section(high, INTEGER)
    mixed = Section([*a.pages[:3], *a.with_lsn(7).pages[3:6], *a.pages[8:], *b.pages])
    data = sections_to_json([mixed, Section.EMPTY, b])
    assert data["sections"] == [[[0, 0, 3], [0, 3, 3, 7], [0, 8, 2], [1, 0, 10]], [], [[1, 0, 10]]]
    assert len(data["files"]) == 2
    again = sections_from_json(PageStore(fs), INTEGER, data)
    assert [page.lsn for page in again[0].pages] == [page.lsn for page in mixed.pages]
    assert again[0].table() == mixed.table()
    assert (again[1].rows, again[2].table()) == (0, b.table())


# ---------------------------------------------------------------- pages of even size


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 25))
def test_pages_hold_the_rows_in_order_and_all_but_the_last_are_full(
    sizes: list[int], rows_per_page: int
) -> None:
    batches, total = [], 0
    for size in sizes:
        batches.append(batch_of(total, total + size))
        total += size
    pages = list(paginate(batches, rows_per_page))
    assert [page.num_rows for page in pages[:-1]] == [rows_per_page] * (len(pages) - 1)
    assert pa.Table.from_batches(pages, SCHEMA) == pa.Table.from_batches(batches, SCHEMA)


def test_wide_rows_make_shorter_pages() -> None:
    wide = pa.RecordBatch.from_pydict(
        {"c1": range(100), "c2": ["x" * (5000 if n == 50 else 90) for n in range(100)]}
    )
    pages = Paginator(40, bytes_max=1000)
    found = [*pages.push(wide), *pages.rest()]
    assert pa.Table.from_batches(found) == pa.Table.from_batches([wide])
    assert max(page.nbytes for page in found if page.num_rows > 1) <= 1000
    assert len(found) < 25


def test_whole_pages_pass_through_uncopied() -> None:
    batch = batch_of(0, 100)
    address = batch.column(0).buffers()[1].address
    assert all(page.column(0).buffers()[1].address == address for page in paginate([batch], 25))
