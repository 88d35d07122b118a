"""The only place that makes or parses a name: of files inside an instance, and of things a user names.

    control, control.tmp      the instance's anchor, replaced atomically
    lock                      held by the one writing process
    absdb.conf                settings
    watermark                 the durable LSN, for readers in other processes and for recovery
    archive-status            how far the archive of the log is, and log that was let go before it was archived
    recovery.conf             what the directory is to be recovered to; recovery.done once it was
    wal/TTTTTTTTSSSSSSSSSSSSSSSS                         8 hex digits of timeline, 16 of segment number
    wal/TTTTTTTTSSSSSSSSSSSSSSSS.LLLLLLLLLLLLLLLL.torn   bytes cut off a torn tail at LSN L, kept aside
    wal/TTTTTTTTSSSSSSSSSSSSSSSS.fetched                 the same, fetched for a recovery that is under way
    wal/TTTTTTTT.history                                 how timeline T began, and those before it
    pages/NNNNNNNNNNNNNNNN-tag.arrow                     16 hex digits of a number, and a tag
    manifests/LLLLLLLLLLLLLLLL-CCCCCCCC.manifest         LSN of the checkpoint, and a counter
    restoring                 a backup is being restored here and is not whole yet
    labels                    where backups of this instance lie, for incremental ones that follow
    readers/PPPPPPPPPP-tag.lease                         process id in decimal, and a tag
    scratch/                  what the writing process has in work and nobody else looks at

Numbers have a fixed width, so that sorting names sorts numbers. A parser gives None for a foreign name: other
files in these directories are left alone. Names of the user are brought into Unicode's NFC form, so that
names that look the same are the same; messages and comments (`check_text`) stay as they are. Paths are relative
to an instance's root, with forward slashes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from absdb.errors import InvalidInputError

WAL_DIR = "wal"
PAGES_DIR = "pages"
MANIFESTS_DIR = "manifests"
READERS_DIR = "readers"
SCRATCH_DIR = "scratch"
DIRECTORIES = (WAL_DIR, PAGES_DIR, MANIFESTS_DIR, READERS_DIR)

CONTROL = "control"
LOCK = "lock"
CONF = "absdb.conf"
WATERMARK = "watermark"
ARCHIVE_STATUS = "archive-status"
RESTORING = "restoring"
LABELS = "labels"
RECOVERY_CONF = "recovery.conf"
RECOVERY_DONE = "recovery.done"
TEMPORARY_SUFFIX = ".tmp"
FETCHED_SUFFIX = ".fetched"

NAME_MAX = 255

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})")
_TORN = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})\.([0-9A-F]{16})\.torn")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
_PAGE_FILE = re.compile(r"([0-9A-F]{16})-([0-9a-z]{1,32})\.arrow")
_MANIFEST = re.compile(r"([0-9A-F]{16})-([0-9A-F]{8})\.manifest")
_LEASE = re.compile(r"([0-9]{10})-([0-9a-z]{1,32})\.lease")
_TAG = re.compile(r"[0-9a-z]{1,32}")


class SegmentName(NamedTuple):
    """What the name of a WAL segment says."""

    timeline: int
    segment: int


class TornTailName(NamedTuple):
    """What the name of a torn tail's side file says: the segment, and the LSN where the tail began."""

    timeline: int
    segment: int
    lsn: int


class PageFileName(NamedTuple):
    """What the name of a page file says."""

    number: int
    tag: str


class ManifestName(NamedTuple):
    """What the name of a manifest says."""

    lsn: int
    counter: int


class LeaseName(NamedTuple):
    """What the name of a reader's lease says."""

    pid: int
    tag: str


def wal_segment_name(timeline: int, segment: int) -> str:
    """`000000010000000000000000` for timeline 1, segment 0; InvalidInputError if a number does not fit."""
    return f"{hex_digits(timeline, 8, 'timeline')}{hex_digits(segment, 16, 'segment')}"


def parse_wal_segment_name(name: str) -> SegmentName | None:
    """Timeline and segment number of a WAL segment's name; None for any other name."""
    match = _SEGMENT.fullmatch(name)
    return SegmentName(int(match[1], 16), int(match[2], 16)) if match else None


def torn_tail_name(timeline: int, segment: int, lsn: int) -> str:
    """The side file that keeps the bytes cut off at `lsn`, beside the segment they were in."""
    return f"{wal_segment_name(timeline, segment)}.{hex_digits(lsn, 16, 'LSN')}.torn"


def parse_torn_tail_name(name: str) -> TornTailName | None:
    """Timeline, segment and LSN of a torn tail's side file; None for any other name."""
    match = _TORN.fullmatch(name)
    return TornTailName(int(match[1], 16), int(match[2], 16), int(match[3], 16)) if match else None


def fetched_segment_name(timeline: int, segment: int) -> str:
    """A segment that a recovery has fetched, beside the one that the backup has brought, if it has."""
    return wal_segment_name(timeline, segment) + FETCHED_SUFFIX


def is_fetched_segment(name: str) -> bool:
    """Whether a file in wal/ was fetched for a recovery: who begins one, or has ended one, removes it."""
    return parse_wal_segment_name(name.removesuffix(FETCHED_SUFFIX)) is not None and name.endswith(
        FETCHED_SUFFIX
    )


def timeline_history_name(timeline: int) -> str:
    """`00000002.history`: the file that says where timeline 2 branched off, and the timelines before it."""
    return f"{hex_digits(timeline, 8, 'timeline')}.history"


def parse_timeline_history_name(name: str) -> int | None:
    """The timeline of a history file's name; None for any other name."""
    match = _HISTORY.fullmatch(name)
    return int(match[1], 16) if match else None


def page_file_name(number: int, tag: str) -> str:
    """A page file's name; the tag is 1 to 32 of 0-9 and a-z."""
    return f"{hex_digits(number, 16, 'page file number')}-{_tag(tag)}.arrow"


def parse_page_file_name(name: str) -> PageFileName | None:
    """Number and tag of a page file's name; None for any other name."""
    match = _PAGE_FILE.fullmatch(name)
    return PageFileName(int(match[1], 16), match[2]) if match else None


def manifest_name(lsn: int, counter: int) -> str:
    """A manifest's name: the checkpoint's LSN, and a counter that tells two at one LSN apart."""
    return f"{hex_digits(lsn, 16, 'LSN')}-{hex_digits(counter, 8, 'counter')}.manifest"


def parse_manifest_name(name: str) -> ManifestName | None:
    """LSN and counter of a manifest's name; None for any other name."""
    match = _MANIFEST.fullmatch(name)
    return ManifestName(int(match[1], 16), int(match[2], 16)) if match else None


def reader_lease_name(pid: int, tag: str) -> str:
    """The lease of one reading connection in process `pid`; the tag is 1 to 32 of 0-9 and a-z."""
    if not 0 <= pid < 10**10:
        raise InvalidInputError(f"the process id {pid} does not fit into 10 decimal digits")
    return f"{pid:010d}-{_tag(tag)}.lease"


def parse_reader_lease_name(name: str) -> LeaseName | None:
    """Process id and tag of a reader's lease; None for any other name."""
    match = _LEASE.fullmatch(name)
    return LeaseName(int(match[1]), match[2]) if match else None


def is_temporary(name: str) -> bool:
    """Whether the file is left over from an atomic replacement that a crash cut short."""
    return name.endswith(TEMPORARY_SUFFIX)


def check_path(path: str, *, directory: bool = False) -> str:
    """The path itself, if it stays inside the root; the root is "" and allowed only for a directory.

    Raises InvalidInputError for a path that is absolute, climbs, has empty or dotted parts, a backslash, a
    drive letter's colon in front, or a NUL.
    """
    if path == "" and directory:
        return path
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts) or path[1:2] == ":":
        raise InvalidInputError(
            f"{path!r} is not a path inside the instance",
            hint="paths are relative to the root, with forward slashes and without '.' and '..'",
        )
    return path


def check_name(kind: str, text: str) -> str:
    """The name in NFC form, if it may name a `kind` ("database", "table", "column", "snapshot", ...).

    1 to 255 characters, none of them a control character, '/' or '@', and no blank at either end. Raises
    InvalidInputError that says which of these does not hold.
    """
    if not isinstance(text, str):
        raise InvalidInputError(f"the name of a {kind} must be text, not {type(text).__name__}")
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise InvalidInputError(f"the name of a {kind} is empty", hint="give it at least one character")
    if len(name) > NAME_MAX:
        raise InvalidInputError(
            f"the name of a {kind} has {len(name)} characters: {name[:40]!r}...",
            hint=f"use at most {NAME_MAX} characters",
        )
    if name != name.strip():
        raise InvalidInputError(
            f"{name!r} cannot name a {kind}: it begins or ends with a blank", hint=f"use {name.strip()!r}"
        )
    for character in name:
        if character in "/@":
            raise InvalidInputError(
                f"{name!r} cannot name a {kind}: it contains {character!r}",
                hint="'/' and '@' separate names from points in the past; use '-', '_' or '.' instead",
            )
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InvalidInputError(
                f"{name!r} cannot name a {kind}: it contains the control character U+{ord(character):04X}",
                hint="leave it out",
            )
    return name


def check_text(what: str, text: str) -> str:
    """The text itself, if it can be kept: a message, an author, a comment. InvalidInputError names `what`."""
    if not isinstance(text, str):
        raise InvalidInputError(f"{what} must be text, not {type(text).__name__}: {text!r}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise InvalidInputError(
                f"{what} {text[:40]!r} holds a surrogate, which is not a character", hint="leave it out"
            ) from problem
    return text


def check_names(what: str, names: Sequence[str]) -> list[str]:
    """Several names as a list; InvalidInputError for a text, which would be one name a letter, and for a name twice."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidInputError(
            f"{what} must be a list of names, not {names!r}",
            hint=f"write [{names!r}]" if isinstance(names, str) else "",
        )
    found = [normal_name(name) for name in names]
    twice = [name for name in found if found.count(name) > 1]
    if twice:
        raise InvalidInputError(f"{what} names {twice[0]!r} twice", hint="name it once")
    return found


def normal_name(text: str) -> str:
    """A name that is looked for, in the form names are kept in. InvalidInputError if it is no text."""
    if not isinstance(text, str):
        raise InvalidInputError(f"a name must be text, not {type(text).__name__}: {text!r}")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def hex_digits(number: int, digits: int, what: str) -> str:
    """The number in upper-case hex of fixed width, as all names here have it. InvalidInputError if it does not fit."""
    if not 0 <= number < 16**digits:
        raise InvalidInputError(f"the {what} {number} does not fit into {digits} hex digits")
    return f"{number:0{digits}X}"


def _tag(tag: str) -> str:
    """The tag itself, if it can be part of a file's name."""
    if not _TAG.fullmatch(tag):
        raise InvalidInputError(f"{tag!r} is not a tag for a file's name: 1 to 32 of 0-9 and a-z are")
    return tag
