"""Damage that no crash leaves: found, named and left alone, never repaired by guessing.

Whatever is wrong, the error is of the right class, names the file and says what to do; nothing on disk has
changed by the attempt, no lock is left, and a second attempt says the same. What does not rest on the damaged
file stays readable where the instance can be opened at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c

import absdb
from absdb.catalog import control, envelope, manifest
from absdb.catalog.commit_chunks import MAGIC as CHUNK_MAGIC
from absdb.pages import format as page_format
from absdb.paths import is_temporary

SETTINGS: dict[str, Any] = {
    "wal_segment_size": 4096,
    "page_rows": 16,
    "bulk_threshold": 4096,
    "author": "proof",
}
VOLATILE = {"lock", "watermark"}
"""Files that every opening writes: who holds the instance, and how far readers may go."""


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """A closed instance with a checkpoint, and one that was left with a log of several segments behind it."""
    directory = tmp_path_factory.mktemp("damage") / "shop"
    shop = absdb.connect(directory, **SETTINGS)
    main = shop["main"]
    for name in ("t", "u"):
        main.create_table(name, rows(0, 200), key="id")
    main.branch("dev")["t"].insert(rows(1_000, 10))
    shop.checkpoint()
    for first in range(300, 500, 5):
        main["t"].insert(rows(first, 5))
        main["u"].insert(rows(first, 5))
    shop._engine.abandon()
    assert len(segments(directory)) > 4
    return directory


@pytest.fixture
def shop(original, tmp_path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "shop"))


@pytest.fixture
def settled(shop) -> Path:
    """A copy with all rows in page files, so that the log holds nothing of them."""
    absdb.connect(shop).close()
    return shop


def rows(first: int, count: int) -> list[dict[str, Any]]:
    return [{"id": each, "value": f"value {each}"} for each in range(first, first + count)]


def segments(directory: Path) -> list[Path]:
    """Those with records in them, oldest first."""
    found = sorted((directory / "wal").iterdir())
    return [path for path in found if any(path.read_bytes()[64:])]


def only(directory: Path, pattern: str) -> Path:
    (found,) = directory.glob(pattern)
    return found


def bytes_of(directory: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in VOLATILE}


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def flip_middle(path: Path) -> None:
    flip(path, path.stat().st_size // 2)


def flip_first(path: Path) -> None:
    flip(path, 0)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(512))


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [flip_first, flip_middle, cut, empty, grow, remove]


def refused(
    directory: Path, kind: type[absdb.AbsdbError], *words: str, read_only: bool = True, **options: Any
) -> absdb.AbsdbError:
    """Opening is refused twice in the same way, for writing and for reading, and changes nothing."""
    before = bytes_of(directory)
    said = []
    for reading in [False, False] + [True] * 2 * read_only:
        with pytest.raises(absdb.AbsdbError) as caught:
            absdb.connect(directory, read_only=reading, **options)
        error = caught.value
        assert type(error) is kind, error
        for word in words:
            assert word in str(error), error
        assert error.hint, f"what to do about it is not said: {error}"
        said.append(str(error))
        assert bytes_of(directory) == before
    assert said[0] == said[1]
    return error


# -- the log


def in_a_record(path: Path) -> None:
    flip(path, 2_000)


def in_a_record_header(path: Path) -> None:
    flip(path, path.read_bytes().rindex(crc32c_tag(path)) - 8)


def crc32c_tag(path: Path) -> bytes:
    """What every record's header has: the checksum of the instance's id."""
    return crc32c(path.read_bytes()[16:32]).to_bytes(4, "little")


LOG_DAMAGES = [in_a_record, in_a_record_header, flip_first, cut, empty, grow, remove]


@pytest.mark.parametrize("damage", LOG_DAMAGES)
@pytest.mark.parametrize("which", [1, 2, -2], ids=["second", "third", "last but one"])
def test_a_damaged_log_is_refused(shop, damage, which):
    path = segments(shop)[which]
    damage(path)
    refused(shop, absdb.CorruptLogError, path.name)


def test_the_segment_of_the_checkpoint_is_missing(shop):
    path = sorted((shop / "wal").iterdir())[0]
    path.unlink()
    refused(shop, absdb.CorruptLogError, path.name)


def test_the_whole_log_is_missing(shop):
    shutil.rmtree(shop / "wal")
    refused(shop, absdb.CorruptLogError, "wal")


@pytest.mark.parametrize("damage", [in_a_record_header, cut])
def test_damage_to_the_newest_segment_below_what_was_durable(shop, damage):
    """Its first record is followed by others that say it was durable when they were written."""
    path = segments(shop)[-1]
    if damage is cut:
        path.write_bytes(path.read_bytes()[:2_000])
    else:
        flip(path, path.read_bytes().index(crc32c_tag(path)) - 8)
    refused(shop, absdb.CorruptLogError, path.name)


# -- control and manifest


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_control_is_refused(shop, damage):
    damage(shop / "control")
    refused(shop, absdb.CorruptionError, "control")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_refused(shop, damage):
    path = only(shop, "manifests/*.manifest")
    damage(path)
    refused(shop, absdb.CorruptionError, path.name)


def test_control_and_manifest_of_different_times(shop, original):
    """A manifest put in the place of another one: whole, but not what `control` means."""
    with absdb.connect(shop) as instance:
        instance["main"]["t"].insert(rows(5_000, 1))
    new = only(shop, "manifests/*.manifest")
    shutil.copy(only(original, "manifests/*.manifest"), new)
    refused(shop, absdb.CorruptionError, new.name)


# -- the settings


NONSENSE = {
    "no setting at all": (b"hello\n", "line 1"),
    "an unknown key": (b"\nwal_segmnt_size = 4 KiB\n", "line 2"),
    "a value out of range": (b"page_rows = -1\n", "line 1"),
    "not text": (b"author = \xff\xfe\n", "absdb.conf"),
    "binary": (bytes(range(256)), "absdb.conf"),
    "a key twice": (b"page_rows = 5\npage_rows = 6\n", "line 2"),
    "another segment size": (b"wal_segment_size = 8 KiB\n", "wal_segment_size"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_the_settings_is_refused(shop, name):
    text, words = NONSENSE[name]
    (shop / "absdb.conf").write_bytes(text)
    refused(shop, absdb.InvalidInputError, "absdb.conf", words)


def test_settings_that_are_missing_are_the_defaults(shop):
    (shop / "absdb.conf").unlink()
    absdb.connect(shop).close()


# -- pages


def big_page_files(directory: Path, table: str) -> list[Path]:
    """The page files that only this table rests on."""
    with absdb.connect(directory, read_only=True) as instance:
        engine = instance._engine
        schema = instance["main"][table]._definition()
        names = {
            page.origin[0].name
            for (_, found), cover in engine.covers.eras.items()
            if found == schema.id
            for run in cover.view[0]
            for page in run.newest.pages
        }
    return [directory / "pages" / name for name in sorted(names)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_page_file_costs_its_own_table_only(settled, damage):
    path = big_page_files(settled, "t")[0]
    damage(path)
    before = bytes_of(settled)
    for _ in range(2):
        with absdb.connect(settled) as instance:
            main = instance["main"]
            with pytest.raises(absdb.CorruptionError, match=path.name) as caught:
                main["t"].to_arrow()
            assert type(caught.value) is absdb.CorruptionError
            assert caught.value.hint
            assert main["u"].count() == len(main["u"].to_arrow()) == 400
            findings = instance.check()
            assert (findings["severity"] == "error").any()
            assert findings["where"].str.contains(path.name).any()
        assert bytes_of(settled) == before
    # The other table goes on, and nothing tries to save what is left of this one.
    with absdb.connect(settled) as instance:
        instance["main"]["u"].insert(rows(9_000, 5))
        instance.checkpoint()
    with absdb.connect(settled) as instance:
        assert instance["main"]["u"].count() == 405
        with pytest.raises(absdb.CorruptionError, match=path.name):
            instance["main"]["t"].to_arrow()


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_chunk_of_the_commit_log(settled, damage):
    """What asks for its commits says which file it is, and so does check(). All else goes on."""
    path = only(settled, "pages/log-*")
    damage(path)
    before = bytes_of(settled)
    for _ in range(2):
        with absdb.connect(settled) as instance:
            main = instance["main"]
            for look in (main.log, partial(main.at, lsn=3_000)):
                with pytest.raises(absdb.CorruptionError, match=path.name) as caught:
                    look()
                assert type(caught.value) is absdb.CorruptionError
                assert "points in the past" in caught.value.hint
            assert main["t"].count() == len(main["u"].to_arrow()) == 400
            assert instance.check()["where"].str.contains(path.name).any()
        assert bytes_of(settled) == before
    for first in (9_000, 9_100):
        with absdb.connect(settled) as instance:
            instance["main"]["t"].insert(rows(first, 5), message="since")
            instance.checkpoint()
            assert instance["main"].log(limit=1)["message"].tolist() == ["since"]
    assert absdb.connect(settled, read_only=True)["main"]["t"].count() == 410


# -- files of a newer absdb


def newer(path: Path, magic: bytes) -> None:
    """An envelope's file as a newer absdb might write it."""
    data = envelope.unpack(path.read_bytes(), magic, 1, path.name)
    path.write_bytes(envelope.pack(magic, 2, data))


def newer_segment(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8:12] = (2).to_bytes(4, "little")
    data[60:64] = crc32c(bytes(data[:60])).to_bytes(4, "little")
    path.write_bytes(data)


def newer_control(shop: Path) -> Path:
    newer(shop / "control", control.MAGIC)
    return shop / "control"


def newer_manifest(shop: Path) -> Path:
    newer(path := only(shop, "manifests/*.manifest"), manifest.MAGIC)
    return path


def newer_second_segment(shop: Path) -> Path:
    newer_segment(path := segments(shop)[1])
    return path


def newer_last_segment(shop: Path) -> Path:
    newer_segment(path := segments(shop)[-1])
    return path


@pytest.mark.parametrize("change", [newer_control, newer_manifest, newer_second_segment, newer_last_segment])
def test_a_newer_format_is_refused(shop, change: Callable[[Path], Path]):
    path = change(shop)
    error = refused(shop, absdb.FormatVersionError, path.name, "newer")
    assert (error.found, error.known) == (2, 1)


def test_a_newer_chunk_is_refused(settled):
    newer(path := only(settled, "pages/log-*"), CHUNK_MAGIC)
    with absdb.connect(settled) as instance, pytest.raises(absdb.FormatVersionError, match=path.name):
        instance["main"].log()


def test_a_newer_page_file_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(page_format.METADATA, b"absdb.format", b"2")
        with absdb.connect(tmp_path / "shop", **SETTINGS) as instance:
            instance["main"].create_table("t", rows(0, 200), key="id")
    before = bytes_of(tmp_path / "shop")
    for _ in range(2):
        with absdb.connect(tmp_path / "shop") as instance:
            with pytest.raises(absdb.FormatVersionError, match=r"pages/\w+-\w+\.arrow") as caught:
                instance["main"]["t"].to_arrow()
            assert caught.value.hint
        assert bytes_of(tmp_path / "shop") == before


def test_leftovers_of_a_crash_are_no_damage(shop):
    """Temporary files, foreign files and a full lock file: none of them is in the way."""
    for name in ("control.tmp", "manifests/0000000000000000-00000001.manifest.tmp"):
        (shop / name).write_bytes(b"half")
        assert is_temporary(name)
    (shop / "wal" / f"{segments(shop)[-1].name}.tmp").write_bytes(b"half")
    (shop / "lock").write_text('{"pid": 1, "host": "elsewhere"}')
    with absdb.connect(shop) as instance:
        assert instance["main"]["t"].count() == 400
