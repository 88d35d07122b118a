"""What there is in a database and in a table, as Arrow tables: for metadata calls, system tables and panels.

Every listing has a fixed schema; columns that are never NULL say so, which is what keeps dtypes stable on the
way to pandas. Nothing here changes anything; only `tables` with counts reads pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import DEFAULT_NAMESPACE, Check, Column, Constraint, ForeignKey, TableSchema, Unique
from absdb.engine.check import Finding
from absdb.engine.reader import TableReader
from absdb.pages.types import describe_type
from absdb.pages.values import Converter
from absdb.settings import Settings


def listed(schema: pa.Schema, rows: Iterable[Sequence[Any]]) -> pa.Table:
    """Rows as a table of a listing's schema."""
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def field(name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field:
    """A column of a listing; one that may hold NULL says so."""
    return pa.field(name, kind, nullable=nullable)


TABLES = pa.schema(
    [
        field("name", pa.string()),
        field("rows", pa.int64()),
        field("columns", pa.int64()),
        field("key", pa.string()),
        field("comment", pa.string()),
    ]
)
SEQUENCES = pa.schema(
    [field("name", pa.string()), field("start", pa.int64()), field("increment", pa.int64())]
)
COLUMNS = pa.schema(
    [
        field("name", pa.string()),
        field("type", pa.string()),
        field("nullable", pa.bool_()),
        field("key", pa.bool_()),
        field("default", pa.string(), nullable=True),
        field("generated", pa.string(), nullable=True),
        field("comment", pa.string()),
    ]
)
CONSTRAINTS = pa.schema(
    [
        field("name", pa.string()),
        field("kind", pa.string()),
        field("columns", pa.list_(pa.string())),
        field("definition", pa.string()),
    ]
)


def tables(catalog: DatabaseCatalog, reader: Callable[[TableSchema], TableReader]) -> pa.Table:
    """name, rows, columns, key, comment of every table, by name. Counts look up what changed since compaction."""
    found = sorted(catalog.tables.values(), key=lambda table: (table.namespace != "main", table.full_name))
    return listed(
        TABLES,
        ((t.full_name, reader(t).count(), len(t.columns), ", ".join(t.key_names), t.comment) for t in found),
    )


def sequences(catalog: DatabaseCatalog) -> pa.Table:
    """SEQUENCES by name, without those of identity columns."""
    found = [v for (kind, _), v in catalog.entities.items() if kind == "sequence" and "namespace" in v]
    rows = sorted((_full_name(each), each["start"], each["increment"]) for each in found)
    return listed(SEQUENCES, rows)


def _full_name(entity: Mapping[str, Any]) -> str:
    """A name with its schema, unless that is the default one."""
    space, name = entity["namespace"], entity["name"]
    return name if space == DEFAULT_NAMESPACE else f"{space}.{name}"


def columns(schema: TableSchema) -> pa.Table:
    """name, type, nullable, key, default, generated, comment of every column, in order."""
    return listed(
        COLUMNS,
        (
            (
                c.name,
                describe_type(c.type),
                c.nullable and c.id not in schema.key,
                c.id in schema.key,
                describe_default(c),
                c.generated,
                c.comment,
            )
            for c in schema.columns
        ),
    )


def describe_default(column: Column) -> str | None:
    """A column's default as text: a value as Python writes it, an SQL expression, or `identity`."""
    default = column.default
    if default is None:
        return None
    if default.kind == "value":
        return repr(Converter.of(column.type, column.name).to_python(default.value))
    return "identity" if default.kind == "sequence" else str(default.value)


def constraints(schema: TableSchema, catalog: DatabaseCatalog) -> pa.Table:
    """name, kind, columns, definition of the key and every constraint."""
    rows: list[tuple[str, str, list[str], str]] = []
    if schema.key_names:
        names = list(schema.key_names)
        rows.append((f"{schema.name}_key", "PRIMARY KEY", names, f"PRIMARY KEY ({', '.join(names)})"))
    rows.extend(describe_constraint(schema, catalog, constraint) for constraint in schema.constraints)
    return listed(CONSTRAINTS, rows)


def describe_constraint(
    schema: TableSchema, catalog: DatabaseCatalog, constraint: Constraint
) -> tuple[str, str, list[str], str]:
    """(name, kind, names of its columns, definition as SQL writes it) of one constraint of a table."""
    match constraint:
        case Unique(name=name, columns=ids):
            names = [schema.by_id[c].name for c in ids]
            return name, "UNIQUE", names, f"UNIQUE ({', '.join(names)})"
        case Check(name=name, expression=expression):
            return name, "CHECK", [], f"CHECK ({expression})"
        case ForeignKey(name=name, columns=ids, table=table, references=references):
            names = [schema.by_id[c].name for c in ids]
            target = schema if table == schema.id else catalog.tables[table]
            others = ", ".join(target.by_id[c].name for c in references)
            text = f"FOREIGN KEY ({', '.join(names)}) REFERENCES {target.full_name} ({others})"
            return name, "FOREIGN KEY", names, text
    raise TypeError(f"{constraint!r} is no constraint")


SCHEMAS = pa.schema([field("name", pa.string()), field("tables", pa.int64())])


def schemas(catalog: DatabaseCatalog) -> pa.Table:
    """name and number of tables of every SQL schema, the default one first."""
    found = list(catalog.tables.values())
    return listed(SCHEMAS, ((n, sum(t.namespace == n for t in found)) for n in catalog.namespaces))


SETTINGS = pa.schema([field(name, pa.string()) for name in ("name", "value", "origin", "default", "meaning")])


def settings(values: Settings) -> pa.Table:
    """name, value, origin, default, meaning of every setting, as absdb.conf would have them."""
    return listed(SETTINGS, (tuple(row[f.name] for f in SETTINGS) for row in values.rows()))


FINDINGS = pa.schema([field(name, pa.string()) for name in ("severity", "where", "problem")])


def findings(found: Iterable[Finding]) -> pa.Table:
    """severity, where, problem of what a check found."""
    return listed(FINDINGS, ((finding.severity, finding.where, finding.problem) for finding in found))
