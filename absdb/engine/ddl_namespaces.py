"""SQL schemas and sequences made and dropped. See ddl.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine.ddl_checks import sequences_of
from absdb.errors import AlreadyExistsError, InvalidInputError, NotFoundError, StateError
from absdb.paths import check_name, normal_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

INT64_MAX = 2**63 - 1


def create_namespace(tx: Transaction, name: str) -> None:
    """A new SQL schema."""
    name = check_name("schema", name)
    if name in tx.catalog.namespaces:
        raise AlreadyExistsError(f"there is a schema {name!r} already")
    tx.change_schema({("namespace", name): {"name": name}})


def drop_namespace(tx: Transaction, name: str) -> None:
    """Remove an empty SQL schema."""
    name = normal_name(name)
    if name == DEFAULT_NAMESPACE:
        raise InvalidInputError(f"the schema {name!r} cannot be dropped", hint="it is always there")
    if name not in tx.catalog.namespaces:
        raise NotFoundError(
            f"there is no schema {name!r}", hint=f"schemas: {', '.join(tx.catalog.namespaces)}"
        )
    inside = [t.full_name for t in tx.catalog.tables.values() if t.namespace == name]
    if inside:
        more = f" and {len(inside) - 5} more" if len(inside) > 5 else ""
        raise StateError(
            f"schema {name!r} is not empty: it has {', '.join(inside[:5])}{more}",
            hint="drop its tables first",
        )
    tx.change_schema({("namespace", name): None})


def create_sequence(tx: Transaction, name: str, *, start: int = 1, increment: int = 1) -> int:
    """A new sequence; returns its id. Branches take values from blocks of their own."""
    name = check_name("sequence", name)
    for what, number in (("start", start), ("increment", increment)):
        if isinstance(number, bool) or not isinstance(number, int):
            raise InvalidInputError(f"sequence {name!r}: {what} is {number!r}, expected a whole number")
    if increment == 0:
        raise InvalidInputError(
            f"sequence {name!r} cannot have the increment 0", hint="use 1, or -1 to count down"
        )
    if max(abs(start), abs(increment)) > INT64_MAX:
        raise InvalidInputError(f"sequence {name!r}: start and increment must be 64-bit integers")
    if _sequence(tx.catalog, name) is not None:
        raise AlreadyExistsError(f"there is a sequence {name!r} already")
    sequence = tx.engine.allocator.new_id()
    tx.change_schema(
        {("sequence", sequence): {"id": sequence, "name": name, "start": start, "increment": increment}}
    )
    return sequence


def drop_sequence(tx: Transaction, name: str) -> None:
    """Remove a sequence; refused for that of an identity column."""
    found = find_sequence(tx.catalog, name)
    for table in tx.catalog.tables.values():
        if found["id"] in sequences_of(table):
            raise StateError(
                f"sequence {name!r} numbers an identity column of table {table.full_name!r}",
                hint="drop the column's default, or the column",
            )
    tx.change_schema({("sequence", found["id"]): None})


def find_sequence(catalog: DatabaseCatalog, name: str) -> dict[str, Any]:
    """What is said about a sequence: id, name, start, increment; NotFoundError lists those there are."""
    found = _sequence(catalog, normal_name(name))
    if found is None:
        names = sorted(v["name"] for (kind, _), v in catalog.entities.items() if kind == "sequence")
        raise NotFoundError(f"there is no sequence {name!r}", hint=f"sequences: {', '.join(names) or 'none'}")
    return found


def _sequence(catalog: DatabaseCatalog, name: str) -> dict[str, Any] | None:
    for (kind, _), value in catalog.entities.items():
        if kind == "sequence" and value["name"] == name:
            found: dict[str, Any] = value
            return found
    return None
