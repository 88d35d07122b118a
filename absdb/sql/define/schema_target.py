"""A schema that a statement names: `sales`, or `staging.sales` for one of another database.

Called by the modules of CREATE, DROP and COMMENT ON SCHEMA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from absdb.errors import NotFoundError
from absdb.sql.define.database_target import named_database
from absdb.sql.query.names import Path, alike
from absdb.sql.text.source import error_at, pointing_at
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call

T = TypeVar("T")


class SchemaTarget:
    """The name of a schema, and the database it belongs to."""

    def __init__(self, call: Call, path: Path, at: int) -> None:
        if len(path) > 2:
            raise error_at(
                call.text, at, f"{'.'.join(path)!r} is no schema", hint="write database.schema at most"
            )
        self.call = call
        self.at = at
        self.name = path[-1]
        self.info = named_database(call, path[0], at) if len(path) == 2 else call.moment().current.info

    def write(self, work: Callable[[TransactionScope], T]) -> T:
        """Run `work` on the database; errors about names point at the schema."""
        with pointing_at(self.call.text, self.at):
            return self.call.write(self.info, work)

    def found(self, scope: TransactionScope) -> str | None:
        """The schema's name as the catalog has it, None if there is none."""
        return alike({name: name for name in scope.catalog().namespaces}, self.name)

    def require(self, scope: TransactionScope) -> str:
        """The schema's name as the catalog has it; NotFoundError with the nearest one."""
        found = self.found(scope)
        if found is None:
            raise NotFoundError(
                f"there is no schema {self.name!r} in database {self.info.name!r}",
                hint=suggestion(self.name, scope.catalog().namespaces, "schemas"),
            )
        return found
