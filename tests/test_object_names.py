"""Names of objects in the archive read back, and none is taken for one of another kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb import object_names as names
from absdb import paths
from absdb.errors import InvalidInputError

four_bytes = st.integers(0, 2**32 - 1)
eight_bytes = st.integers(0, 2**64 - 1)
tags = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32)
PARSERS = [
    paths.parse_wal_segment_name,
    names.parse_partial_segment_name,
    names.parse_archived_page_file_name,
    paths.parse_timeline_history_name,
    names.parse_gap_name,
    names.parse_file_list_name,
]


@given(four_bytes, eight_bytes, eight_bytes, tags, st.booleans())
def test_names_read_back(timeline, segment, lsn, tag, accepted):
    page = paths.page_file_name(segment, tag)
    made = [
        (paths.wal_segment_name(timeline, segment), (timeline, segment)),
        (names.partial_segment_name(timeline, segment, lsn), (timeline, segment, lsn)),
        (names.archived_page_file_name(page), page),
        (paths.timeline_history_name(timeline), timeline),
        (
            names.gap_name(timeline, segment, lsn, accepted=accepted),
            (timeline, segment, lsn, accepted),
        ),
        (names.file_list_name(timeline, segment, lsn), (timeline, segment, lsn)),
    ]
    for (name, facts), parse in zip(made, PARSERS, strict=True):
        assert parse(name) == facts
        assert paths.check_path(name) == name
        assert [other(name) for other in PARSERS if other is not parse] == [None] * 5
        assert parse(name + ".zst") is None


def test_examples():
    assert names.partial_segment_name(1, 2, 0x2000100) == "000000010000000000000002.0000000002000100.partial"
    assert names.archived_page_file_name("000000000000000A-k3.arrow") == "pages/000000000000000A-k3.arrow"
    assert names.gap_name(1, 0, 256) == "gaps/00000001-0000000000000000-0000000000000100.json"
    assert names.gap_name(1, 0, 256, accepted=True).endswith("-0000000000000100.accepted")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "archive.json",
        "pages/",
        "pages/x.arrow",
        "gaps/",
        "000000000000000A-k3.arrow",
        "x/00000002.history",
    ],
)
def test_foreign_names_are_of_no_kind(name):
    assert [parse(name) for parse in PARSERS] == [None] * len(PARSERS)


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInputError, match="LSN 18446744073709551616 does not fit into 16 hex digits"):
        names.partial_segment_name(1, 0, 2**64)
