"""How a caller describes a constraint to be added, by the names of columns, and how that becomes one by ids.

Users of the package write `absdb.Unique("email")`, `absdb.Check("total >= 0")` and
`absdb.ForeignKey("user_id", "users")`. A constraint without a name gets one made of the table and its
columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from absdb.catalog import schema as catalog
from absdb.engine import ddl
from absdb.errors import InvalidInputError
from absdb.reprs import Shown

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction


@dataclass(frozen=True, init=False)
class Unique(Shown):
    """No two rows have the same values in these columns; rows with a NULL among them are exempt."""

    columns: tuple[str, ...]
    name: str | None

    def __init__(self, *columns: str, name: str | None = None) -> None:
        object.__setattr__(self, "columns", _names(columns))
        object.__setattr__(self, "name", name)


@dataclass(frozen=True)
class Check(Shown):
    """An SQL expression over the columns of a row that must not be false."""

    expression: str
    name: str | None = None


@dataclass(frozen=True, init=False)
class ForeignKey(Shown):
    """The values of `columns` are there in `references` of `table`, whose key they are if not given.

    Types need not be equal: all integers go together, all strings, all binaries, and decimals of one scale.
    """

    columns: tuple[str, ...]
    table: str
    references: tuple[str, ...]
    name: str | None

    def __init__(
        self,
        columns: str | Sequence[str],
        table: str,
        references: str | Sequence[str] = (),
        *,
        name: str | None = None,
    ) -> None:
        object.__setattr__(self, "columns", _names(columns))
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "references", _names(references) if references else ())
        object.__setattr__(self, "name", name)


ConstraintDefinition = Unique | Check | ForeignKey


def add_constraint(
    tx: Transaction, schema: catalog.TableSchema, definition: ConstraintDefinition
) -> catalog.TableSchema:
    """Add a constraint described by names; the rows that are there must hold it."""
    return ddl.add_constraint(tx, schema, _resolved(tx, schema, definition))


def _resolved(
    tx: Transaction, schema: catalog.TableSchema, definition: ConstraintDefinition
) -> catalog.Constraint:
    taken = {constraint.name for constraint in schema.constraints}
    match definition:
        case Unique(columns=names):
            columns = tuple(schema.column(name).id for name in names)
            return catalog.Unique(definition.name or _free((schema.name, *names, "unique"), taken), columns)
        case Check(expression=expression):
            return catalog.Check(definition.name or _free((schema.name, "check"), taken), expression)
        case ForeignKey(columns=names):
            target = tx.catalog.table(definition.table)
            columns = tuple(schema.column(name).id for name in names)
            references = tuple(target.column(name).id for name in definition.references or target.key_names)
            if len(references) != len(columns):
                raise InvalidInputError(
                    f"a foreign key of {len(columns)} columns cannot refer to {len(references)} columns of "
                    f"{target.full_name!r}",
                    hint=f"name the columns: ForeignKey({list(names)}, {target.full_name!r}, references=[…])",
                )
            name = definition.name or _free((schema.name, *names, "fkey"), taken)
            return catalog.ForeignKey(name, columns, target.id, references)
    raise InvalidInputError(
        f"{definition!r} is not a constraint",
        hint='write Unique("email"), Check("total > 0") or ForeignKey(…)',
    )


def _names(columns: str | Iterable[str]) -> tuple[str, ...]:
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    if not names:
        raise InvalidInputError("a constraint needs at least one column")
    return names


def _free(parts: Sequence[str], taken: set[str]) -> str:
    """`orders_email_unique`, with a number behind if the table has a constraint of that name."""
    name = "_".join(parts)
    number = 2
    while name in taken:
        name = f"{'_'.join(parts)}_{number}"
        number += 1
    return name
