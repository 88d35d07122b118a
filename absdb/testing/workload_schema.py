"""Verbs on definitions inside one transaction, taken by chance on an engine and on the model at once.

Tables are made, dropped, brought back and renamed; columns added, dropped, renamed, reordered, retyped and
altered. What the model refuses the engine must refuse, and then both are as they were.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pyarrow as pa

from absdb.catalog.schema import Default, TableSchema
from absdb.engine import ddl
from absdb.engine.definition import NO_DEFAULT, ColumnDefinition
from absdb.errors import AlreadyExistsError, HistoryExpiredError, InvalidInputError, NotFoundError
from absdb.pages.values import Converter
from absdb.testing.model import ModelColumn, ModelTable, as_type
from absdb.testing.model_values import CASTS, KEYS, KINDS, Misfit, kind_of, value_of
from absdb.testing.workload_rows import Session, must_refuse

TABLE_NAMES = tuple(f"t{number}" for number in range(5))
COLUMN_NAMES = tuple("abcdefgh")


def play_schema(session: Session, chance: random.Random) -> str:
    """One change of a definition."""
    tables = sorted(session.model.state.values(), key=lambda table: table.name)
    if not tables or (len(tables) < len(TABLE_NAMES) and chance.random() < 0.25):
        return _undrop(session, chance) if chance.random() < 0.4 else create_table(session, chance)
    table = chance.choice(tables)
    verb = chance.choice(
        (_add, _add, _drop_column, _rename_column, _retype, _retype, _alter, _reorder, _table)
    )
    told = verb(session, table, chance)
    session.check(table.ident, chance)
    return told


def _define(session: Session, table: ModelTable) -> None:
    session.model.define(table.ident, table)
    now = session.tx.catalog.tables[table.ident]  # type: ignore[index]  # the model's idents are the engine's
    assert [(c.id, c.name) for c in now.columns] == [(c.ident, c.name) for c in table.columns]


def _free(session: Session, chance: random.Random) -> str | None:
    names = [name for name in TABLE_NAMES if name not in session.model.state]
    return chance.choice(names) if names else None


def create_table(session: Session, chance: random.Random) -> str:
    name = _free(session, chance)
    if name is None:
        taken = sorted(session.model.state)[0]
        definition = [ColumnDefinition(name="a", type=pa.int64())]
        must_refuse(lambda: ddl.create_table(session.tx, taken, definition), AlreadyExistsError)
        return f"create {taken}: refused"
    kinds = list(chance.choice(KEYS))
    key = list(COLUMN_NAMES[: len(kinds)])
    kinds += chance.choices(sorted(KINDS), k=chance.randint(0 if kinds else 1, 3))
    columns = list(zip(COLUMN_NAMES, kinds, strict=False))
    chance.shuffle(columns)
    definitions = [ColumnDefinition(name=n, type=KINDS[k].type, nullable=n not in key) for n, k in columns]
    schema = ddl.create_table(session.tx, name, definitions, key=key)
    made = tuple(ModelColumn(c.id, c.name, c.type, nullable=c.name not in key) for c in schema.columns)
    idents = tuple(next(c.ident for c in made if c.name == part) for part in key)
    session.model.define(schema.id, ModelTable(schema.id, name, made, idents))
    return f"create {name} with {', '.join(f'{n} {k}' for n, k in columns)}, key {key}"


def _undrop(session: Session, chance: random.Random) -> str:
    """Bring back the table of a name that was dropped last."""
    name = _free(session, chance)
    if name is None:
        return "nothing to undrop"
    found = last_dropped(session, name)
    if found is None:
        must_refuse(lambda: ddl.undrop_table(session.tx, name), NotFoundError)
        return f"undrop {name}: there is none"
    try:
        schema = ddl.undrop_table(session.tx, name)
    except HistoryExpiredError:
        return f"undrop {name}: expired"
    assert schema.id == found.ident, (schema.id, found.ident)
    session.model.undrop(found)
    session.check(found.ident, chance)
    return f"undrop {name}"


def last_dropped(session: Session, name: str) -> ModelTable | None:
    """The table whose last definition had this name, of those that are gone the one that went last."""
    there = {table.ident for table in session.model.state.values()}
    for _, state in reversed(session.model.line):
        for table in state.values():
            if table.ident not in there:
                if table.name == name:
                    return table
                there.add(table.ident)
    return None


def _table(session: Session, table: ModelTable, chance: random.Random) -> str:
    """Drop or rename a table."""
    schema = session.schema(table)
    if chance.random() < 0.4:
        ddl.drop_table(session.tx, schema)
        session.model.define(table.ident, None)
        return f"drop {table.name}"
    name = _free(session, chance)
    if name is None:
        other = chance.choice([each for each in session.model.state if each != table.name])
        must_refuse(lambda: ddl.rename_table(session.tx, schema, other), AlreadyExistsError)
        return f"rename {table.name} to {other}: refused"
    ddl.rename_table(session.tx, schema, name)
    _define(session, replace(table, name=name))
    return f"rename {table.name} to {name}"


def _add(session: Session, table: ModelTable, chance: random.Random) -> str:
    free = [name for name in COLUMN_NAMES if name not in {c.name for c in table.columns}]
    if not free:
        return _drop_column(session, table, chance)
    name, kind = chance.choice(free), chance.choice(sorted(KINDS))
    nullable = chance.random() < 0.7
    default = None if chance.random() < 0.4 else KINDS[kind].value(chance)
    at = chance.choice((None, 0, len(table.columns)))
    definition = ColumnDefinition(
        name=name,
        type=KINDS[kind].type,
        nullable=nullable,
        default=NO_DEFAULT if default is None else default,
    )
    told = f"add {name} {kind}{'' if nullable else ' NOT NULL'} default {default!r} to {table.name}"
    schema = session.schema(table)
    if not nullable and default is None and table.rows:
        must_refuse(lambda: ddl.add_column(session.tx, schema, definition, position=at), InvalidInputError)
        return f"{told}: refused"
    made = ddl.add_column(session.tx, schema, definition, position=at).by_name[name]
    column = ModelColumn(made.id, name, made.type, nullable, default, default)
    place = len(table.columns) if at is None else at
    columns = (*table.columns[:place], column, *table.columns[place:])
    rows = {key: {**row, column.ident: default} for key, row in table.rows.items()}
    _define(session, replace(table, columns=columns, rows=rows))
    return told


def _drop_column(session: Session, table: ModelTable, chance: random.Random) -> str:
    column = chance.choice(table.columns)
    told = f"drop column {column.name} of {table.name}"
    schema = session.schema(table)
    if column.ident in table.key or len(table.columns) == 1:
        must_refuse(lambda: ddl.drop_column(session.tx, schema, column.name), InvalidInputError)
        return f"{told}: refused"
    ddl.drop_column(session.tx, schema, column.name)
    columns = tuple(c for c in table.columns if c is not column)
    rows = {key: {k: v for k, v in row.items() if k != column.ident} for key, row in table.rows.items()}
    retired = table.retired | {column.origin}
    _define(session, replace(table, columns=columns, rows=rows, retired=retired))
    return told


def _rename_column(session: Session, table: ModelTable, chance: random.Random) -> str:
    column, name = chance.choice(table.columns), chance.choice(COLUMN_NAMES)
    told = f"rename column {column.name} of {table.name} to {name}"
    schema = session.schema(table)
    if name in {c.name for c in table.columns}:
        must_refuse(lambda: ddl.rename_column(session.tx, schema, column.name, name), AlreadyExistsError)
        return f"{told}: refused"
    ddl.rename_column(session.tx, schema, column.name, name)
    _define(session, _with_column(table, column, replace(column, name=name)))
    return told


def _with_column(table: ModelTable, old: ModelColumn, new: ModelColumn) -> ModelTable:
    return replace(table, columns=tuple(new if c is old else c for c in table.columns))


def _reorder(session: Session, table: ModelTable, chance: random.Random) -> str:
    first = chance.sample([c.name for c in table.columns], chance.randint(1, len(table.columns)))
    ddl.reorder_columns(session.tx, session.schema(table), first)
    columns = [table.column(name) for name in first]
    columns += [c for c in table.columns if c.name not in first]
    _define(session, replace(table, columns=tuple(columns)))
    return f"reorder {table.name} to {', '.join(first)}"


def _alter(session: Session, table: ModelTable, chance: random.Random) -> str:
    """Set NOT NULL or take it away, or set another default."""
    column, schema = chance.choice(table.columns), session.schema(table)
    if chance.random() < 0.5:
        value = value_of(column.type, chance, nullable=True)
        physical = Converter.of(column.type, column.name).to_physical(value)
        default = None if value is None else Default("value", physical)
        ddl.alter_column(session.tx, schema, column.name, default=default)
        _define(session, _with_column(table, column, replace(column, default=value)))
        return f"default of {table.name}.{column.name}: {value!r}"
    nullable = chance.random() < 0.4
    told = f"{table.name}.{column.name} {'NULL' if nullable else 'NOT NULL'}"
    holds = nullable or all(row[column.ident] is not None for row in table.rows.values())
    if not holds or (nullable and column.ident in table.key):
        must_refuse(
            lambda: ddl.alter_column(session.tx, schema, column.name, nullable=nullable), InvalidInputError
        )
        return f"{told}: refused"
    ddl.alter_column(session.tx, schema, column.name, nullable=nullable)
    _define(session, _with_column(table, column, replace(column, nullable=nullable)))
    return told


def _retype(session: Session, table: ModelTable, chance: random.Random) -> str:
    """Another type, by a widening or by rewriting every row."""
    column, schema = chance.choice(table.columns), session.schema(table)
    old = kind_of(column.type)
    targets = [new for was, new in CASTS if was == old]
    if not targets:
        return _alter(session, table, chance)
    new = chance.choice(targets)
    cast, widening = CASTS[old, new]
    kind = KINDS[new].type
    told = f"retype {table.name}.{column.name} from {old} to {new}"

    def retype() -> TableSchema:
        return ddl.retype_column(session.tx, schema, column.name, kind)

    def becomes(value: Any) -> Any:
        return None if value is None else cast(value)

    same = old in ("string", "label") and new in ("string", "label")
    if column.ident in table.key and not same:
        must_refuse(retype, InvalidInputError)
        return f"{told}: refused, it is in the key"
    try:
        default = becomes(column.default)
        values = {key: becomes(row[column.ident]) for key, row in table.rows.items()}
    except Misfit:
        must_refuse(retype, InvalidInputError)
        return f"{told}: refused, a value does not fit"
    made = retype().by_name[column.name]
    initial = as_type(column.initial, kind) if widening else None
    replaces = column.replaces if widening else column.ident
    changed = replace(column, ident=made.id, type=kind, default=default, initial=initial, replaces=replaces)
    changed = replace(changed, past=column.past if widening else (*column.past, column.ident))
    rows = {}
    for key, row in table.rows.items():
        kept = {ident: value for ident, value in row.items() if ident != column.ident}
        rows[key] = {**kept, changed.ident: values[key]}
    columns = _with_column(table, column, changed).columns
    _define(session, replace(table, columns=columns, rows=rows))
    if not widening:
        session.model.touched.setdefault(table.ident, set()).update(rows)
    return told
