"""The control file: round trips, every kind of damage, and what a power loss leaves of a replacement.

tests/golden/catalog/v1/control was written once by `write_control(fs, GOLDEN)` and is never rewritten.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from absdb.catalog.control import CONTROL_BYTES, FORMAT, Control, read_control, write_control
from absdb.catalog.envelope import HEADER_BYTES
from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StorageError
from absdb.io.local import LocalFileSystem
from absdb.io.memory import MemoryFileSystem
from absdb.testing.faults import Fault, FaultyFileSystem, RecordingFileSystem, crash_states

FILES = Path(__file__).resolve().parents[1] / "golden" / "catalog" / "v1"
GOLDEN = Control(
    instance_id=bytes(range(16)),
    timeline=3,
    epoch=2,
    checkpoint_lsn=16_777_216,
    manifest="0000000001000000-00000001.manifest",
    durable_lsn=16_778_240,
    segment_bytes=16_777_216,
    created_us=1_767_225_600_000_000,
)

u63 = st.integers(0, 2**63 - 1)
controls = st.builds(
    Control,
    instance_id=st.binary(min_size=16, max_size=16),
    timeline=u63,
    epoch=u63,
    checkpoint_lsn=u63,
    manifest=st.text("0123456789ABCDEF-.manifest", max_size=255),
    durable_lsn=u63,
    segment_bytes=u63,
    created_us=st.integers(-(2**63) + 1, 2**63 - 1),
)


def changed(**fields: object) -> Control:
    values = {name: getattr(GOLDEN, name) for name in Control.__slots__}
    return Control(**{**values, **fields})  # type: ignore[arg-type]


@given(controls)
def test_round_trip_fills_one_sector(control: Control) -> None:
    data = control.to_bytes()
    assert len(data) == CONTROL_BYTES == 512
    assert Control.from_bytes(data) == control


def test_golden_file_reads_and_writes_the_same() -> None:
    assert read_control(LocalFileSystem(FILES)) == GOLDEN
    assert (FILES / "control").read_bytes() == GOLDEN.to_bytes()


def test_file_is_replaced() -> None:
    fs = MemoryFileSystem()
    write_control(fs, GOLDEN)
    write_control(fs, changed(epoch=9))
    assert read_control(fs).epoch == 9
    assert fs.list("") == ["control"]


def test_missing_file_is_a_storage_error() -> None:
    with pytest.raises(StorageError):
        read_control(MemoryFileSystem())


def test_any_flipped_bit_is_found() -> None:
    data = GOLDEN.to_bytes()
    for bit in range(len(data) * 8):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptionError, match="control at byte") as caught:
            Control.from_bytes(bytes(bad))
        assert not isinstance(caught.value, FormatVersionError)
        assert caught.value.path == "control"
        assert caught.value.offset <= CONTROL_BYTES


@pytest.mark.parametrize("size", [0, 1, HEADER_BYTES - 1, HEADER_BYTES, 511, 513, 1024])
def test_other_sizes_are_damage(size: int) -> None:
    data = GOLDEN.to_bytes()[:size].ljust(size, b"\0")
    with pytest.raises(CorruptionError, match="expected 512, found"):
        Control.from_bytes(data)
    fs = MemoryFileSystem()
    fs.create("control").pwrite(0, [data])
    with pytest.raises(CorruptionError, match="expected 512, found"):
        read_control(fs)


def resealed(data: bytes, at: int, new: bytes) -> bytes:
    """The bytes with some replaced and both checksums made good."""
    raw = bytearray(data)
    raw[at : at + len(new)] = new
    raw[20:24] = crc32c(bytes(raw[HEADER_BYTES:])).to_bytes(4, "little")
    raw[24:28] = crc32c(bytes(raw[:24])).to_bytes(4, "little")
    return bytes(raw)


def test_newer_format_is_told_from_damage() -> None:
    data = resealed(GOLDEN.to_bytes(), 8, (FORMAT + 2).to_bytes(4, "little"))
    with pytest.raises(FormatVersionError, match="newer absdb: format 3, this one knows 1") as caught:
        Control.from_bytes(data)
    assert (caught.value.found, caught.value.known) == (FORMAT + 2, FORMAT)
    assert "upgrade absdb" in str(caught.value)


@pytest.mark.parametrize(
    ("at", "new"),
    [
        (8, b"\0\0\0\0"),  # format 0
        (HEADER_BYTES + 16, b"\xff" * 8),  # a timeline beyond 63 bits
        (HEADER_BYTES + 64, b"\xff\xff"),  # a name longer than the file
        (HEADER_BYTES + 64, b"\x02\0"),  # a name shorter than what is there
        (HEADER_BYTES + 66, b"\xff"),  # a name that is no UTF-8
        (HEADER_BYTES + 66, b"/"),  # a name of another directory
        (511, b"\1"),  # padding
    ],
)
def test_nonsense_under_good_checksums_is_damage(at: int, new: bytes) -> None:
    with pytest.raises(CorruptionError, match="control at byte"):
        Control.from_bytes(resealed(GOLDEN.to_bytes(), at, new))


@pytest.mark.parametrize(
    "fields",
    [
        {"instance_id": b"short"},
        {"timeline": -1},
        {"durable_lsn": 2**63},
        {"created_us": 2**63},
        {"manifest": "é" * 128},
        {"manifest": "pages/x"},
    ],
)
def test_values_that_do_not_fit_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        changed(**fields)


def test_any_power_loss_leaves_the_old_or_the_new_file() -> None:
    fs = RecordingFileSystem()
    write_control(fs, changed(epoch=0))
    fs.mark(0)
    start = len(fs.log.operations)
    for epoch in (1, 2):
        write_control(fs, changed(epoch=epoch))
        fs.mark(epoch)
    for state in crash_states(fs.log, limit=None, first=start):
        found = read_control(state)
        assert found.epoch in (max(state.marks), max(state.marks) + 1), state.story
        write_control(state, changed(epoch=7))
        assert read_control(state).epoch == 7


def test_any_failing_call_leaves_the_old_or_the_new_file() -> None:
    for call in range(1, 100):
        inner = MemoryFileSystem()
        write_control(inner, GOLDEN)
        fs = FaultyFileSystem(inner, [Fault(call=call)])
        try:
            write_control(fs, changed(epoch=9))
        except StorageError:
            assert read_control(inner).epoch in (2, 9)
        if not fs.fired:
            assert call > 3
            return
    raise AssertionError("a hundred calls to replace one file")
