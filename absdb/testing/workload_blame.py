"""Whether blame says what the histories of single rows say, which are found in another way."""

from __future__ import annotations

import random
from typing import Any

from absdb.engine.engine import Engine
from absdb.engine.get import key_of
from absdb.engine.reader import TableReader
from absdb.testing.model import ModelTable
from absdb.versioning.blame import blame
from absdb.versioning.row_history import row_history

ROWS = 4


def check_blame(engine: Engine, reader: TableReader, table: ModelTable, chance: random.Random) -> None:
    """Every row has an LSN; of some rows, it and those of their cells are the last ones in the row's history."""
    found = blame(engine, reader)
    assert found.num_rows == len(table.rows), (table.name, found.num_rows)
    names = [column.name for column in table.key_columns]
    shown = list(zip(*(found.column(at).to_pylist() for at in range(len(names))), strict=True))
    assert not names or shown == sorted(table.rows), (table.name, shown)
    lsns = found.column(len(names)).to_pylist()
    assert None not in lsns, (table.name, lsns)
    column = chance.choice(table.columns).name
    cells = blame(engine, reader, columns=[column]).column(len(names) + 1).to_pylist()
    lost = any(number == reader.schema.id for _, number in engine.covers.expired)
    for at in chance.sample(range(len(shown)), min(ROWS, len(shown))):
        history = row_history(engine, reader.schema, reader.layers.lineage, key_of(reader.schema, shown[at]))
        *versions, last = zip(
            *(history.column(name).to_pylist() for name in _columns(history, column)), strict=True
        )
        assert lsns[at] == last[0], (table.name, shown[at], lsns[at], last)
        assert cells[at] == _last_change([*versions, last]) or (lost and cells[at] is None), (
            shown[at],
            cells[at],
        )


def _columns(history: Any, name: str) -> tuple[int, int, int]:
    """Where lsn, operation and a column of the table are; the table's own come last and may have the same names."""
    names = history.column_names
    return 0, 4, len(names) - 1 - names[::-1].index(name)


def _last_change(versions: list[tuple[Any, ...]]) -> str:
    """The LSN of the last version whose value differs from the one before, or that follows none."""
    changed, before = "", None
    for lsn, operation, value in versions:
        if before is None or (operation != "delete" and not _same(before[0], value)):
            changed = lsn
        before = None if operation == "delete" else (value,)
    return changed


def _same(one: Any, two: Any) -> bool:
    return bool(one == two) or repr(one) == repr(two)
