"""Arrow out as pandas, without a loss: rows of tables, and the listings that metadata calls give.

    rows        integers and booleans with NULLs become pandas' nullable Int64, boolean and so on, never
                floats or objects; lists, structs and maps that hold such, or UUIDs, are Python's own lists
                and dicts (maps: lists of pairs); everything else is as pyarrow makes it
                their `attrs` say where they came from, if the Arrow schema does
    with_texts  rows in which few texts come again and again
    listings    text is `object` with None, times are datetime64[us, UTC], lists are Python lists: the same
                dtypes in every pandas from 2.2 on, whether there are rows or not

pandas is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from absdb.frame_origin import attributes_of

if TYPE_CHECKING:
    import pandas as pd


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Rows as a DataFrame with a plain index, and in its `attrs` where they came from."""
    frame = _converted(table)
    if table.schema.metadata:
        frame.attrs = attributes_of(table.schema)
    return frame


def _converted(table: pa.Table) -> pd.DataFrame:
    holes = [name for name in table.column_names if _needs_nullable(table.column(name))]
    nested = [name for name in table.column_names if _needs_python(table.column(name))]
    apart = [*holes, *nested]
    frame: pd.DataFrame = table.drop_columns(apart).to_pandas() if apart else table.to_pandas()
    if not apart:
        return frame
    import pandas as pd

    mapper = _nullable_types().get
    columns = dict(table.select(holes).to_pandas(types_mapper=mapper).items())
    columns |= {name: pd.Series(table.column(name).to_pylist(), dtype="object") for name in nested}
    for at, name in enumerate(table.column_names):
        if name in columns:
            frame.insert(at, name, columns[name])
    return frame


def with_texts(table: pa.Table) -> pd.DataFrame:
    """Rows as a DataFrame in which dictionaries of text are text, each in memory once, however many rows have it."""
    import numpy as np
    import pandas as pd

    names = [field.name for field in table.schema if pt.is_dictionary(field.type)]
    frame = to_pandas(table.drop_columns(names))
    for at, name in enumerate(table.column_names):
        if name in names:
            column = table.column(name).unify_dictionaries().combine_chunks()
            texts = np.array([*column.dictionary.to_pylist(), None], dtype=object)
            values = texts[column.indices.fill_null(len(texts) - 1).to_numpy()]
            frame.insert(at, name, pd.Series(values, dtype="object"))
    return frame


def _needs_nullable(column: pa.ChunkedArray) -> bool:
    return bool(column.null_count) and (pt.is_integer(column.type) or pt.is_boolean(column.type))


def _needs_python(column: pa.ChunkedArray) -> bool:
    """Whether pyarrow would make floats of whole numbers inside the values, or does not know what is in them."""
    if not pt.is_nested(column.type):
        return False
    return _has_extension(column.type) or any(map(_has_holes, column.chunks))


def _has_extension(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return True
    return any(_has_extension(kind.field(i).type) for i in range(kind.num_fields))


def _has_holes(values: pa.Array) -> bool:
    """Whether NULLs stand among integers or booleans, at any depth."""
    if pt.is_integer(values.type) or pt.is_boolean(values.type):
        return bool(values.null_count)
    return any(map(_has_holes, _inside(values)))


def _inside(values: pa.Array) -> list[pa.Array]:
    """The arrays that a nested array is made of; none for what is not lists, structs or maps."""
    kind = values.type
    if pt.is_struct(kind):
        return list(values.flatten())
    if pt.is_map(kind):
        return [values.keys, values.items]
    lists = pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind)
    return [values.flatten()] if lists else []


def _nullable_types() -> dict[pa.DataType, Any]:
    import pandas as pd

    return {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.uint8(): pd.UInt8Dtype(),
        pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(),
        pa.uint64(): pd.UInt64Dtype(),
    }


def listing(table: pa.Table) -> pd.DataFrame:
    """A listing as a DataFrame whose dtypes depend on its schema only."""
    import pandas as pd

    columns = {field.name: _listed(table.column(field.name), field) for field in table.schema}
    return pd.DataFrame(columns, columns=table.column_names)


def _listed(column: pa.ChunkedArray, field: pa.Field) -> pd.Series[Any]:
    import pandas as pd

    if pt.is_timestamp(field.type):
        return column.to_pandas()
    if pt.is_integer(field.type):
        return pd.Series(column.to_pylist(), dtype="Int64" if field.nullable else "int64")
    if pt.is_boolean(field.type):
        return pd.Series(column.to_pylist(), dtype="boolean" if field.nullable else "bool")
    if pt.is_floating(field.type):
        return pd.Series(column.to_pylist(), dtype="float64")
    return pd.Series(column.to_pylist(), dtype="object")
