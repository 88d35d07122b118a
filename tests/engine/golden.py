"""The golden COMMIT bodies of format 1, in tests/golden/engine/format-1, written once.

`python -m tests.engine.golden` wrote them; it refuses to write what is there already. A new format gets a new
directory and a new writer; old files are never rewritten, since bodies like them are in users' logs.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from absdb.catalog.schema import Column, Default, TableSchema, Unique
from absdb.engine.changeset import RowChange, TableChange, count_rows, encode
from absdb.ids import ColumnId, EraId, TableId

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "engine" / "format-1"
ERA = EraId(7)

SCHEMA = TableSchema(
    id=TableId(3),
    name="orders",
    columns=(
        Column(id=ColumnId(4), name="id", type=pa.int64(), nullable=False),
        Column(id=ColumnId(5), name="note", type=pa.string(), default=Default("value", "-")),
        Column(id=ColumnId(6), name="price", type=pa.decimal128(9, 2)),
        Column(id=ColumnId(8), name="paid", type=pa.bool_()),
    ),
    key=(ColumnId(4),),
    constraints=(Unique("orders_note_unique", (ColumnId(5),)),),
)


def rows() -> TableChange:
    """Every kind of row change: a new row, one changed, one deleted, NULLs and text beyond ASCII."""
    from decimal import Decimal

    change = TableChange(
        SCHEMA,
        rows=[
            RowChange(1, (1, "Grüße", Decimal("12.50"), True), None),
            RowChange(2, (2, None, None, None), (2, "", Decimal("-0.01"), False)),
            RowChange(-9, None, (-9, "gone", Decimal("0.00"), None)),
        ],
    )
    count_rows(change)
    return change


def pages() -> TableChange:
    """A bulk change, as the log has it: page files by name."""
    change = TableChange(SCHEMA, pages=[{"files": [], "sections": [[]]}])
    change.inserted, change.updated, change.deleted = 5, 6, 7
    return change


BODIES = {
    "rows": lambda: encode(
        ERA, [rows()], meta={"author": "ann", "message": "first"}, schema_changes={}, used={"row:3": 17}
    ),
    "schema": lambda: encode(
        ERA,
        [],
        meta={},
        schema_changes={
            ("table", 3): SCHEMA,
            ("namespace", "sales"): {"name": "sales"},
            ("sequence", 9): None,
        },
        used={},
    ),
    "pages": lambda: encode(ERA, [pages()], meta={"kind": "merge"}, schema_changes={}, used={}),
}


def main() -> None:
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, make in BODIES.items():
        with (GOLDEN / f"{name}.bin").open("xb") as file:
            file.write(make())


if __name__ == "__main__":
    main()
