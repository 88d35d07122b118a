"""ALTER VIEW [IF EXISTS] name RENAME TO new | SET SCHEMA schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.errors import NotFoundError
from absdb.paths import check_name
from absdb.sql.define.ddl_target import Target, already
from absdb.sql.query.names import alike, find_in, same
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Give a view another name, or move it to another schema."""
    cursor = TokenCursor(call.statement)
    cursor.expect("ALTER", "VIEW")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    target = Target(call, cursor.path("the name of a view"), at)
    name = space = None
    if cursor.accept("RENAME"):
        cursor.expect("TO")
        name = cursor.name("the new name of the view")
    elif cursor.accept("SET"):
        cursor.expect("SCHEMA")
        space = cursor.name("the name of a schema")
    else:
        cursor.refuse("RENAME TO", "SET SCHEMA")
    cursor.end()

    def work(scope: TransactionScope) -> None:
        if if_exists and target.relation(scope) is None:
            return
        entity = target.view(scope).entity
        home = entity["namespace"] if space is None else existing_schema(scope, space)
        new = entity["name"] if name is None else check_name("view", name)
        check_free(target, scope, home, new, entity["name"])
        scope.tx.change_schema({("view", entity["id"]): {**entity, "namespace": home, "name": new}})

    target.write(work)
    return Result(statement="ALTER VIEW")


def existing_schema(scope: TransactionScope, name: str) -> str:
    """A schema as the catalog writes it; NotFoundError with the nearest one."""
    known = scope.catalog().namespaces
    found = alike({each: each for each in known}, name)
    if found is None:
        raise NotFoundError(f"there is no schema {name!r}", hint=suggestion(name, known, "schemas"))
    return found


def check_free(target: Target, scope: TransactionScope, space: str, name: str, old: str) -> None:
    """AlreadyExistsError if another table or view has the name."""
    there = find_in(target.moment(scope).current, space, name)
    found = target.relation(scope)
    if there is not None and not (found is not None and there == found and same(name, old)):
        raise already("table or view", name)
