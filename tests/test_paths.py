"""Names of files sort as their numbers do and read back; names users give are checked."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb import paths
from absdb.errors import InvalidInputError
from absdb.paths import check_name, check_path

four_bytes = st.integers(0, 2**32 - 1)
eight_bytes = st.integers(0, 2**64 - 1)
tags = st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=32)
PARSERS = [
    paths.parse_wal_segment_name,
    paths.parse_torn_tail_name,
    paths.parse_timeline_history_name,
    paths.parse_page_file_name,
    paths.parse_manifest_name,
    paths.parse_reader_lease_name,
]


@given(four_bytes, eight_bytes, eight_bytes, tags, st.integers(0, 10**10 - 1))
def test_names_read_back(small, large, lsn, tag, pid):
    made = [
        (paths.wal_segment_name(small, large), (small, large)),
        (paths.torn_tail_name(small, large, lsn), (small, large, lsn)),
        (paths.timeline_history_name(small), small),
        (paths.page_file_name(large, tag), (large, tag)),
        (paths.manifest_name(lsn, small), (lsn, small)),
        (paths.reader_lease_name(pid, tag), (pid, tag)),
    ]
    for (name, facts), parse in zip(made, PARSERS, strict=True):
        assert parse(name) == facts
        assert check_path(f"dir/{name}") == f"dir/{name}"
        others = [other(name) for other in PARSERS if other is not parse]
        assert others == [None] * 5, "one name is of one kind only"
        assert not paths.is_temporary(name)
        assert parse(name + paths.TEMPORARY_SUFFIX) is None
        assert paths.is_temporary(name + paths.TEMPORARY_SUFFIX)


@given(st.lists(st.tuples(four_bytes, eight_bytes)))
def test_sorting_names_sorts_numbers(pairs):
    assert [paths.wal_segment_name(*pair) for pair in sorted(pairs)] == sorted(
        paths.wal_segment_name(*pair) for pair in pairs
    )
    assert [
        paths.manifest_name(high, low) for low, high in sorted(pairs, key=lambda pair: pair[::-1])
    ] == sorted(paths.manifest_name(high, low) for low, high in pairs)


def test_examples():
    assert paths.wal_segment_name(1, 0) == "000000010000000000000000"
    assert paths.wal_segment_name(2, 255) == "0000000200000000000000FF"
    assert paths.torn_tail_name(1, 2, 3) == "000000010000000000000002.0000000000000003.torn"
    assert paths.timeline_history_name(2) == "00000002.history"
    assert paths.page_file_name(10, "k3") == "000000000000000A-k3.arrow"
    assert paths.manifest_name(1_048_576, 1) == "0000000000100000-00000001.manifest"
    assert paths.reader_lease_name(4711, "a") == "0000004711-a.lease"
    assert paths.parse_wal_segment_name("000000010000000000000000") == paths.SegmentName(
        timeline=1, segment=0
    )


@pytest.mark.parametrize(
    "name",
    [
        "",
        "00000001000000000000000",
        "0000000100000000000000000",
        "00000001000000000000000g",
        "0000000100000000000000ff",
        "000000010000000000000000\n",
        "000000010000000000000000.partial",
        "wal/000000010000000000000000",
        ".DS_Store",
        "000000000000000A-K3.arrow",
        "000000000000000A-.arrow",
        "\u0660" * 10 + "-a.lease",
    ],
)
def test_foreign_names(name):
    assert [parse(name) for parse in PARSERS] == [None] * len(PARSERS)


def test_numbers_and_tags_that_do_not_fit():
    for call in (
        lambda: paths.wal_segment_name(2**32, 0),
        lambda: paths.wal_segment_name(-1, 0),
        lambda: paths.wal_segment_name(0, 2**64),
        lambda: paths.manifest_name(2**64, 0),
        lambda: paths.reader_lease_name(10**10, "a"),
    ):
        with pytest.raises(InvalidInputError, match="does not fit"):
            call()
    for tag in ("", "A", "a-b", "a/b", "x" * 33, "é"):
        with pytest.raises(InvalidInputError, match="is not a tag"):
            paths.page_file_name(1, tag)


class TestPaths:
    @pytest.mark.parametrize("path", ["a", "wal/a", "a/b/c", "..a", "a..", "...", "a b", "é"])
    def test_inside(self, path):
        assert check_path(path) == path

    @pytest.mark.parametrize(
        "path",
        ["", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b", "a\\b", "\\a", "a\0", "c:", "c:/x"],
    )
    def test_outside(self, path):
        with pytest.raises(InvalidInputError, match="not a path inside") as caught:
            check_path(path)
        assert "relative to the root" in caught.value.hint

    def test_the_root_is_a_directory(self):
        assert check_path("", directory=True) == ""


class TestNames:
    @pytest.mark.parametrize(
        "name", ["main", "a", "Größe", "日本", "two words", "a.b", "it's", '"q"', "-", "x" * 255, "👩‍🚀"]
    )
    def test_good(self, name):
        assert check_name("table", name) == name

    def test_the_same_look_is_the_same_name(self):
        composed, apart = "Gr\u00f6\u00dfe", "Gro\u0308\u00dfe"
        assert composed != apart
        assert check_name("table", composed) == check_name("table", apart) == composed

    def test_length_counts_after_composition(self):
        assert len(check_name("table", "o\u0308" * 255)) == 255

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("", "is empty"),
            ("x" * 256, "has 256 characters"),
            (" a", "begins or ends with a blank"),
            ("a ", "begins or ends with a blank"),
            ("a\n", "begins or ends with a blank"),
            ("   ", "begins or ends with a blank"),
            ("\u00a0a", "begins or ends with a blank"),
            ("a/b", "contains '/'"),
            ("a@b", "contains '@'"),
            ("a\0b", "control character U\\+0000"),
            ("a\tb", "control character U\\+0009"),
            ("a\x7fb", "control character U\\+007F"),
            ("a\u2028b", "control character U\\+2028"),
            ("a\ud800b", "control character U\\+D800"),
        ],
    )
    def test_bad(self, name, problem):
        with pytest.raises(InvalidInputError, match=problem) as caught:
            check_name("column", name)
        assert "column" in str(caught.value)
        assert caught.value.hint

    @pytest.mark.parametrize("name", [None, 5, b"main"])
    def test_no_text(self, name):
        with pytest.raises(InvalidInputError, match="must be text"):
            check_name("database", name)

    @given(st.text(max_size=300))
    def test_what_passes_can_be_stored(self, text):
        """A name that passes encodes, is in one form, and passes again."""
        try:
            name = check_name("snapshot", text)
        except InvalidInputError:
            return
        assert name == unicodedata.normalize("NFC", text) == check_name("snapshot", name)
        assert name.encode().decode() == name
        assert name.isprintable() or not any(ord(character) < 32 for character in name)
