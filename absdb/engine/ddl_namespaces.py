"""SQL schemas and sequences made and dropped. See ddl.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from absdb.catalog.database import DatabaseCatalog
from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine.ddl_checks import check_namespace, sequences_of
from absdb.errors import AlreadyExistsError, InvalidInputError, NotFoundError, StateError
from absdb.paths import check_name, normal_name

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

INT64_MAX = 2**63 - 1
_NAMED = ("sequence", "view", "macro")


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
    inside += [
        f"{name}.{value['name']}"
        for (kind, _), value in tx.catalog.entities.items()
        if kind in _NAMED and value.get("namespace") == name
    ]
    if inside:
        more = f" and {len(inside) - 5} more" if len(inside) > 5 else ""
        raise StateError(
            f"schema {name!r} is not empty: it has {', '.join(inside[:5])}{more}",
            hint="drop what is in it first",
        )
    tx.change_schema({("namespace", name): None})


def create_sequence(
    tx: Transaction,
    name: str,
    *,
    start: int = 1,
    increment: int = 1,
    namespace: str = DEFAULT_NAMESPACE,
    minimum: int | None = None,
    maximum: int | None = None,
) -> int:
    """A new sequence; returns its id. Branches take values from blocks of their own.

    Values below `minimum` and above `maximum` are not handed out: ConstraintError then.
    """
    name = check_name("sequence", name)
    check_namespace(tx, namespace)
    given = {"start": start, "increment": increment, "minimum": minimum, "maximum": maximum}
    for what, number in given.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
            raise InvalidInputError(f"sequence {name!r}: {what} is {number!r}, expected a whole number")
    if increment == 0:
        raise InvalidInputError(
            f"sequence {name!r} cannot have the increment 0", hint="use 1, or -1 to count down"
        )
    if max(abs(number) for number in (start, increment, minimum or 0, maximum or 0)) > INT64_MAX:
        raise InvalidInputError(f"sequence {name!r}: start, increment and bounds must be 64-bit integers")
    if _sequence(tx.catalog, name, namespace) is not None:
        raise AlreadyExistsError(f"there is a sequence {name!r} already")
    sequence = tx.engine.allocator.new_id()
    entity = {"id": sequence, "namespace": namespace, "name": name, "start": start, "increment": increment}
    bounds = {"minimum": minimum, "maximum": maximum}
    entity |= {which: bound for which, bound in bounds.items() if bound is not None}
    tx.change_schema({("sequence", sequence): entity})
    return sequence


def drop_sequence(tx: Transaction, name: str, namespace: str = DEFAULT_NAMESPACE) -> None:
    """Remove a sequence; StateError while a column takes its default from it."""
    found = find_sequence(tx.catalog, name, namespace)
    for table in tx.catalog.tables.values():
        if found["id"] in sequences_of(table):
            raise StateError(
                f"sequence {name!r} numbers a column of table {table.full_name!r}",
                hint="drop the column's default, or the column",
            )
    tx.change_schema({("sequence", found["id"]): None})


def find_sequence(catalog: DatabaseCatalog, name: str, namespace: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
    """What is said about a sequence: id, name, start, increment; NotFoundError lists those there are."""
    found = _sequence(catalog, normal_name(name), namespace)
    if found is None:
        names = sorted(
            value["name"]
            for (kind, _), value in catalog.entities.items()
            if kind == "sequence" and "namespace" in value
        )
        raise NotFoundError(f"there is no sequence {name!r}", hint=f"sequences: {', '.join(names) or 'none'}")
    return found


def _sequence(catalog: DatabaseCatalog, name: str, namespace: str) -> dict[str, Any] | None:
    """A sequence by its name; those of identity columns have none that could be looked for."""
    for (kind, _), value in catalog.entities.items():
        if kind == "sequence" and value["name"] == name and value.get("namespace") == namespace:
            found: dict[str, Any] = value
            return found
    return None
