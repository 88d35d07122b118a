"""The body of a COMMIT record: what one transaction changed in one database.

    bytes  field
        1  format (1)
        3  zero
        4  era
        then sections, each
        1  kind      1 META   JSON: author, message, kind of commit (only what is not empty)
                     2 SCHEMA JSON: entities changed, "kind:id" → descriptor or null
                     3 ROWS   rows of one table in the row encoding (engine/rowcodec.py)
                     4 BATCH  rows of one table as Arrow IPC
                     5 PAGES  JSON: page files that hold the rows of one table, written before this record
                     6 USED   JSON: allocator space → next value, for ids handed out from a block
        4  table id, 0 where there is none
        4  length, then as many bytes

ROWS is u32 layout checksum, u32 count, then per row u8 flags (1 deleted, 2 has a before image) and the row and
before image as flagged: a deleted row has only its before image. BATCH is u32 length and an IPC stream of the
changed rows (`_op` marks tombstones), then the same for the before images of those that existed. A key change is
a deletion of the old key and an upsert whose before image has the old key. Before images of PAGES are looked up
at the LSN before the record. Small change sets use ROWS, others BATCH, bulk ones PAGES.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from absdb.catalog.database import Changes, changes_from_json, changes_to_json
from absdb.catalog.schema import TableSchema
from absdb.engine.rowcodec import Row, RowCodec
from absdb.engine.rows import key_of
from absdb.errors import CorruptionError
from absdb.ids import EraId, TableId
from absdb.pages.key import equal, length, search, take
from absdb.pages.section import Key
from absdb.pages.types import physical_type

FORMAT = 1
META, SCHEMA, ROWS, BATCH, PAGES, USED = range(1, 7)
DELETED, HAS_BEFORE = 1, 2
_FLAGS = [bytes([flags]) for flags in range(4)]
_HEAD = struct.Struct("<BxxxI")
_SECTION = struct.Struct("<BII")
_ROWS_HEAD = struct.Struct("<II")
_U32 = struct.Struct("<I")


@dataclass(slots=True)
class RowChange:
    """One row's change. `row` is None for a deletion, `before` is None for a new row; both in stored order."""

    key: Key
    row: Row | None
    before: Row | None


@dataclass(slots=True)
class TableChange:
    """The net change of one table in one commit, in exactly one of three forms."""

    schema: TableSchema
    rows: list[RowChange] | None = None
    batch: pa.RecordBatch | None = None
    before: pa.RecordBatch | None = None
    pages: list[dict[str, Any]] | None = None
    run: Any = None
    inserted: int = 0
    updated: int = 0
    deleted: int = 0


@dataclass(slots=True)
class ChangeSet:
    """A decoded COMMIT body."""

    era: EraId
    meta: dict[str, Any] = field(default_factory=dict)
    schema_changes: Changes = field(default_factory=dict)
    tables: list[tuple[int, TableId, bytes]] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)


def codec_of(schema: TableSchema) -> RowCodec | None:
    """The row codec of a schema, made once; None if a column's type has no row form."""
    if "_row_codec" not in schema.__dict__:
        columns = [(c.page_name, physical_type(c.type)) for c in schema.stored]
        schema.__dict__["_row_codec"] = RowCodec.of(columns)
    codec: RowCodec | None = schema.__dict__["_row_codec"]
    return codec


def encode(
    era: EraId,
    tables: list[TableChange],
    *,
    meta: Mapping[str, Any],
    schema_changes: Changes,
    used: Mapping[str, int],
) -> bytes:
    """The body of a COMMIT record."""
    parts = [_opening(era, tuple(meta.items()) if meta else ())]
    if schema_changes:
        _add_section(parts, SCHEMA, 0, _json(changes_to_json(schema_changes)))
    for change in tables:
        if change.rows is not None:
            _add_section(parts, ROWS, change.schema.id, _encode_rows(change.schema, change.rows))
        elif change.batch is not None:
            _add_section(parts, BATCH, change.schema.id, _stream(change.batch) + _stream(change.before))
        else:
            data = _json({"pages": change.pages, "counts": _counts(change)})
            _add_section(parts, PAGES, change.schema.id, data)
    if used:
        _add_section(parts, USED, 0, _json(used))
    return b"".join(parts)


def _add_section(parts: list[bytes], kind: int, table: int, data: bytes) -> None:
    parts += (_SECTION.pack(kind, table, len(data)), data)


@lru_cache(maxsize=64)
def _opening(era: EraId, meta: tuple[tuple[str, str], ...]) -> bytes:
    """The head, and META if there is any. Kept, since one author makes many commits alike."""
    parts = [_HEAD.pack(FORMAT, era)]
    if meta:
        _add_section(parts, META, 0, _json(dict(meta)))
    return b"".join(parts)


def _counts(change: TableChange) -> list[int]:
    return [change.inserted, change.updated, change.deleted]


def decode(body: bytes) -> ChangeSet:
    """The sections of a COMMIT body; tables stay encoded until their schema is known."""
    changes = ChangeSet(_era_of(body))
    for kind, table, data in _sections(body):
        match kind:
            case 1:
                changes.meta = json.loads(data)
            case 2:
                changes.schema_changes = changes_from_json(json.loads(data))
            case 3 | 4 | 5:
                changes.tables.append((kind, TableId(table), data))
            case 6:
                changes.used = json.loads(data)
            case _:
                raise CorruptionError(f"a change set has a section of the unknown kind {kind}")
    return changes


def page_sections(body: bytes) -> Iterator[bytes]:
    """The JSON of each table whose rows lie in page files; costs little where there is none."""
    _era_of(body)
    return (data for kind, _, data in _sections(body) if kind == PAGES)


def _era_of(body: bytes) -> EraId:
    """The era of a body that can be read. CorruptionError for another format."""
    found, era = _HEAD.unpack_from(body)
    if found != FORMAT:
        raise CorruptionError(f"a change set has format {found}, this absdb knows {FORMAT}")
    return EraId(era)


def _sections(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = _HEAD.size
    while offset < len(body):
        if offset + _SECTION.size > len(body):
            raise CorruptionError("a change set is cut short")
        kind, table, length = _SECTION.unpack_from(body, offset)
        offset += _SECTION.size
        if offset + length > len(body):
            raise CorruptionError("a change set is cut short")
        yield kind, table, body[offset : offset + length]
        offset += length


def decode_table(kind: int, schema: TableSchema, data: bytes) -> TableChange:
    """One table's section, under the schema that held when it was written. Counts are filled in."""
    if kind == ROWS:
        change = TableChange(schema, rows=_decode_rows(schema, data))
    elif kind == BATCH:
        batch, rest = _read_stream(data)
        before, _ = _read_stream(rest)
        change = TableChange(schema, batch=batch, before=before)
    else:
        parsed = json.loads(data)
        change = TableChange(schema, pages=parsed["pages"])
        change.inserted, change.updated, change.deleted = parsed["counts"]
        return change
    count_rows(change)
    return change


def count_rows(change: TableChange) -> None:
    """Fill in inserted, updated and deleted of a change in the form of rows or a batch."""
    if change.rows is not None:
        for item in change.rows:
            if item.row is None:
                change.deleted += 1
            elif item.before is None:
                change.inserted += 1
            else:
                change.updated += 1
    elif change.batch is not None:
        at = change.batch.schema.get_field_index("_op")
        ops = None if at < 0 else change.batch.column(at).to_numpy(zero_copy_only=False)
        tombstones = 0 if ops is None else int((ops == 1).sum())
        existed = 0 if change.before is None else change.before.num_rows
        change.deleted = 0 if ops is None else _existing(change, np.flatnonzero(ops == 1))
        change.updated = existed - change.deleted
        change.inserted = change.batch.num_rows - tombstones - change.updated


def _existing(change: TableChange, tombstones: np.ndarray[Any, Any]) -> int:
    """How many tombstones of a batch are of rows that were there: those of a merge may say that a row stays away."""
    if change.before is None or not len(tombstones):
        return 0
    spec, batch = change.schema.key_spec, change.batch
    assert batch is not None
    gone = take(spec.keys_of(spec.with_key(batch)), tombstones)
    before = spec.keys_of(spec.with_key(change.before))
    if length(before) >= batch.num_rows:
        return len(tombstones)
    place = np.minimum(search(before, gone), length(before) - 1)
    return int(equal(take(before, place), gone).sum())


def _encode_rows(schema: TableSchema, rows: list[RowChange]) -> bytes:
    codec = codec_of(schema)
    assert codec is not None
    parts = [_ROWS_HEAD.pack(codec.layout, len(rows))]
    for change in rows:
        row, before = change.row, change.before
        if before is None:
            assert row is not None
            parts += (_FLAGS[0], codec.encode(row))
        elif row is None:
            parts += (_FLAGS[DELETED | HAS_BEFORE], codec.encode(before))
        else:
            parts += (_FLAGS[HAS_BEFORE], codec.encode(row), codec.encode(before))
    return b"".join(parts)


def _decode_rows(schema: TableSchema, data: bytes) -> list[RowChange]:
    codec = codec_of(schema)
    layout, count = _ROWS_HEAD.unpack_from(data)
    if codec is None or layout != codec.layout:
        raise CorruptionError(
            f"rows of table {schema.full_name!r} in the log have layout {layout:#010x}, the table another one"
        )
    offset, rows = _ROWS_HEAD.size, []
    for _ in range(count):
        flags = data[offset]
        offset += 1
        row = before = None
        if not flags & DELETED:
            row, offset = codec.decode(data, offset)
        if flags & HAS_BEFORE:
            before, offset = codec.decode(data, offset)
        known = row if row is not None else before
        if known is None:
            raise CorruptionError(f"a deletion in table {schema.full_name!r} names no row")
        rows.append(RowChange(key_of(schema, known), row, before))
    return rows


def _json(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _stream(batch: pa.RecordBatch | None) -> bytes:
    if batch is None or batch.num_rows == 0:
        return _U32.pack(0)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data = sink.getvalue()
    return _U32.pack(data.size) + data.to_pybytes()


def _read_stream(data: bytes) -> tuple[pa.RecordBatch | None, bytes]:
    (length,) = _U32.unpack_from(data)
    if length == 0:
        return None, data[4:]
    if length > len(data) - 4:
        raise CorruptionError("an Arrow batch in the log is cut short")
    with pa.ipc.open_stream(data[4 : 4 + length]) as reader:
        batch = reader.read_next_batch()
    return batch, data[4 + length :]
