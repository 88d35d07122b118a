"""Manifests and the envelope around them: round trips, every kind of damage, names, crashes.

tests/golden/catalog/v1/manifests was written once by `write_manifest(fs, Manifest(golden_parts(chunks)))`,
with the chunks that tests/catalog/test_commitlog.py describes, and is never rewritten.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from absdb.catalog import envelope
from absdb.catalog.manifest import (
    FORMAT,
    MAGIC,
    REQUIRED,
    ChunkRef,
    Manifest,
    chunk_name,
    is_chunk_name,
    list_manifests,
    manifest_path,
    read_manifest,
    remove_manifest,
    write_manifest,
)
from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StorageError
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import Fault, FaultyFileSystem, RecordingFileSystem, crash_states

FILES = Path(__file__).resolve().parents[1] / "golden" / "catalog" / "v1"


def golden_parts(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "instance": {"id": "000102030405060708090a0b0c0d0e0f", "timeline": 3},
        "checkpoint": {"lsn": 16_777_216, "time_us": 1_767_225_600_000_000, "wal_position": 16_777_300},
        "allocator": {"next_id": 42},
        "databases": [{"id": 1, "name": "main"}, {"id": 2, "name": "Prüfung \U0001f41f"}],
        "eras": [{"id": 1, "base": [], "start_lsn": 0}],
        "snapshots": [],
        "covers": {"1": {"runs": [["0000000000000001-a.arrow", 0, 1.5, None, True]]}},
        "commit_log": chunks,
        "files": {"0000000000000001-a.arrow": 4096, **{chunk["name"]: chunk["size"] for chunk in chunks}},
        "settings": {"wal_segment_size": 16_777_216},
        "added_by_a_later_absdb": {"kept": ["as", "it", "came"]},
    }


def parts(lsn: int = 100, **changes: Any) -> dict[str, Any]:
    found = golden_parts([])
    found["checkpoint"]["lsn"] = lsn
    return {**found, **changes}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text()
    | st.floats(allow_nan=False, width=64).filter(lambda number: abs(number) != float("inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(extra=st.dictionaries(st.text(min_size=12), json_values, max_size=3), covers=st.lists(json_values))
def test_round_trip_keeps_every_part(extra: dict[str, Any], covers: list[Any]) -> None:
    manifest = Manifest(parts(**extra, covers=covers))
    again = Manifest.from_bytes(manifest.to_bytes(), "x")
    assert again == manifest
    assert list(again.parts) == list(manifest.parts)
    assert again.to_bytes() == manifest.to_bytes()


def test_what_is_typed() -> None:
    manifest = Manifest(parts(7))
    assert (manifest.lsn, manifest.time_us, manifest.wal_position) == (7, 1_767_225_600_000_000, 16_777_300)
    assert manifest.files == {"0000000000000001-a.arrow": 4096}


def test_golden_manifest_reads() -> None:
    fs = LocalFileSystem(FILES)
    (name,) = list_manifests(fs)
    assert name == "0000000001000000-00000001.manifest"
    manifest = read_manifest(fs, name)
    assert manifest.parts == golden_parts(manifest.parts["commit_log"])
    assert len(manifest.parts["commit_log"]) == 2
    for chunk in manifest.parts["commit_log"]:
        assert fs.size(f"pages/{chunk['name']}") == manifest.files[chunk["name"]]


BROKEN = [
    *({name: None} for name in REQUIRED),
    {"files": {"x": -1}},
    {"files": {"x": "4096"}},
    {"files": {"x": True}},
    {"checkpoint": {"lsn": 1, "time_us": 2}},
    {"checkpoint": {"lsn": 1.0, "time_us": 2, "wal_position": 3}},
    {"checkpoint": {"lsn": 1, "time_us": None, "wal_position": 3}},
]


@pytest.mark.parametrize("changes", BROKEN, ids=lambda changes: "-".join(changes))
def test_parts_of_the_wrong_kind_are_refused(changes: dict[str, Any]) -> None:
    broken = parts(**changes)
    with pytest.raises(InvalidInputError, match=f"not a manifest: .*{next(iter(changes))[:4]}"):
        Manifest(broken)
    data = envelope.pack_json(MAGIC, FORMAT, broken)
    with pytest.raises(CorruptionError, match=r"manifests/x at byte 28"):
        Manifest.from_bytes(data, "manifests/x")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_part_is_damage(name: str) -> None:
    left = {key: value for key, value in parts().items() if key != name}
    with pytest.raises(CorruptionError, match=f"the part '{name}': expected to be there"):
        Manifest.from_bytes(envelope.pack_json(MAGIC, FORMAT, left), "manifests/x")


def test_any_flipped_bit_is_found() -> None:
    data = Manifest(parts()).to_bytes()
    for bit in range(len(data) * 8):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptionError, match="manifests/x at byte"):
            Manifest.from_bytes(bytes(bad), "manifests/x")


def test_any_other_size_is_found() -> None:
    data = Manifest(parts()).to_bytes()
    for size in [*range(len(data)), len(data) + 1, len(data) + 4096]:
        what = "bytes in the body" if size >= envelope.HEADER_BYTES else "ends in its header"
        with pytest.raises(CorruptionError, match=f"manifests/x at byte .*{what}"):
            Manifest.from_bytes(data[:size].ljust(size, b"\0"), "manifests/x")


def test_names_order_by_writing_and_unfinished_ones_are_cleared() -> None:
    fs = MemoryFileSystem()
    assert list_manifests(fs) == []
    first = write_manifest(fs, Manifest(parts(900)))
    second = write_manifest(fs, Manifest(parts(100)))  # as after a recovery to an earlier point
    fs.create("manifests/0000000000000100-00000009.manifest.tmp").close()
    fs.create("manifests/notes.txt").close()
    third = write_manifest(fs, Manifest(parts(100)))
    assert list_manifests(fs) == [first, second, third]
    assert third == "0000000000000064-00000003.manifest"
    remove_manifest(fs, first)
    assert fs.list("manifests") == sorted([second, third, "notes.txt"])
    assert read_manifest(fs, third).lsn == 100
    with pytest.raises(StorageError):
        read_manifest(fs, first)


def test_a_manifest_under_another_name_is_damage() -> None:
    fs = MemoryFileSystem()
    name = write_manifest(fs, Manifest(parts(100)))
    fs.rename(manifest_path(name), manifest_path("0000000000000065-00000001.manifest"))
    with pytest.raises(CorruptionError, match="checkpoint LSN: expected 101, found 100"):
        read_manifest(fs, "0000000000000065-00000001.manifest")


def test_any_power_loss_leaves_whole_manifests() -> None:
    fs = RecordingFileSystem()
    for lsn in (100, 200):
        fs.mark(write_manifest(fs, Manifest(parts(lsn))))
    remove_manifest(fs, fs.log.marks()[0])
    fs.mark("removed")
    for state in crash_states(fs.log, limit=3000):
        names = list_manifests(state)
        for name in names:
            read_manifest(state, name)
        durable = set(state.marks) - {"removed"}
        assert durable - set(names) <= {fs.log.marks()[0]}, state.story
        if len(state.marks) < 2:
            assert durable <= set(names), state.story
        if "removed" in state.marks:
            assert names == [fs.log.marks()[1]], state.story


def test_a_failing_call_leaves_earlier_manifests_alone() -> None:
    for call in range(1, 100):
        inner = MemoryFileSystem()
        name = write_manifest(inner, Manifest(parts(100)))
        fs = FaultyFileSystem(inner, [Fault(call=call)])
        try:
            write_manifest(fs, Manifest(parts(200)))
        except StorageError:
            assert read_manifest(inner, name).lsn == 100
        else:
            if not fs.fired:
                return
        for whole in list_manifests(inner):
            read_manifest(inner, whole)
        assert read_manifest(inner, write_manifest(inner, Manifest(parts(300)))).lsn == 300
    raise AssertionError("a hundred calls to write one file")


# --- the envelope ---------------------------------------------------------------------------------


def test_crc32c_is_castagnoli() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@given(st.binary(max_size=100), st.integers(1, 9))
def test_envelope_round_trips(body: bytes, version: int) -> None:
    data = envelope.pack(b"ABSDBXYZ", version, body)
    assert envelope.unpack(data, b"ABSDBXYZ", version, "x") == body
    assert envelope.unpack(data, b"ABSDBXYZ", version + 1, "x") == body
    assert envelope.body_crc(data) == crc32c(body)
    with pytest.raises(CorruptionError, match="magic"):
        envelope.unpack(data, b"ABSDBXYY", version, "x")
    with pytest.raises(FormatVersionError, match=f"format {version}, this one knows {version - 1}"):
        envelope.unpack(data, b"ABSDBXYZ", version - 1, "x")


def test_an_error_says_where_and_what() -> None:
    data = bytearray(envelope.pack(b"ABSDBXYZ", 1, b"body"))
    data[-1] ^= 1
    with pytest.raises(CorruptionError) as caught:
        envelope.unpack(bytes(data), b"ABSDBXYZ", 1, "pages/x")
    error = caught.value
    assert (error.path, error.offset) == ("pages/x", 20)
    assert error.expected == f"{crc32c(b'body'):#010x}"
    assert "restore the file from a backup" in str(error)


@pytest.mark.parametrize("body", [b"", b"plain", zstandard.compress(b"{"), zstandard.compress(b"[1]")])
def test_a_body_that_is_no_json_object_is_damage(body: bytes) -> None:
    with pytest.raises(CorruptionError, match="x at byte 28"):
        envelope.unpack_json(envelope.pack(MAGIC, 1, body), MAGIC, 1, "x")


def test_deeply_nested_json_is_damage() -> None:
    body = zstandard.compress(b'{"x":' + b"[" * 200_000)
    with pytest.raises(CorruptionError):
        envelope.unpack_json(envelope.pack(MAGIC, 1, body), MAGIC, 1, "x")


def test_what_would_fill_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    data = envelope.pack_json(MAGIC, 1, {"x": "y" * 10_000})
    monkeypatch.setattr(envelope, "CONTENT_BYTES_MAX", 10_000)
    with pytest.raises(CorruptionError, match=r"once decompressed: expected 0\.\.10000, found 10008"):
        envelope.unpack_json(data, MAGIC, 1, "x")


def test_a_frame_that_hides_its_size_is_not_unpacked() -> None:
    body = zstandard.ZstdCompressor(write_content_size=False).compress(b"{}")
    with pytest.raises(CorruptionError, match="once decompressed"):
        envelope.unpack_json(envelope.pack(MAGIC, 1, body), MAGIC, 1, "x")


def test_numbers_json_cannot_write_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        Manifest(parts(covers=[float("nan")])).to_bytes()


def test_threads_pack_and_unpack_side_by_side() -> None:
    content = {"rows": list(range(20_000))}
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                data = envelope.pack_json(MAGIC, 1, content)
                assert envelope.unpack_json(data, MAGIC, 1, "x") == content
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


# --- what the manifest lists of the commit log ----------------------------------------------------


def test_chunk_names() -> None:
    name = chunk_name(255, "a1")
    assert name == "log-00000000000000FF-a1"
    assert is_chunk_name(name)
    assert not any(map(is_chunk_name, ["log-FF-a1", "0000000000000001-a.arrow", name + ".tmp", "x" + name]))


def test_chunk_refs_round_trip_as_json() -> None:
    ref = ChunkRef("log-00000000000000FF-a1", 1, 2, 3, 4, 5, 6, 7, ((1, 4), (9, 5)))
    text = json.dumps(ref.to_json())
    assert ChunkRef.from_json({**json.loads(text), "later": 1}) == ref
    with pytest.raises(CorruptionError, match="not a chunk"):
        ChunkRef.from_json({"name": "x"})
