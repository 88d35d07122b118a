"""Where a frame came from: a small JSON text that travels with it, in Arrow's schema metadata and pandas' `attrs`.

    {"instance":"/data/shop","id":"6f…","database":"main","lsn":"0/4096","time":"2026-01-01 00:00:00Z",
     "kind":"query","query":"SELECT …","parameters":{"p1":7}}

It stands under the one name `absdb`. The same read of the same state has the same text, whatever the process; it is a
few hundred bytes, and what would make it large is cut or left out, and named under `lost`. Nothing in it is ever stored
in a database. Made by engine/origin.py, read again by frame_refresh.py.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa

from absdb.clock import format_time, parse_time, to_datetime
from absdb.errors import InvalidInputError
from absdb.ids import Lsn
from absdb.reprs import grid, page

NAME = "absdb"
QUERY_MAX = 4_000
"""Characters of a query that are kept."""
VALUES_MAX = 1_000
"""Characters of JSON that parameters, keys and other options may have; larger ones are not kept."""
_ATTRIBUTES = (b"PANDAS_ATTRS", b"pandas")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
T = TypeVar("T", pa.Table, pa.RecordBatch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a frame came from: what was read, of which database, at which LSN.

    `kind` is table, query, diff, content diff, query diff, history or blame. `time` is that of the last commit
    at or before `lsn`, None if there was none. `parameters` are by name, those for `?` being p1, p2, …; `options` is
    what else was asked for. A diff is against `against` at `against_lsn`. `uncommitted`: an open transaction had
    written what the frame may show. `lost` names what was not kept, without which it cannot be read again.
    """

    instance: str
    instance_id: str
    database: str
    lsn: Lsn
    time_us: int | None = field(repr=False)
    kind: str
    table: str | None = None
    query: str | None = None
    parameters: Mapping[str, Any] | None = None
    against: str | None = None
    against_lsn: Lsn | None = None
    options: Mapping[str, Any] | None = None
    schema: str | None = None
    uncommitted: bool = False
    lost: tuple[str, ...] = ()

    @property
    def time(self) -> dt.datetime | None:
        """When the last commit at or before the LSN was made, UTC."""
        return None if self.time_us is None else to_datetime(self.time_us)

    def to_text(self) -> str:
        """The JSON text that travels with frames."""
        parts = [_place(self.instance, self.instance_id, self.database, int(self.lsn), self.time_us)]
        parts.append(f'"kind":{_encode(self.kind)}')
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value:
                shown = str(value) if isinstance(value, Lsn) else value
                parts.append(f'"{name}":{_encode(shown)}')
        return f"{{{','.join(parts)}}}"

    def _named(self) -> str:
        if self.query is not None:
            return "query"
        return f"{self.kind} of {self.table}" if self.kind != "table" else str(self.table)

    def _facts(self) -> list[str]:
        against = [] if self.against is None else [f"against {self.against} @ {self.against_lsn}"]
        time = [] if self.time_us is None else [format_time(self.time_us)]
        lost = [f"without its {', '.join(self.lost)}"] if self.lost else []
        uncommitted = ["with uncommitted changes"] if self.uncommitted else []
        return [f"{self.database} @ {self.lsn}", *against, *time, *uncommitted, *lost]

    def __repr__(self) -> str:
        query = "" if self.query is None else f": {' '.join(self.query.split())}"
        given = "" if self.parameters is None else f" with {dict(self.parameters)}"
        return f"<Provenance {self._named()} of {', '.join(self._facts())}, instance {self.instance}{query}{given}>"

    def _repr_html_(self) -> str:
        rows = [("instance", self.instance), ("query", self.query)]
        rows += [
            (name, str(dict(v)))
            for name, v in (("parameters", self.parameters), ("options", self.options))
            if v
        ]
        return page(
            "Provenance", self._named(), self._facts(), grid(["", ""], [row for row in rows if row[1]])
        )


_OPTIONAL = [each.name for each in fields(Provenance)][6:]


@lru_cache(maxsize=256)
def _place(instance: str, instance_id: str, database: str, lsn: int, time_us: int | None) -> str:
    """The members that all frames of one state have in common."""
    place = {"instance": instance, "id": instance_id, "database": database, "lsn": str(Lsn(lsn))}
    time = {} if time_us is None else {"time": format_time(time_us)}
    return _encode({**place, **time})[1:-1]


def kept_values(values: Any) -> Any:
    """Plain values as JSON can hold them, to be turned back by `given_values`; ValueError for what is not kept.

    Plain are None, booleans, finite numbers, texts, dates, times, decimals, and lists and dicts of such, all together
    no longer than VALUES_MAX.
    """
    found = _kept(values)
    if len(_encode(found)) > VALUES_MAX:
        raise ValueError("too long to be kept")
    return found


def _kept(value: Any) -> Any:
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind in (list, tuple):
        return [_kept(each) for each in value]
    if isinstance(value, Mapping):
        return {"dict": {str(name): _kept(each) for name, each in value.items()}}
    if kind in _TAGGED:
        return {_TAGGED[kind]: str(value) if kind is Decimal else value.isoformat()}
    raise ValueError(f"a {kind.__name__} is not kept")


def given_values(kept: Any) -> Any:
    """The values that `kept_values` made this of; tuples have become lists."""
    if isinstance(kept, list):
        return [given_values(each) for each in kept]
    if isinstance(kept, Mapping):
        ((kind, value),) = kept.items()
        if kind == "dict":
            return {name: given_values(each) for name, each in value.items()}
        return Decimal(value) if kind == "decimal" else _TYPES[kind].fromisoformat(value)
    return kept


_TYPES: dict[str, Any] = {"date": dt.date, "datetime": dt.datetime, "time": dt.time}
_TAGGED = {Decimal: "decimal", **{kind: name for name, kind in _TYPES.items()}}


def remembered(rows: T, origin: Provenance) -> T:
    """The rows with where they came from in the metadata of their schema."""
    return rows.replace_schema_metadata(metadata_of(origin))


def remembered_stream(batches: pa.RecordBatchReader, origin: Provenance) -> pa.RecordBatchReader:
    """A stream with where it comes from in the metadata of its schema and batches."""
    schema = batches.schema.with_metadata(metadata_of(origin))
    rows = (batch.replace_schema_metadata(schema.metadata) for batch in batches)
    return pa.RecordBatchReader.from_batches(schema, rows)


def metadata_of(origin: Provenance) -> dict[str, str]:
    """What Arrow keeps."""
    return {NAME: origin.to_text()}


def attributes_of(schema: pa.Schema) -> dict[Any, str]:
    """What the `attrs` of a pandas frame made from Arrow with that schema are to be."""
    text = (schema.metadata or {}).get(NAME.encode())
    return {} if text is None else {NAME: text.decode()}


def provenance(frame: Any) -> Provenance | None:
    """Where a frame came from; None for one that does not say.

    `frame` is a pandas frame or series, an Arrow table, batch, reader or schema, also after a Parquet file, or a
    Table, Result or diff of absdb. pandas hands it on to what is made from a frame, and drops it where frames that
    came from elsewhere are joined; Arrow hands on that of the first one. It says what was read, not what was done with
    it since. polars has no place for it. Costs some µs. InvalidInputError for what is no frame.

        absdb.provenance(main["orders"].to_pandas()).lsn
    """
    attributes = getattr(frame, "attrs", None)
    if isinstance(attributes, Mapping):
        return _read(attributes.get(NAME))
    own = getattr(frame, "_provenance", None)
    if own is not None:
        found: Provenance | None = own()
        return found
    schema = frame if isinstance(frame, pa.Schema) else getattr(frame, "schema", None)
    if isinstance(schema, pa.Schema):
        return _read(_text_in(schema.metadata or {}))
    if hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__"):
        return None
    raise InvalidInputError(
        f"a {type(frame).__name__} is no frame",
        hint="pass a pandas frame, or an Arrow table, batch or schema",
    )


def _text_in(metadata: Mapping[bytes, bytes]) -> Any:
    """The text in the metadata of Arrow's, or of what pandas wrote its `attrs` to."""
    if (text := metadata.get(NAME.encode())) is not None:
        return text
    for name in _ATTRIBUTES:
        found = json.loads(metadata.get(name, b"{}"))
        found = found.get("attributes") if name == b"pandas" else found
        if isinstance(found, dict) and NAME in found:
            return found[NAME]
    return None


def _read(text: Any) -> Provenance | None:
    """What a text says; None if it is none of ours, for anybody may use the name."""
    try:
        said = json.loads(text)
        said["lsn"] = Lsn.parse(said["lsn"])
        said["time_us"] = parse_time(said.pop("time")) if "time" in said else None
        said["lost"] = tuple(said.get("lost", ()))
        if "against_lsn" in said:
            said["against_lsn"] = Lsn.parse(said["against_lsn"])
        return Provenance(instance_id=said.pop("id"), **said)
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
