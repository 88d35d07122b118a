"""What a bucket may hold in place of a small object is refused with its place, and not read without end."""

from __future__ import annotations

import pytest

from absdb.backup import small_objects
from absdb.backup.archive.identity import read_identity
from absdb.backup.claim import read_begin
from absdb.backup.small_objects import read_json, read_small
from absdb.errors import CorruptionError, NotFoundError
from absdb.objectstore.base import ObjectStore
from absdb.objectstore.locate import open_store


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return open_store(str(tmp_path / "store"))


def test_object_of_any_length_is_not_read_to_its_end(store, monkeypatch):
    store.put("o", bytes(5_000_000))
    assert len(read_small(store, "o")) == 5_000_000
    with pytest.raises(CorruptionError, match="o has more than 2000000 bytes"):
        read_small(store, "o", at_most=2_000_000)
    with pytest.raises(NotFoundError):
        read_small(store, "nothing")


@pytest.mark.parametrize("data", [b"", b"[1]", b"7", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_damage(store, data):
    store.put("o", data)
    with pytest.raises(CorruptionError, match=r"store/o (is not JSON|holds no JSON object)"):
        read_json(store, "o")


def test_claims_and_identities_are_bounded(store, monkeypatch):
    monkeypatch.setattr(small_objects.read_small, "__kwdefaults__", {"at_most": 1000})
    store.put("base/begin.json", b"x" * 1001)
    store.put("archive.json", b"x" * 1001)
    with pytest.raises(CorruptionError, match="more than 1000 bytes"):
        read_begin(store, "base")
    with pytest.raises(CorruptionError, match="more than 1000 bytes"):
        read_identity(store)
