"""Whether a diff of two points says what the model's two full copies say."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from absdb.engine.engine import Engine
from absdb.pages.types import can_widen, physical_type
from absdb.testing.model import ModelColumn, ModelTable, Row, State, as_type, by_ident
from absdb.versioning.as_of import Point
from absdb.versioning.diff import Diff
from absdb.versioning.diff_rows import diff_rows


def check_diff(engine: Engine, source: Point, old: State, target: Point, new: State) -> None:
    """Pairs of tables, counts, and every row that differs, for the tables that are on both sides."""
    diff = Diff(engine, source=source, target=target)
    before, after = by_ident(old), by_ident(new)
    related = {(p.source.id, p.target.name) for p in diff.pairs if p.related and p.source and p.target}
    assert related == {(i, after[i].name) for i in set(before) & set(after)}, related
    for pair in diff.pairs:
        found = diff.table_of(pair) if pair.source and pair.target else None
        if found is None or not pair.related or pair.target is None:
            continue
        expected = differences(before[pair.target.id], after[pair.target.id])
        counted = Counter(row["diff_type"] for row in expected)
        counts = tuple(counted[kind] for kind in ("added", "modified", "removed"))
        assert found.counts() == counts, (pair.target.name, found.counts(), counts)
        rows = diff_rows(found).read_all().to_pylist()
        assert _bag(rows) == _bag(expected), (pair.target.name, rows[:5], expected[:5])
    diff.summary()


def _bag(rows: list[dict[str, Any]]) -> Counter[Any]:
    """Rows in any order."""
    return Counter(_frozen(row) for row in rows)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((name, _frozen(each)) for name, each in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def differences(old: ModelTable, new: ModelTable) -> list[dict[str, Any]]:
    """The rows of a diff: keys, both sides of each column they share, and which of these differ."""
    shared = list(_shared(old, new))
    keys = {column.ident: column.name for column in new.columns if column.ident in new.key}
    found = []
    for key in sorted(set(old.rows) | set(new.rows)):
        before, after = old.rows.get(key), new.rows.get(key)
        sides = [(was, c, _value(before, was, c), _value(after, c, was)) for was, c in shared]
        changed = [c.name for was, c, a, b in sides if not _same(was, a, c, b)]
        if before is not None and after is not None and not changed:
            continue
        kind = "added" if before is None else "removed" if after is None else "modified"
        row: dict[str, Any] = {"diff_type": kind, "changed": changed if kind == "modified" else None}
        row.update({keys[ident]: part for ident, part in zip(new.key, key, strict=False)})
        for _, c, a, b in sides:
            row |= {f"from_{c.name}": a, f"to_{c.name}": b}
        found.append(row)
    return found


def _shared(old: ModelTable, new: ModelTable) -> list[tuple[ModelColumn, ModelColumn]]:
    """Columns on both sides, in the wider type; one that a side never had reads as its initial default there."""
    sides = ({c.origin: c for c in old.columns}, {c.origin: c for c in new.columns})
    found: list[tuple[ModelColumn, ModelColumn]] = []
    for column in (*new.columns, *(c for c in old.columns if c.origin not in sides[1])):
        gone = column.origin in old.retired or column.origin in new.retired
        if column.ident in new.key or gone or any(column.name == c.name for _, c in found):
            continue
        found.append((sides[0].get(column.origin, column), sides[1].get(column.origin, column)))
    return found


def _value(row: Row | None, column: ModelColumn, other: ModelColumn) -> Any:
    """A side's value of a column, in the wider of the types it has on the two sides if that is a widening."""
    if row is None:
        return None
    value = as_type(row.get(column.ident, column.initial), column.type)
    return as_type(value, other.type) if _widens(column, other) else value


def _widens(column: ModelColumn, other: ModelColumn) -> bool:
    return column.ident == other.ident or can_widen(physical_type(column.type), physical_type(other.type))


def _same(was: ModelColumn, before: Any, now: ModelColumn, after: Any) -> bool:
    """Whether two values of a column are one; after a change of type, whether the older casts to the newer."""
    if before is None or after is None or _widens(was, now) or _widens(now, was):
        return bool(before == after)
    if now.ident in was.past:
        was, before, now, after = now, after, was, before
    try:
        plain = now.type.value_type if pa.types.is_dictionary(now.type) else now.type
        return bool(pa.scalar(before, was.type).cast(plain, safe=True).as_py() == after)
    except pa.ArrowInvalid:
        return False
