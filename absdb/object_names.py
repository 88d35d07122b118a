"""Names of objects in the archive of the log, and in a repository of backups. Paths are relative to its URL.

    archive.json                                whose archive it is
    TTTTTTTTSSSSSSSSSSSSSSSS                    a closed segment, named as in the instance (paths.py)
    TTTTTTTTSSSSSSSSSSSSSSSS.LLLLLLLLLLLLLLLL.partial    the first bytes of an open segment, those below LSN L
    pages/<page file>                           a page file that a record of the log names
    files/TTTTTTTT-LLLLLLLLLLLLLLLL-LLLLLLLLLLLLLLLL.json     which page files the log from LSN to LSN names, if any
    TTTTTTTT.history                            how a timeline began (paths.py)
    gaps/TTTTTTTT-LLLLLLLLLLLLLLLL-LLLLLLLLLLLLLLLL.json      log from LSN to LSN that is missing for ever
    gaps/TTTTTTTT-LLLLLLLLLLLLLLLL-LLLLLLLLLLLLLLLL.accepted  the same, and somebody has acknowledged it

    <label>/begin.json                  a backup under this label was begun: by whom, of what, how
    <label>/resume-N.json               it was gone on with for the Nth time
    <label>/progress-N-M.json           what the Nth run has stored so far; gone once the backup is complete
    <label>/pages/ wal/ files/          stored files; those of the Nth resumed run in pages.N/ and so on
    <label>/manifest.json               written last: the backup is complete
    <label>/pin.json                    it is not to be removed
    <label>/readers/<id>.json           somebody restores from it
    <label>/dependents/<id>.json        a backup in another repository needs it

Segments, partial ones and page files are stored through a codec, which adds its suffix (`.zst.enc`) to these names.
Numbers have a fixed width, so that sorting names sorts numbers. A parser gives None for a foreign name.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from absdb.errors import InvalidInputError
from absdb.paths import hex_digits, parse_page_file_name, wal_segment_name

ARCHIVE_IDENTITY = "archive.json"
ARCHIVED_PAGES = "pages/"
ARCHIVED_FILE_LISTS = "files/"
ARCHIVE_GAPS = "gaps/"

BACKUP_BEGIN = "begin.json"
BACKUP_MANIFEST = "manifest.json"
BACKUP_PIN = "pin.json"
BACKUP_READERS = "readers/"
BACKUP_DEPENDENTS = "dependents/"
BACKUP_DIRECTORIES = {"page": "pages", "log": "pages", "wal": "wal"}
"""Kinds of files and where a backup has them; all others lie in `files`."""

_PARTIAL = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})\.([0-9A-F]{16})\.partial")
_FILE_LIST = re.compile(r"files/([0-9A-F]{8})-([0-9A-F]{16})-([0-9A-F]{16})\.json")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_PLACE = re.compile(r"(pages|wal|files)(\.[1-9][0-9]{0,5})?/[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_RESUME = re.compile(r"resume-([1-9][0-9]{0,5})\.json")
_PROGRESS = re.compile(r"progress-([0-9]{1,6})-([0-9]{1,6})\.json")
_GAP = re.compile(r"gaps/([0-9A-F]{8})-([0-9A-F]{16})-([0-9A-F]{16})\.(json|accepted)")


class PartialSegmentName(NamedTuple):
    """What the name of an open segment's copy says: it has the bytes from the segment's start to `lsn`."""

    timeline: int
    segment: int
    lsn: int


class FileListName(NamedTuple):
    """What the name of a list of page files says: records of `timeline` that end in (from_lsn, to_lsn] name them."""

    timeline: int
    from_lsn: int
    to_lsn: int


class GapName(NamedTuple):
    """What the name of a gap says: log of `timeline` in [from_lsn, to_lsn) is missing for ever."""

    timeline: int
    from_lsn: int
    to_lsn: int
    accepted: bool


def partial_segment_name(timeline: int, segment: int, lsn: int) -> str:
    """The copy of an open segment up to `lsn`, which lies in it or is its end."""
    return f"{wal_segment_name(timeline, segment)}.{hex_digits(lsn, 16, 'LSN')}.partial"


def parse_partial_segment_name(name: str) -> PartialSegmentName | None:
    """Timeline, segment and LSN of a partial segment's name; None for any other name."""
    match = _PARTIAL.fullmatch(name)
    return PartialSegmentName(int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def archived_page_file_name(name: str) -> str:
    """Where the archive has a page file that is called `name` in the instance."""
    return ARCHIVED_PAGES + name


def parse_archived_page_file_name(name: str) -> str | None:
    """The name in the instance of a page file in the archive; None for any other name."""
    bare = name.removeprefix(ARCHIVED_PAGES)
    return bare if bare != name and parse_page_file_name(bare) is not None else None


def file_list_name(timeline: int, from_lsn: int, to_lsn: int) -> str:
    """The object that lists the page files that records ending in (from_lsn, to_lsn] name."""
    return f"{ARCHIVED_FILE_LISTS}{_span(timeline, from_lsn, to_lsn)}.json"


def parse_file_list_name(name: str) -> FileListName | None:
    """Timeline and LSNs of such a list's name; None for any other name."""
    match = _FILE_LIST.fullmatch(name)
    return FileListName(int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def gap_name(timeline: int, from_lsn: int, to_lsn: int, *, accepted: bool = False) -> str:
    """The object that says that log of [from_lsn, to_lsn) is missing for ever, or that somebody knows of it."""
    return f"{ARCHIVE_GAPS}{_span(timeline, from_lsn, to_lsn)}.{'accepted' if accepted else 'json'}"


def parse_gap_name(name: str) -> GapName | None:
    """Timeline and LSNs of a gap's name; None for any other name."""
    match = _GAP.fullmatch(name)
    if match is None:
        return None
    return GapName(int(match[1], 16), int(match[2], 16), int(match[3], 16), match[4] == "accepted")


def _span(timeline: int, from_lsn: int, to_lsn: int) -> str:
    """A part of a timeline's log, in a name."""
    return "-".join(
        (hex_digits(timeline, 8, "timeline"), hex_digits(from_lsn, 16, "LSN"), hex_digits(to_lsn, 16, "LSN"))
    )


def check_label(label: str) -> str:
    """The label itself, if a backup may be called so; InvalidInputError otherwise."""
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise InvalidInputError(
            f"{label!r} cannot be the label of a backup",
            hint="use 1 to 128 of A-Z, a-z, 0-9 and . _ + -, with a letter or digit in front",
        )
    return label


def is_label(name: str) -> bool:
    """Whether a directory in a repository may be a backup."""
    return _LABEL.fullmatch(name) is not None


def backup_place(kind: str, name: str, run: int) -> str:
    """Where the run with this number stores a file, below the label and without the codec's suffix."""
    directory = BACKUP_DIRECTORIES.get(kind, "files")
    return f"{directory}.{run}/{name}" if run else f"{directory}/{name}"


def is_backup_place(place: str) -> bool:
    """Whether `backup_place` may have made it."""
    return _PLACE.fullmatch(place) is not None


def resume_name(run: int) -> str:
    """What claims the right to go on with a backup for the Nth time."""
    return f"resume-{run}.json"


def parse_resume_name(name: str) -> int | None:
    """The number of a resumed run; None for any other name."""
    match = _RESUME.fullmatch(name)
    return int(match[1]) if match else None


def progress_name(run: int, number: int) -> str:
    """A run's account of what it has stored, counted from 0."""
    return f"progress-{run}-{number}.json"


def parse_progress_name(name: str) -> tuple[int, int] | None:
    """The run and the number of its account; None for any other name."""
    match = _PROGRESS.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None
