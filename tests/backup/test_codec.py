"""Stored files: read back what was written, in parts and as a stream, and nothing that was changed."""

from __future__ import annotations

import itertools
import os
import pickle
import resource
from typing import Any

import pytest
import zstandard
from lz4.frame import LZ4FrameCompressor

from absdb.backup.codec import codec as codec_module
from absdb.backup.codec.codec import Codec, Decoder, Encoder, decode, decoded, encode, parse_stored
from absdb.backup.codec.compression import decompress, decompressed
from absdb.backup.codec.encryption import HEADER_BYTES
from absdb.backup.codec.key import Key, find_key, new_key_text
from absdb.backup.codec.pipeline import in_order, pool
from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError, StateError

KEY = Key(bytes(range(32)))
OTHER = Key(bytes(32))
KINDS = list(itertools.product([None, "lz4", "zstd"], [None, KEY]))
PART = 1000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module, "PART_BYTES", PART)


def back(codec: Codec, stored: Any, context: str = "pages/x", **more: Any) -> bytes:
    given = {"encrypted": codec.key is not None, "key": codec.key, "limit": 1 << 20, **more}
    return decode(codec.compression, context, stored, **given)


@pytest.mark.parametrize(("compression", "key"), KINDS)
@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 5 * PART + 7])
def test_file_comes_back(compression, key, size):
    codec, raw = Codec(compression, key), os.urandom(size // 2) + bytes(size - size // 2)
    stored = encode(codec, "pages/x", raw)
    assert back(codec, stored) == raw
    one_by_one = [stored[at : at + 1] for at in range(len(stored))]
    given = {"encrypted": key is not None, "key": key, "limit": size}
    assert b"".join(decoded(compression, "pages/x", one_by_one, **given)) == raw


@pytest.mark.parametrize(("compression", "key"), KINDS)
def test_any_part_is_read_alone(compression, key):
    encoder = Encoder(Codec(compression, key), "pages/x")
    parts = [os.urandom(PART) for _ in range(4)]
    with pool(3) as threads:
        jobs = list(enumerate(parts))
        stored = list(in_order(threads, lambda job: encoder.part(*job, last=job[0] == 3), jobs, window=2))
    decoder = Decoder(compression, "pages/x", key=key, header=encoder.header)
    for number in (2, 0, 3, 1):
        assert bytes(decoder.part(number, stored[number], last=number == 3)) == parts[number]


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_every_flipped_byte_of_an_encrypted_file_is_found(compression):
    codec = Codec(compression, KEY)
    stored = encode(codec, "pages/x", os.urandom(50) + bytes(2 * PART))
    for at in range(len(stored)):
        changed = bytearray(stored)
        changed[at] ^= 0x10
        with pytest.raises((CorruptionError, StateError)):
            back(codec, changed)


def test_encrypted_parts_cannot_be_left_out_repeated_swapped_or_moved():
    codec = Codec(None, KEY)
    stored = encode(codec, "pages/x", os.urandom(3 * PART))
    head, body = stored[:HEADER_BYTES], stored[HEADER_BYTES:]
    size = len(body) // 3
    one, two, three = body[:size], body[size : 2 * size], body[2 * size :]
    for parts in (
        [one, two],
        [one, three],
        [one, one, two, three],
        [two, one, three],
        [one, two, three, three],
    ):
        with pytest.raises(CorruptionError):
            back(codec, head + b"".join(parts))
    with pytest.raises(CorruptionError, match="belongs to another file"):
        back(codec, stored, context="pages/y")


def test_wrong_key_and_no_key_are_told_from_damage():
    stored = encode(Codec(None, KEY), "pages/x", b"rows")
    with pytest.raises(StateError, match=rf"encrypted with key {KEY.id}, and the key given is {OTHER.id}"):
        back(Codec(None, OTHER), stored)
    with pytest.raises(StateError, match="there is no key"):
        back(Codec(None, KEY), stored, key=None)


def test_newer_encryption_is_refused():
    stored = bytearray(encode(Codec(None, KEY), "pages/x", b"rows"))
    stored[9] = 2
    with pytest.raises(FormatVersionError, match="format 2, this absdb knows 1"):
        back(Codec(None, KEY), stored)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_file_that_is_cut_or_too_long_is_refused(compression):
    codec = Codec(compression)
    stored = encode(codec, "pages/x", bytes(3 * PART))
    with pytest.raises(CorruptionError, match=r"^pages/x: .*cut short"):
        back(codec, stored[:-3])
    with pytest.raises(CorruptionError, match=r"more than the 2999 bytes"):
        back(codec, stored, limit=3 * PART - 1)
    with pytest.raises(CorruptionError, match="not a frame"):
        back(codec, b"no frame at all" * 10)


def test_ordinary_tools_read_what_is_compressed(tmp_path):
    raw = os.urandom(100) * 100
    stored = encode(Codec("zstd"), "wal/x", raw)
    with zstandard.ZstdDecompressor().stream_reader(stored, read_across_frames=True) as reader:
        assert reader.read() == raw


def test_suffix_says_what_was_done():
    for compression, key in KINDS:
        suffix = Codec(compression, key).suffix
        found = parse_stored(f"pages/1.arrow{suffix}")
        assert (found.name, found.compression, found.encrypted) == (
            "pages/1.arrow",
            compression,
            key is not None,
        )


class TestKey:
    def test_file_and_environment(self, tmp_path):
        text = new_key_text()
        path = tmp_path / "key"
        path.write_text(text + "\n")
        assert find_key(str(path)).id == find_key("", environment={"ABSDB_BACKUP_KEY": text}).id
        path.write_bytes(bytes(range(32)))
        assert find_key(str(path)).id == KEY.id
        path.write_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        assert find_key(str(path)).id == KEY.id
        assert find_key("", environment={}) is None

    def test_shows_its_id_only(self, tmp_path):
        secret = KEY.secret().hex()
        assert secret not in repr(KEY) + str(KEY)
        with pytest.raises(TypeError):
            pickle.dumps(KEY)

    def test_what_is_no_key_is_refused_without_being_shown(self, tmp_path):
        path = tmp_path / "key"
        for text in ("hunter2hunter2", "g" * 64, "", "A" * 43):
            path.write_text(text)
            with pytest.raises(InvalidInputError, match="holds no key") as caught:
                find_key(str(path))
            assert not text or text not in str(caught.value)
        with pytest.raises(InvalidInputError, match="cannot be read"):
            find_key(str(tmp_path / "nothing"))
        path.write_bytes(bytes(5000))
        with pytest.raises(InvalidInputError, match="too long"):
            find_key(str(path))


def test_first_error_is_raised_in_its_place():
    def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        return number

    with pool(2) as threads:
        found = in_order(threads, work, range(100), window=4)
        assert [next(found), next(found), next(found)] == [0, 1, 2]
        with pytest.raises(ValueError, match="three"):
            next(found)


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
@pytest.mark.parametrize("says_its_size", [True, False])
def test_little_that_would_become_a_lot_takes_little_memory(kind, says_its_size):
    bomb = _frame_of_zeros(kind, 1 << 29, says_its_size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptionError, match="expected"):
        decompress(kind, bomb, 1 << 20)
    with pytest.raises(CorruptionError, match="expected"):
        list(decompressed(kind, [bomb], 1 << 20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10


def _frame_of_zeros(kind: str, size: int, says_its_size: bool) -> bytes:
    piece = bytes(1 << 20)
    if kind == "zstd":
        maker = zstandard.ZstdCompressor().compressobj(size=size if says_its_size else -1)
        return b"".join([*(maker.compress(piece) for _ in range(size >> 20)), maker.flush()])
    lz4 = LZ4FrameCompressor()
    head = lz4.begin(size if says_its_size else 0)
    return b"".join([head, *(lz4.compress(piece) for _ in range(size >> 20)), lz4.flush()])
