"""UNIQUE, CHECK and FOREIGN KEY added and dropped. See ddl.py; constraints.py holds them from then on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from absdb.catalog.schema import Constraint, ForeignKey, TableSchema, Unique
from absdb.engine.comparable import are_comparable
from absdb.engine.ddl_checks import atomic, check_expressions, put
from absdb.engine.integrity import can_be_referred_to
from absdb.errors import AlreadyExistsError, ConstraintError, InvalidInputError, NotFoundError
from absdb.pages.types import describe_type, is_orderable, physical_type
from absdb.paths import check_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


@atomic
def add_constraint(tx: Transaction, schema: TableSchema, constraint: Constraint) -> TableSchema:
    """Add UNIQUE, CHECK or FOREIGN KEY; the rows there are must hold it."""
    constraint = dataclasses.replace(constraint, name=check_name("constraint", constraint.name))
    if any(other.name == constraint.name for other in schema.constraints):
        raise AlreadyExistsError(f"table {schema.full_name!r} has a constraint {constraint.name!r} already")
    if isinstance(constraint, Unique | ForeignKey):
        _check_columns(schema, constraint)
    if isinstance(constraint, ForeignKey):
        _check_foreign_key(tx, schema, constraint)
    changed = dataclasses.replace(schema, constraints=(*schema.constraints, constraint))
    check_expressions(tx, changed)
    put(tx, changed)
    tx.engine.constraints.check_all(tx, changed, constraint)
    return changed


def _check_columns(schema: TableSchema, constraint: Unique | ForeignKey) -> None:
    visible = {column.id: column for column in schema.columns}
    strange = [column for column in constraint.columns if column not in visible]
    if not constraint.columns or strange or len(set(constraint.columns)) < len(constraint.columns):
        raise InvalidInputError(
            f"constraint {constraint.name!r} of table {schema.full_name!r} needs columns of it, each once"
        )
    for column in (visible[column] for column in constraint.columns):
        if not is_orderable(physical_type(column.type)):
            raise InvalidInputError(
                f"column {column.name!r} of table {schema.full_name!r} is {describe_type(column.type)}, whose values "
                f"cannot be told apart by constraint {constraint.name!r}",
                hint="use columns of numbers, text, bytes, dates or times",
                table=schema.full_name,
                column=column.name,
            )


def _check_foreign_key(tx: Transaction, schema: TableSchema, constraint: ForeignKey) -> None:
    """The referenced columns must be the other table's key or UNIQUE there, of types that go together."""
    target = schema if constraint.table == schema.id else tx.catalog.tables[constraint.table]
    if not can_be_referred_to(target, constraint.references):
        names = ", ".join(target.by_id[c].name for c in constraint.references)
        raise InvalidInputError(
            f"a foreign key needs a key or UNIQUE columns to refer to; ({names}) of {target.full_name!r} are neither",
            hint=f"add a UNIQUE constraint over ({names}) to {target.full_name!r} first",
        )
    for own, other in zip(constraint.columns, constraint.references, strict=True):
        ours, theirs = schema.by_id[own], target.by_id[other]
        if not are_comparable(physical_type(ours.type), physical_type(theirs.type)):
            raise InvalidInputError(
                f"column {ours.name!r} is {describe_type(ours.type)}, the referenced {theirs.name!r} is "
                f"{describe_type(theirs.type)}",
                hint=f"change the type of one of them, as with retype_column({ours.name!r}, …)",
            )


@atomic
def drop_constraint(tx: Transaction, schema: TableSchema, name: str) -> TableSchema:
    """Remove a constraint by name. Refused for UNIQUE that a foreign key refers to."""
    kept = tuple(c for c in schema.constraints if c.name != name)
    if len(kept) == len(schema.constraints):
        names = ", ".join(c.name for c in schema.constraints) or "none"
        raise NotFoundError(f"table {schema.full_name!r} has no constraint {name!r}", hint=f"it has: {names}")
    changed = dataclasses.replace(schema, constraints=kept)
    for child, reference in tx.catalog.referencing.get(schema.id, ()):
        if (child.id != schema.id or reference in kept) and not can_be_referred_to(
            changed, reference.references
        ):
            raise ConstraintError(
                f"constraint {name!r} of table {schema.full_name!r} is needed by the foreign key "
                f"{reference.name!r} of table {child.full_name!r}",
                hint="drop that first",
                table=child.full_name,
                constraint=reference.name,
                keys=[],
            )
    return put(tx, changed)
