"""Arrow types as users see them and as pages hold them, and the ways in for frames.

A column has a *logical* type, what the user declared, and a *physical* type, what pages hold:

    logical                          physical
    extension (uuid, json, ...)      its storage type
    dictionary<index, value>         value
    run_end_encoded<ends, value>     value
    string_view, binary_view         large_string, large_binary
    list_view, large_list_view       list, large_list
    everything else                  itself; nested types child by child
    union                            refused: rows of a union cannot be compared

So physical arrays have few layouts, can be sliced, taken and concatenated, and any two of one column compare.
The order of the categories of an ordered dictionary is not kept: only the values are.

`encode_type` is how a logical type is written into manifests and the log: base64 of the Arrow IPC schema of a
single field, which keeps all that Arrow knows about a type.

Called by catalog/ (declaring and altering columns), by engine/ and sql/ (taking in frames, giving out tables)
and by the rest of pages/.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.errors import CorruptionError, InvalidInputError

_TIME_UNITS = {"s": 0, "ms": 1, "us": 2, "ns": 3}
_PLAIN_NAMES = {
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "date64[ms]": "date64",
    "month_day_nano_interval": "interval",
}


# ---------------------------------------------------------------- logical and physical


def physical_type(logical: pa.DataType) -> pa.DataType:
    """The type pages hold for a column of `logical`. Raises InvalidInputError for a union."""
    if isinstance(logical, pa.BaseExtensionType):
        return physical_type(logical.storage_type)
    if pt.is_dictionary(logical) or pt.is_run_end_encoded(logical):
        return physical_type(logical.value_type)
    if pt.is_string_view(logical):
        return pa.large_string()
    if pt.is_binary_view(logical):
        return pa.large_binary()
    if pt.is_union(logical):
        raise InvalidInputError(
            f"type {logical}: a column cannot hold a union", hint="use one column for each alternative"
        )
    if pt.is_nested(logical):
        return _map_children(logical, physical_type)
    return logical


def declared_type(logical: pa.DataType) -> pa.DataType:
    """`logical` with room to grow: dictionary indices of at least 32 bits, at any depth.

    A pandas categorical arrives with 8-bit indices; a table declared so could not be read as declared once it
    holds more than 127 categories. What a frame brings goes through this when it declares a table.
    """
    if pt.is_dictionary(logical) and logical.index_type.bit_width < 32:
        return pa.dictionary(pa.int32(), logical.value_type, logical.ordered)
    if pt.is_nested(logical) and not (pt.is_union(logical) or pt.is_run_end_encoded(logical)):
        views = pt.is_list_view(logical) or pt.is_large_list_view(logical)
        return logical if views else _map_children(logical, declared_type)
    return logical


def to_physical(array: pa.Array, logical: pa.DataType) -> pa.Array:
    """`array`, of type `logical`, as pages hold it; the same object if the types are equal."""
    return _convert(array, physical_type(logical))


def to_logical(array: pa.Array, logical: pa.DataType) -> pa.Array:
    """A physical `array` as a user of a `logical` column sees it; the same object if the types are equal."""
    return _convert(array, logical)


def _map_children(nested: pa.DataType, change: Any) -> pa.DataType:
    """The nested type with its child types changed; names, nullability and metadata of the children stay.

    List views become lists.
    """

    def field(child: pa.Field) -> pa.Field:
        return child.with_type(change(child.type))

    if pt.is_struct(nested):
        return pa.struct([field(nested.field(i)) for i in range(nested.num_fields)])
    if pt.is_map(nested):
        return pa.map_(field(nested.key_field), field(nested.item_field), keys_sorted=nested.keys_sorted)
    if pt.is_fixed_size_list(nested):
        return pa.list_(field(nested.value_field), nested.list_size)
    if pt.is_large_list(nested) or pt.is_large_list_view(nested):
        return pa.large_list(field(nested.value_field))
    return pa.list_(field(nested.value_field))


def _convert(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Between the logical and the physical form of one column, in either direction."""
    source = array.type
    if source.equals(target):
        return array
    if isinstance(source, pa.BaseExtensionType):
        return _convert(array.storage, target)
    if isinstance(target, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(target, _convert(array, target.storage_type))
    if pt.is_dictionary(source):
        return _convert(array.dictionary, target).take(array.indices)
    if pt.is_dictionary(target):
        return _as_dictionary(array, target)
    if pt.is_run_end_encoded(source):
        rows = np.arange(array.offset, array.offset + len(array))
        runs = np.searchsorted(array.run_ends.to_numpy(), rows, side="right")
        return _convert(array.values, target).take(pa.array(runs))
    if pt.is_run_end_encoded(target):
        runs = pc.run_end_encode(array, run_end_type=target.run_end_type)
        values = _convert(runs.values, target.value_type)
        return pa.RunEndEncodedArray.from_arrays(runs.run_ends, values, type=target)
    if pt.is_list_view(source) or pt.is_large_list_view(source):
        return _from_list_view(array, target)
    if pt.is_list_view(target) or pt.is_large_list_view(target):
        return _as_list_view(_convert(array, _map_children(target, lambda child: child)), target)
    return _convert_children(array, target) if pt.is_nested(target) else array.cast(target)


def _convert_children(array: pa.Array, target: pa.DataType) -> pa.Array:
    """The same lists, maps or structs around converted children; the offset of a slice is kept."""
    if pt.is_struct(target):
        fields = [target.field(i) for i in range(target.num_fields)]
        children = [_convert(array.field(i), field.type) for i, field in enumerate(fields)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
    if pt.is_map(target):
        parts = [_convert(array.keys, target.key_type), _convert(array.items, target.item_type)]
        child = pa.StructArray.from_arrays(parts, fields=[target.key_field, target.item_field])
    else:
        child = _convert(array.values, target.value_type)
    own_buffers = array.buffers()[: 1 if pt.is_fixed_size_list(target) else 2]
    return pa.Array.from_buffers(
        target, len(array), own_buffers, null_count=array.null_count, offset=array.offset, children=[child]
    )


def _as_dictionary(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Not a cast, which pyarrow has for a few value types only."""
    if pt.is_nested(array.type):  # pyarrow cannot find repeated lists: every row becomes its own category
        encoded = pa.DictionaryArray.from_arrays(pa.array(range(len(array)), pa.int32()), array)
    else:
        encoded = array.dictionary_encode()
    try:
        indices = encoded.indices.cast(target.index_type)
    except pa.ArrowInvalid as problem:
        raise InvalidInputError(
            f"{len(encoded.dictionary)} categories are too many for indices of type {target.index_type}",
            hint="declare the column with wider dictionary indices",
        ) from problem
    values = _convert(encoded.dictionary, target.value_type)
    return pa.DictionaryArray.from_arrays(indices, values, ordered=target.ordered)


def _from_list_view(array: pa.Array, target: pa.DataType) -> pa.Array:
    """Not a cast: pyarrow 26 gets the offsets wrong where there are nulls."""
    kind, width = (pa.LargeListArray, np.int64) if pt.is_large_list(target) else (pa.ListArray, np.int32)
    lengths = pc.fill_null(array.value_lengths(), 0).to_numpy().astype(np.int64)
    offsets = np.zeros(len(array) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    items = np.arange(offsets[-1]) + np.repeat(array.offsets.to_numpy() - offsets[:-1], lengths)
    values = _convert(array.values, target.value_type).take(pa.array(items))
    return kind.from_arrays(pa.array(offsets.astype(width)), values, type=target, mask=array.is_null())


def _as_list_view(array: pa.Array, target: pa.DataType) -> pa.Array:
    kind = pa.LargeListViewArray if pt.is_large_list_view(target) else pa.ListViewArray
    sizes = pc.fill_null(array.value_lengths(), 0)
    starts = array.offsets.slice(0, len(array))
    return kind.from_arrays(starts, sizes, array.values, type=target, mask=array.is_null())


# ---------------------------------------------------------------- writing types down


def encode_type(logical: pa.DataType) -> str:
    """`logical` as ASCII text from which `decode_type` makes an equal type."""
    schema = pa.schema([pa.field("", logical)])
    return base64.b64encode(schema.serialize().to_pybytes()).decode("ascii")


@lru_cache(maxsize=1024)
def decode_type(text: str) -> pa.DataType:
    """The type `encode_type` wrote; an extension type this process does not know becomes its storage type."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text, validate=True))).field(0).type
    except (ValueError, IndexError, OSError, pa.ArrowException) as problem:
        raise CorruptionError(f"a column type cannot be read: {_shorten(text)!r}: {problem}") from problem


def describe_type(logical: pa.DataType) -> str:
    """The type as messages and listings show it: `timestamp[us, UTC]`, `list[float32]`, `uuid`."""
    if isinstance(logical, pa.BaseExtensionType):
        return logical.extension_name.removeprefix("arrow.")
    if pt.is_dictionary(logical):
        return f"dictionary[{describe_type(logical.value_type)}]"
    if pt.is_run_end_encoded(logical):
        return f"run_end_encoded[{describe_type(logical.value_type)}]"
    if pt.is_struct(logical):
        fields = (logical.field(i) for i in range(logical.num_fields))
        return f"struct[{', '.join(f'{field.name}: {describe_type(field.type)}' for field in fields)}]"
    if pt.is_map(logical):
        return f"map[{describe_type(logical.key_type)}, {describe_type(logical.item_type)}]"
    if pt.is_fixed_size_list(logical):
        return f"list[{describe_type(logical.value_type)}, {logical.list_size}]"
    if pt.is_nested(logical) and not pt.is_union(logical):
        return f"{str(logical).partition('<')[0]}[{describe_type(logical.value_type)}]"
    if pt.is_timestamp(logical):
        return f"timestamp[{logical.unit}, {logical.tz}]" if logical.tz else f"timestamp[{logical.unit}]"
    if pt.is_decimal(logical):
        return f"decimal({logical.precision}, {logical.scale})"
    if pt.is_fixed_size_binary(logical):
        return f"binary[{logical.byte_width}]"
    return _PLAIN_NAMES.get(str(logical), str(logical))


# ---------------------------------------------------------------- what a type can do


def is_orderable(physical: pa.DataType) -> bool:
    """Whether values of this physical type can be key values: scalars, except intervals and nulls."""
    if pt.is_null(physical) or pt.is_nested(physical) or pt.is_interval(physical):
        return False
    return physical_type(physical).equals(physical)


def can_widen(old_physical: pa.DataType, new_physical: pa.DataType) -> bool:
    """Whether every value of the old type is a value of the new one, so that a cast while reading is enough.

    Dates and timestamps may become finer down to microseconds, which hold the years within 292,000 of 1970;
    not nanoseconds, which end in 2262. A zone is never added, dropped or changed.
    """
    old, new = old_physical, new_physical
    if old.equals(new) or (pt.is_null(old) and not pt.is_nested(new)):
        return True
    if pt.is_integer(old):
        return _integer_fits(old, new)
    if pt.is_floating(old):
        return pt.is_floating(new) and old.bit_width < new.bit_width
    if pt.is_decimal(old) and pt.is_decimal(new):
        grown = new.bit_width >= old.bit_width and new.scale >= old.scale
        return grown and new.precision - new.scale >= old.precision - old.scale
    if pt.is_date32(old):
        return pt.is_timestamp(new) and new.tz is None and new.unit != "ns"
    if pt.is_timestamp(old) and pt.is_timestamp(new):
        finer = _TIME_UNITS[old.unit] < _TIME_UNITS[new.unit]
        return finer and new.unit != "ns" and old.tz == new.tz
    if pt.is_time(old) and pt.is_time(new):
        return _TIME_UNITS[old.unit] < _TIME_UNITS[new.unit]
    return (pt.is_string(old) and pt.is_large_string(new)) or (pt.is_binary(old) and pt.is_large_binary(new))


def _integer_fits(old: pa.DataType, new: pa.DataType) -> bool:
    """Floats hold integers exactly up to their mantissa: 24 bits in float32, 53 in float64."""
    if pt.is_float32(new) or pt.is_float64(new):
        return old.bit_width <= (16 if pt.is_float32(new) else 32)
    if not pt.is_integer(new) or new.bit_width <= old.bit_width:
        return False
    return pt.is_signed_integer(new) or pt.is_unsigned_integer(old)


# ---------------------------------------------------------------- frames in


def from_frame(frame: Any, types: Mapping[str, pa.DataType] | None = None) -> pa.Table | pa.RecordBatchReader:
    """Whatever holds rows as Arrow: a table, or a reader where the source is a stream.

    Accepted: pandas DataFrame (an index counts only if it is named, NaN means null), Arrow Table, RecordBatch
    and RecordBatchReader, a list of dicts (a missing key means null), a dict of columns, and anything with
    `__arrow_c_stream__` or `__arrow_c_array__`, such as a polars or DuckDB frame. `types` says what plain
    Python values are to become, by column; without it pyarrow infers. Arrow data is never cast.

    Raises InvalidInputError, naming the column and the types of its values, if pyarrow cannot take it.
    """
    types = types or {}
    pandas = sys.modules.get("pandas")
    if isinstance(frame, pa.RecordBatchReader):
        return _checked(frame)
    if isinstance(frame, pa.Table):
        return _checked(frame)
    if isinstance(frame, pa.RecordBatch):
        return _checked(pa.Table.from_batches([frame]))
    if pandas is not None and isinstance(frame, pandas.DataFrame):
        return _checked(_from_pandas(frame, types))
    if hasattr(frame, "__arrow_c_stream__"):
        return _checked(pa.RecordBatchReader.from_stream(frame))
    if hasattr(frame, "__arrow_c_array__"):
        return _checked(pa.Table.from_batches([pa.record_batch(frame)]))
    if isinstance(frame, Mapping):
        return _from_columns(frame, types)
    if isinstance(frame, Sequence) and not isinstance(frame, str | bytes):
        return _from_rows(frame, types)
    raise InvalidInputError(
        f"cannot take rows from a {_type_name(frame)}",
        hint="pass a DataFrame, an Arrow table or reader, a list of dicts or a dict of columns",
    )


def _checked(data: Any) -> Any:
    """`data`, unless two of its columns share a name."""
    names = data.schema.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"the frame has more than one column named {', '.join(map(repr, twice))}")
    return data


def _from_pandas(frame: Any, types: Mapping[str, pa.DataType]) -> pa.Table:
    columns: list[tuple[str, Any]] = [
        (name, frame.index.get_level_values(level))
        for level, name in enumerate(frame.index.names)
        if name is not None
    ]
    columns += [(name, frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    arrays = [_array(str(name), values, types.get(str(name))) for name, values in columns]
    return pa.Table.from_arrays(arrays, names=[str(name) for name, _ in columns])


def _from_columns(columns: Mapping[Any, Any], types: Mapping[str, pa.DataType]) -> pa.Table:
    for name, values in columns.items():
        if isinstance(values, str | bytes | Mapping | Set) or not hasattr(values, "__len__"):
            raise InvalidInputError(
                f"column {str(name)!r} is a {_type_name(values)}, expected a list or an array of its values",
                hint="to pass a single row, wrap it in a list: [{...}]",
            )
    arrays = {str(name): _array(str(name), values, types.get(str(name))) for name, values in columns.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidInputError(f"the columns differ in length: {lengths}")
    return pa.table(arrays)


def _from_rows(rows: Sequence[Any], types: Mapping[str, pa.DataType]) -> pa.Table:
    for position, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInputError(
                f"row {position} is a {_type_name(row)}, expected a dict of column names and values"
            )
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _from_columns({name: [row.get(name) for row in rows] for name in names}, types)


def _array(name: str, values: Any, type_: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    """One column from pandas, numpy, Arrow or Python values."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    pandas_values = type(values).__module__.partition(".")[0] == "pandas"
    try:
        array = pa.array(values, type=type_, from_pandas=pandas_values)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as problem:
        kinds = _value_kinds(values)
        wanted = f" as {describe_type(type_)}" if type_ is not None else ""
        raise InvalidInputError(
            f"column {name!r} cannot be taken in{wanted}: it holds values of {', '.join(kinds)} ({problem})",
            hint="convert the column to one type first" if len(kinds) > 1 else "",
        ) from problem
    if type_ is None and pt.is_binary(array.type) and "str" in (kinds := _value_kinds(values)):
        # pyarrow would take the strings among the bytes as bytes, without a word.
        raise InvalidInputError(f"column {name!r} cannot be taken in: it holds values of {', '.join(kinds)}")
    return array


def _value_kinds(values: Iterable[Any]) -> list[str]:
    """The names of the Python types in the first 100,000 values, without None."""
    return sorted({_type_name(value) for value in islice(iter(values), 100_000) if value is not None})


def _type_name(value: Any) -> str:
    module = type(value).__module__
    return type(value).__qualname__ if module == "builtins" else f"{module}.{type(value).__qualname__}"


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
