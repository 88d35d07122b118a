"""Verbs on rows inside one transaction, taken by chance on an engine and on the model at once, and compared.

A Session is a transaction of the engine with its ModelTransaction. `play_rows` takes one of the verbs that
change rows, by way of dicts, Arrow or page files. What the model refuses the engine must refuse too, and both
stay as they were; otherwise both return the same number and the table reads the same, in every way there is to
read it. The verbs on definitions are in workload_schema.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import TableSchema
from absdb.engine import intake
from absdb.engine.reader import TableReader
from absdb.engine.transaction import Transaction
from absdb.errors import AbsdbError, InvalidInputError
from absdb.pages.key import length, sort_order, take
from absdb.pages.types import to_physical
from absdb.pages.values import Converter
from absdb.testing.model import Key, ModelTable, ModelTransaction, Row
from absdb.testing.model_values import value_of

Given = list[dict[str, Any]]


class Refused(Exception):
    """The model does not accept this."""


@dataclass(slots=True)
class Session:
    """One open transaction, on the engine and in the model. `numbers` gives keys to rows without one."""

    tx: Transaction
    model: ModelTransaction
    numbers: count[int]

    def schema(self, table: ModelTable) -> TableSchema:
        return self.tx.catalog.table(table.name)

    def check(self, ident: int, chance: random.Random) -> None:
        """The transaction sees one table as the model has it."""
        for table in self.model.state.values():
            if table.ident == ident:
                check_table(self.tx.reader(self.schema(table)), table, chance)


def check_table(reader: TableReader, table: ModelTable, chance: random.Random) -> None:
    """All ways to read a table give the model's rows, in key order."""
    expected = table.listed()
    found = reader.to_table()
    assert found.schema.equals(table.arrow_schema), (found.schema, table.arrow_schema)
    found.validate(full=True)
    assert found.to_pylist() == expected, _difference(table, found.to_pylist(), expected)
    assert reader.count() == len(expected), (reader.count(), len(expected))
    names = chance.sample([c.name for c in table.columns], chance.randint(1, len(table.columns)))
    some = [row for batch in reader.scan(names) for row in batch.to_pylist()]
    assert some == [{name: row[name] for name in names} for row in expected], (names, some)
    if table.key:
        _check_keys(reader, table, chance)


def _difference(table: ModelTable, found: Given, expected: Given) -> str:
    missing = [row for row in expected if row not in found]
    extra = [row for row in found if row not in expected]
    return f"table {table.name}: missing {missing[:5]}, not expected {extra[:5]}, {len(found)} rows"


def _check_keys(reader: TableReader, table: ModelTable, chance: random.Random) -> None:
    """Look-ups of single keys and of many, there and not there."""
    schema = reader.schema
    keys = list(table.rows)
    probes = chance.sample(keys, min(3, len(keys)))
    probes += [tuple(value_of(c.type, chance, nullable=False) for c in table.key_columns) for _ in range(2)]
    converters = {c.ident: Converter.of(c.type, c.name) for c in table.columns}
    for probe in probes:
        parts = [converters[ident].to_physical(part) for ident, part in zip(table.key, probe, strict=True)]
        row = reader.row(schema.key_spec.encode_one(parts))
        there = table.rows.get(probe)
        wanted = there and tuple(converters[c.ident].to_physical(there[c.ident]) for c in table.columns)
        assert row == wanted, (table.name, probe, row, wanted)
        assert reader.exists(schema.key_spec.encode_one(parts)) == (there is not None)
    columns = zip(*dict.fromkeys(probes), strict=True)
    arrays = [
        to_physical(pa.array(values, c.type), c.type)
        for values, c in zip(columns, table.key_columns, strict=True)
    ]
    encoded = schema.key_spec.encode(arrays)
    order = sort_order(encoded)
    alive = reader.lookup(take(encoded, order)).alive
    unique = list(dict.fromkeys(probes))
    assert length(encoded) == len(unique)
    assert alive.tolist() == [unique[at] in table.rows for at in order.tolist()], (table.name, unique)


def play_rows(session: Session, chance: random.Random) -> str:
    """One verb on the rows of one table; there must be one."""
    table = chance.choice(sorted(session.model.state.values(), key=lambda table: table.name))
    verbs: Sequence[str] = ("insert", "insert", "replace", "truncate")
    if table.key:
        verbs = ("upsert", "upsert", "update", "delete", "sync", *verbs)
    verb = chance.choice(verbs)
    if verb == "truncate" and chance.random() < 0.5:
        verb = "insert"
    given = _given(table, verb, chance)
    try:
        rows, touched, expected = _expected(session, table, verb, given)
    except Refused:
        must_refuse(lambda: _do(session, table, verb, given, chance), InvalidInputError)
        session.check(table.ident, chance)
        return f"{verb} {len(given)} rows into {table.name}: refused"
    found = _do(session, table, verb, given, chance)
    assert found == expected, (verb, table.name, found, expected)
    session.model.put(replace(table, rows=rows), touched)
    session.check(table.ident, chance)
    return f"{verb} {len(given)} rows into {table.name}: {expected}"


def must_refuse(call: Callable[[], Any], kind: type[AbsdbError]) -> None:
    try:
        found = call()
    except kind:
        return
    raise AssertionError(f"accepted, giving {found!r}; {kind.__name__} was expected")


def _given(table: ModelTable, verb: str, chance: random.Random) -> Given:
    """Rows to pass: keys that are there and new ones, all columns or some."""
    if verb == "truncate":
        return []
    size = chance.choice((0, 1, 1, 1, 2, 3, 5)) if chance.random() < 0.7 else chance.randint(6, 40)
    names = [c.name for c in table.columns if c.ident in table.key]
    others = [c.name for c in table.columns if c.ident not in table.key]
    if chance.random() < 0.6:
        names += others
    else:
        names += chance.sample(others, chance.randint(0, len(others)))
    names = names or [table.columns[0].name]
    there = list(table.rows)
    share = {"insert": 0.02, "update": 0.8, "delete": 0.8}.get(verb, 0.5)
    given, used = Given(), set[Key]()
    for _ in range(size):
        row = {
            c.name: value_of(c.type, chance, nullable=c.nullable or chance.random() < 0.02)
            for c in table.columns
            if c.name in names
        }
        if table.key:
            old = there and chance.random() < share
            key = chance.choice(there) if old else tuple(row[c.name] for c in table.key_columns)
            row.update({c.name: part for c, part in zip(table.key_columns, key, strict=True)})
            if verb == "insert" and key in table.rows and chance.random() < 0.95:
                continue
            # Of a stream to update, rows that are not there are left out before they are compared.
            if key in used and (chance.random() < 0.97 or (verb == "update" and key not in table.rows)):
                continue
            used.add(key)
        given.append(row)
    return given


def _completed(table: ModelTable, given: dict[str, Any], old: Row | None) -> Row:
    """A row as it is stored: what was given, else what was there, else the default."""
    row = {}
    for column in table.columns:
        left_out = column.default if old is None else old[column.ident]
        value = given.get(column.name, left_out)
        if value is None and (not column.nullable or column.ident in table.key):
            raise Refused
        row[column.ident] = value
    return row


def _expected(
    session: Session, table: ModelTable, verb: str, given: Given
) -> tuple[dict[Key, Row], set[Key], Any]:
    """The rows after a verb, the keys it writes, and what it returns; Refused if it must fail."""
    rows = dict(table.rows)
    if verb == "truncate":
        return {}, set(rows), len(rows)
    if not table.key:
        made = {(next(session.numbers),): _completed(table, row, None) for row in given}
        kept = {} if verb == "replace" else rows
        return {**kept, **made}, set(made) | (set(rows) - set(kept)), len(given)
    keys = [tuple(row[c.name] for c in table.key_columns) for row in given]
    if any(None in key for key in keys):
        raise Refused
    if verb == "delete":
        gone = set(keys) & set(rows)
        return {key: row for key, row in rows.items() if key not in gone}, gone, len(gone)
    if len(set(keys)) < len(keys):
        raise Refused
    if verb == "update":
        found = [(key, row) for key, row in zip(keys, given, strict=True) if key in rows]
        keys, given = [key for key, _ in found], [row for _, row in found]
    keeps = verb in ("upsert", "update", "sync")
    made = {
        key: _completed(table, row, rows.get(key) if keeps else None)
        for key, row in zip(keys, given, strict=True)
    }
    if verb == "insert" and set(made) & set(rows):
        raise Refused
    if verb in ("replace", "sync"):
        gone = set(rows) - set(made)
        changed = {key for key, row in made.items() if rows.get(key) != row}
        if verb == "replace":
            return made, gone | set(made), len(made)
        added = len([key for key in changed if key not in rows])
        return made, gone | changed, (added, len(changed) - added, len(gone))
    return {**rows, **made}, set(made), len(made)


def _do(session: Session, table: ModelTable, verb: str, given: Given, chance: random.Random) -> Any:
    """The same on the engine, with the rows as dicts, as a table, or as a stream."""
    tx, schema = session.tx, session.schema(table)
    if verb == "truncate":
        return intake.truncate(tx, schema)
    rows: Any = given
    shape = chance.choice(("dicts", "dicts", "table", "stream"))
    if shape != "dicts":
        rows = _arrow(table, given, chance)
    if shape == "stream":
        rows = rows.to_reader(max_chunksize=chance.randint(1, 20))
    return getattr(intake, verb)(tx, schema, rows)


def _arrow(table: ModelTable, given: Given, chance: random.Random) -> pa.Table:
    """Rows as an Arrow table, in one chunk or two."""
    names = list(given[0]) if given else [c.name for c in table.columns]
    types = {c.name: c.type for c in table.columns}
    made = pa.table({name: pa.array([row[name] for row in given], types[name]) for name in names})
    if len(given) > 1 and chance.random() < 0.3:
        cut = chance.randint(1, len(given) - 1)
        return pa.concat_tables([made.slice(0, cut), made.slice(cut)])
    return made
