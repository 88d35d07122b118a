"""The manifest of a backup: which files it consists of and where each of them lies. Written last, never changed.

Three lines, each a JSON value:

    {"absdb_backup": 1, "label": …, …}     what anybody may know, key or not: `Backup`, but for the names of databases
                                           and the comment of an encrypted backup
    "KLUv/S…"                              base64 of the body, stored as files are: zstd, encrypted if there is a key
    {"sha256": "…"}                        of all bytes before

The body is JSON, too:

    origins    [label, URL, backup id, compression, encrypted]; origin 0 is this backup, URL "" its own repository
    files      [path, kind, raw bytes, CRC-32C of them, stored bytes, SHA-256 of the stored object, lengths of its
                parts, origin, place, skipped]
    databases, comment

`kind` is page, log (a chunk of the commit log), wal, history (of timelines), manifest, control or conf. `path` is where
the file belongs in an instance, `place` the name of the object below the label, without the codec's suffix. Of a
segment's bytes behind its header the first `skipped` are not stored: they are older than the checkpoint. An incremental
backup names files where they lie, however many backups ago they were stored, so that a long chain costs a restore
nothing.

Bytes are believed only when their checksum, sizes and names have been checked. Encryption binds the body to its header.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, fields, replace
from typing import Any

from absdb.backup.codec import codec as codecs
from absdb.backup.codec.codec import ENCRYPTED_SUFFIX, PART_BYTES, STORED_PART_BYTES_MAX, Codec
from absdb.backup.codec.compression import SUFFIXES
from absdb.backup.codec.encryption import HEADER_BYTES
from absdb.backup.codec.key import Key
from absdb.catalog.manifest import is_chunk_name
from absdb.errors import CorruptionError, FormatVersionError, InvalidInputError
from absdb.ids import LSN_MAX, Lsn
from absdb.object_names import check_label, is_backup_place
from absdb.paths import (
    CONF,
    CONTROL,
    MANIFESTS_DIR,
    PAGES_DIR,
    WAL_DIR,
    parse_manifest_name,
    parse_page_file_name,
    parse_timeline_history_name,
    parse_wal_segment_name,
)

FORMAT = 1
MANIFEST_BYTES_MAX = 256 << 20
BODY_BYTES_MAX = 1 << 30
FILE_BYTES_MAX = 1 << 50
KINDS = ("full", "incremental", "database")
COMPRESSIONS = (None, "lz4", "zstd")


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose objects files are: `url` is "" for the repository that the manifest lies in."""

    label: str
    url: str
    id: str
    compression: str | None
    encrypted: bool

    @property
    def suffix(self) -> str:
        """What the codec has added to the names of objects."""
        return SUFFIXES[self.compression] + (ENCRYPTED_SUFFIX if self.encrypted else "")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of the instance, and the object that holds it."""

    path: str
    kind: str
    raw_bytes: int
    crc: int
    stored_bytes: int
    sha256: str
    parts: tuple[int, ...]
    origin: int
    place: str
    skipped: int = 0

    def to_json(self) -> list[Any]:
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def from_json(cls, data: Any) -> StoredFile:
        """ValueError or TypeError for what is none."""
        path, kind, raw, crc, stored, sha, parts, origin, place, skipped = data
        return cls(path, kind, raw, crc, stored, sha, tuple(parts), origin, place, skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What is known of a backup without its list of files. LSNs are plain numbers, times µs since 1970 UTC.

    `raw_bytes` and `files` count all that a restore brings back; `stored_bytes` and `stored_files` what this backup has
    added to its repository.
    """

    label: str
    kind: str
    id: str
    instance_id: str
    timeline: int
    segment_bytes: int
    checkpoint_lsn: int
    start_lsn: int
    end_lsn: int
    end_us: int
    started_us: int
    finished_us: int
    base_label: str
    base_url: str
    files: int
    raw_bytes: int
    stored_files: int
    stored_bytes: int
    compression: str | None
    key_id: str
    version: str
    wal_archive_target: str
    begin_sha256: str
    needs: tuple[tuple[str, str], ...] = ()
    """(label, URL) of the backups whose objects it names; URL "" for its own repository."""
    databases: tuple[str, ...] = ()
    comment: str = ""

    @property
    def encrypted(self) -> bool:
        return bool(self.key_id)


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """A backup and its files. `origins[0]` is the backup itself."""

    backup: Backup
    origins: tuple[Origin, ...]
    files: tuple[StoredFile, ...]

    def own(self) -> list[StoredFile]:
        """Files that this backup has stored itself."""
        return [file for file in self.files if file.origin == 0]


_SECRET = ("databases", "comment")
_HEADER_NAMES = tuple(field.name for field in fields(Backup))


def to_bytes(manifest: BackupManifest, key: Key | None) -> bytes:
    """The manifest's object."""
    backup = manifest.backup
    hidden = _SECRET if backup.encrypted else ()
    header = {name: getattr(backup, name) for name in _HEADER_NAMES if name not in hidden}
    first = _line({"absdb_backup": FORMAT, **header})
    body = {
        "origins": [[o.label, o.url, o.id, o.compression, o.encrypted] for o in manifest.origins],
        "files": [file.to_json() for file in manifest.files],
        "databases": backup.databases,
        "comment": backup.comment,
    }
    stored = codecs.encode(Codec("zstd", key), _context(first), _line(body))
    start = first + _line(base64.b64encode(stored).decode())
    return start + _line({"sha256": hashlib.sha256(start).hexdigest()})


def header_of(data: bytes, where: str) -> Backup:
    """What anybody may know of a backup. CorruptionError unless every byte is as written."""
    return _header(_lines(data, where)[0], where)


def from_bytes(data: bytes, key: Key | None, where: str) -> BackupManifest:
    """The whole manifest. StateError without the key, CorruptionError for bytes that were not written so."""
    first, second, _ = _lines(data, where)
    backup = _header(first, where)
    try:
        stored = base64.b64decode(json.loads(second), validate=True)
        text = codecs.decode(
            "zstd", _context(first), stored, encrypted=backup.encrypted, key=key, limit=BODY_BYTES_MAX
        )
        body = json.loads(text)
        origins = tuple(Origin(*each) for each in body["origins"])
        files = tuple(StoredFile.from_json(each) for each in body["files"])
        backup = replace(backup, databases=tuple(body["databases"]), comment=body["comment"])
    except (binascii.Error, ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged(where, f"its list of files cannot be read: {error}") from error
    _check_origins(backup, origins, where)
    _check_files(files, origins, where)
    return BackupManifest(backup, origins, files)


def damaged(where: str, what: str) -> CorruptionError:
    """The error for a manifest that is not what was written."""
    return CorruptionError(
        f"{where}: {what}",
        hint="use another backup; `absdb backup --verify` says which are whole",
        path=where,
    )


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _context(first: bytes) -> str:
    """What the body is encrypted for: this header and no other."""
    return f"manifest {hashlib.sha256(first).hexdigest()}"


def _lines(data: bytes, where: str) -> tuple[bytes, bytes, bytes]:
    """The three lines, when the checksum holds."""
    start = data.rfind(b"\n", 0, len(data) - 1) + 1
    last = data[start:]
    if last != _line({"sha256": hashlib.sha256(data[:start]).hexdigest()}):
        raise damaged(where, "its bytes do not have the checksum that ends it")
    first, separator, second = data[:start].partition(b"\n")
    if not separator or second.count(b"\n") != 1:
        raise damaged(where, "it does not have three lines")
    return first + b"\n", second, last


def _header(first: bytes, where: str) -> Backup:
    try:
        header = json.loads(first)
        version = header["absdb_backup"]
        if type(version) is not int or version < 1:
            raise ValueError(f"format {version!r}")
        if version > FORMAT:
            raise FormatVersionError(
                f"{where} was written by a newer absdb: format {version}, this one knows {FORMAT}",
                hint="upgrade absdb",
                path=where,
                found=version,
                known=FORMAT,
            )
        named = {name: header[name] for name in _HEADER_NAMES if name in header}
        named["needs"] = tuple((label, url) for label, url in named["needs"])
        backup = Backup(**{**named, "databases": tuple(named.get("databases", ()))})
        _check_header(backup)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise damaged(where, f"its first line cannot be read: {error}") from error
    return backup


def _check_header(backup: Backup) -> None:
    """ValueError for what no backup can say of itself."""
    for label in (backup.label, *(label for label, _ in backup.needs)):
        check_label(label)
    if backup.kind not in KINDS or backup.compression not in COMPRESSIONS:
        raise ValueError(f"kind {backup.kind!r}, compression {backup.compression!r}")
    if len(bytes.fromhex(backup.instance_id)) != 16 or len(bytes.fromhex(backup.id)) != 16:
        raise ValueError("ids have 32 hex digits")
    numbers = ("timeline", "checkpoint_lsn", "start_lsn", "end_lsn", "files", "raw_bytes", "segment_bytes")
    for name in (*numbers, "stored_files", "stored_bytes"):
        value = getattr(backup, name)
        if type(value) is not int or not 0 <= value <= LSN_MAX:
            raise ValueError(f"{name} is {value!r}")
    if not backup.checkpoint_lsn <= backup.end_lsn:
        raise ValueError(f"it ends at {Lsn(backup.end_lsn)}, before its checkpoint")


def _check_origins(backup: Backup, origins: tuple[Origin, ...], where: str) -> None:
    own = Origin(backup.label, "", backup.id, backup.compression, backup.encrypted)
    if not origins or origins[0] != own:
        raise damaged(where, "its first origin is not the backup itself")
    if backup.needs != tuple((origin.label, origin.url) for origin in origins[1:]):
        raise damaged(where, "it does not say of all backups that it needs them")
    for origin in origins:
        try:
            check_label(origin.label)
            bytes.fromhex(origin.id)
        except (InvalidInputError, ValueError, TypeError) as error:
            raise damaged(where, f"an origin cannot be: {error}") from error
        if origin.compression not in COMPRESSIONS or not isinstance(origin.url, str):
            raise damaged(where, f"an origin cannot be: {origin}")


def _check_files(files: tuple[StoredFile, ...], origins: tuple[Origin, ...], where: str) -> None:
    seen = set[str]()
    for file in files:
        fault = _fault(file, len(origins)) or ("it is there twice" if file.path in seen else "")
        if not fault and not _parts_fit(file, encrypted=origins[file.origin].encrypted):
            fault = "its parts do not add up"
        if fault:
            raise damaged(where, f"the file {str(file.path)[:80]!r}: {fault}")
        seen.add(file.path)


def _fault(file: StoredFile, origins: int) -> str:
    """What keeps this from being a file of a backup; "" if nothing does."""
    if not isinstance(file.path, str) or not _belongs(file.kind, file.path):
        return f"it cannot be a file of kind {file.kind!r}"
    sizes = (file.raw_bytes, file.stored_bytes, file.skipped, *file.parts)
    if any(type(size) is not int or not 0 <= size <= FILE_BYTES_MAX for size in sizes):
        return "a size is not one"
    if type(file.crc) is not int or not 0 <= file.crc < 1 << 32:
        return "its CRC-32C is none"
    if not isinstance(file.sha256, str) or len(file.sha256) != 64:
        return "its SHA-256 is none"
    if type(file.origin) is not int or not 0 <= file.origin < origins:
        return "it lies nowhere"
    if not isinstance(file.place, str) or not is_backup_place(file.place):
        return f"no object can be called {str(file.place)[:80]!r}"
    return ""


def _parts_fit(file: StoredFile, *, encrypted: bool) -> bool:
    wanted = max(1, -(-file.raw_bytes // PART_BYTES))
    head = HEADER_BYTES if encrypted else 0
    return (
        len(file.parts) == wanted
        and sum(file.parts) + head == file.stored_bytes
        and max(file.parts) <= STORED_PART_BYTES_MAX
    )


def _belongs(kind: str, path: str) -> bool:
    """Whether a file of this kind may lie at this path of an instance."""
    directory, _, name = path.rpartition("/")
    match kind:
        case "page":
            return directory == PAGES_DIR and parse_page_file_name(name) is not None
        case "log":
            return directory == PAGES_DIR and is_chunk_name(name)
        case "wal":
            return directory == WAL_DIR and parse_wal_segment_name(name) is not None
        case "history":
            return directory == WAL_DIR and parse_timeline_history_name(name) is not None
        case "manifest":
            return directory == MANIFESTS_DIR and parse_manifest_name(name) is not None
        case "control":
            return path == CONTROL
        case "conf":
            return path == CONF
    return False
