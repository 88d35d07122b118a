"""The golden archive: what is in users' buckets stays readable, and is told apart from what is not."""

from __future__ import annotations

import json
import shutil

import pytest

from absdb.backup.archive.cleanup import plan_cleanup
from absdb.backup.archive.identity import read_identity
from absdb.backup.archive.listing import wal_list
from absdb.backup.archive.reader import ArchiveReader
from absdb.errors import CorruptionError, FormatVersionError
from absdb.object_names import ARCHIVE_IDENTITY
from absdb.objectstore.locate import open_store
from absdb.paths import wal_segment_name
from tests.backup.archive.golden import (
    END,
    GOLDEN,
    IDENTITY,
    KEY,
    PAGE_BYTES,
    PAGE_FILE,
    SEGMENT_BYTES,
    segment,
    write,
)


def names(url):
    return [info.name for info in open_store(str(url)).list()]


def test_golden_archive_reads_as_it_was_written():
    archive = ArchiveReader(open_store(str(GOLDEN)), KEY)
    assert archive.identity == IDENTITY
    assert archive.end() == (1, END)
    assert archive.fetch_segment(wal_segment_name(1, 0)) == segment(0)
    assert archive.fetch_segment(wal_segment_name(1, 1)) == segment(1)[: END - SEGMENT_BYTES]
    assert b"".join(archive.fetch_page_file(PAGE_FILE)) == PAGE_BYTES
    rows = wal_list(archive).to_pylist()
    assert [(row["kind"], row["compression"], row["encrypted"], row["accepted"]) for row in rows] == [
        ("segment", "zstd", False, None),
        ("partial", "lz4", True, None),
        ("gap", None, None, True),
    ]
    plan = plan_cleanup(archive, before_lsn=SEGMENT_BYTES)
    assert [each.name for each in plan.page_files] == [PAGE_FILE]


def test_the_same_is_written_today(tmp_path):
    write(open_store(str(tmp_path / "archive")))
    assert names(tmp_path / "archive") == names(GOLDEN)
    for name in names(GOLDEN):
        if name.endswith((".json", ".accepted")):  # what compressors make of the rest is up to them
            assert (tmp_path / "archive" / name).read_bytes() == (GOLDEN / name).read_bytes(), name


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"format": 2}, FormatVersionError, "archive format 2, this absdb knows 1"),
        ({"instance_id": "x"}, CorruptionError, "does not say whose archive it is"),
        ({"begins_lsn": None}, CorruptionError, "does not say whose archive it is"),
    ],
)
def test_identity_that_is_not_understood_is_refused(tmp_path, change, error, message):
    shutil.copytree(GOLDEN, tmp_path / "archive")
    path = tmp_path / "archive" / ARCHIVE_IDENTITY
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(error, match=message):
        read_identity(open_store(str(tmp_path / "archive")))
