"""What a statement creates, alters or drops: its name, read from the text and found in the catalog.

    CREATE [OR REPLACE] kind [IF NOT EXISTS] [database.][schema.]name
    DROP kind [IF EXISTS] [database.][schema.]name

A new thing goes into the schema that is written, else into the session's; one that is there is looked for in the
session's schema, then in `main`. Tables and views share their names; sequences and macros have names of their own.
Called by the modules of CREATE, ALTER, DROP and COMMENT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from absdb.catalog.schema import DEFAULT_NAMESPACE
from absdb.engine import ddl
from absdb.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from absdb.sql.duck.reserved import refuse_reserved
from absdb.sql.query.names import Moment, Named, NamedTable, NamedView, Path, alike, find_in, same
from absdb.sql.text.source import error_at, pointing_at
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call
    from absdb.sql.text.cursor import TokenCursor

T = TypeVar("T")
_TEMPORARY = ("TEMP", "TEMPORARY", "LOCAL", "GLOBAL")


class Target:
    """A name in a statement: which database it belongs to, and what it stands for there."""

    def __init__(self, call: Call, path: Path, at: int) -> None:
        self.call = call
        self.path = path
        self.at = at
        with self.placing():
            self.info, self.namespace, self.name = call.moment().split(path)

    @property
    def label(self) -> str:
        """As it was written."""
        return ".".join(self.path)

    def placing(self) -> AbstractContextManager[None]:
        """Errors from inside point at the name."""
        return pointing_at(self.call.text, self.at)

    def write(self, work: Callable[[TransactionScope], T]) -> T:
        """Run `work` on the name's database; errors about names and definitions point at the name."""
        with self.placing():
            return self.call.write(self.info, work)

    # -- inside `write`

    def moment(self, scope: TransactionScope) -> Moment:
        """What the transaction sees of its database."""
        call = self.call
        here = self.info.id == call.session.scope.database
        return Moment.of(scope, call.session.namespace if here else DEFAULT_NAMESPACE)

    def home(self, scope: TransactionScope) -> str:
        """The schema in which a new thing of this name is made; NotFoundError if there is none."""
        wanted = self.namespace
        if wanted is None:
            wanted = self.moment(scope).namespace
        known = scope.catalog().namespaces
        found = alike({name: name for name in known}, wanted)
        if found is None:
            raise NotFoundError(
                f"there is no schema {wanted!r} in database {self.info.name!r}",
                hint=suggestion(wanted, known, "schemas"),
            )
        return found

    def spaces(self, scope: TransactionScope) -> list[str]:
        """The schemas in which something of this name is looked for."""
        if self.namespace is not None:
            return [self.namespace]
        return list(dict.fromkeys((self.moment(scope).namespace, DEFAULT_NAMESPACE)))

    def relation(self, scope: TransactionScope, space: str | None = None) -> Named | None:
        """The table or view of this name, None if there is none."""
        view = self.moment(scope).current
        for each in self.spaces(scope) if space is None else [space]:
            found = find_in(view, each, self.name)
            if found is not None:
                return found
        return None

    def table(self, scope: TransactionScope) -> NamedTable:
        """The table of this name; NotFoundError with the nearest one, or saying that it is a view."""
        found = self.relation(scope)
        if isinstance(found, NamedTable):
            return found
        if found is not None:
            raise InvalidInputError(
                f"{self.label!r} is a view, not a table", hint="say VIEW instead of TABLE"
            )
        raise self.moment(scope).missing(self.path)

    def view(self, scope: TransactionScope) -> NamedView:
        """The view of this name; NotFoundError with the nearest one, or saying that it is a table."""
        found = self.relation(scope)
        if isinstance(found, NamedView):
            return found
        if found is not None:
            raise InvalidInputError(
                f"{self.label!r} is a table, not a view", hint="say TABLE instead of VIEW"
            )
        names = [view["name"] for view in entities(scope, "view").values()]
        raise NotFoundError(f"there is no view {self.label!r}", hint=suggestion(self.name, names, "views"))

    def entity(self, scope: TransactionScope, kind: str) -> Mapping[str, Any] | None:
        """The entity of a kind and this name, None if there is none."""
        for space in self.spaces(scope):
            found = entity_in(scope, kind, space, self.name)
            if found is not None:
                return found
        return None

    def require_entity(self, scope: TransactionScope, kind: str) -> Mapping[str, Any]:
        """The entity of a kind and this name; NotFoundError with the nearest one."""
        found = self.entity(scope, kind)
        if found is None:
            names = [each["name"] for each in entities(scope, kind).values()]
            raise NotFoundError(
                f"there is no {kind} {self.label!r}", hint=suggestion(self.name, names, f"{kind}s")
            )
        return found


def entities(scope: TransactionScope, kind: str) -> Mapping[int, Mapping[str, Any]]:
    """All entities of a kind, by id; of the sequences those that have a name of their own."""
    return scope.catalog().named.get(kind, {})


def entity_in(scope: TransactionScope, kind: str, space: str, name: str) -> Mapping[str, Any] | None:
    """The entity of a kind and name in a schema, None if there is none."""
    there = entities(scope, kind).values()
    return alike({each["name"]: each for each in there if same(each["namespace"], space)}, name)


@dataclass(frozen=True, slots=True)
class Creation:
    """How a CREATE statement begins; `target` is what it names."""

    what: str
    replace: bool
    if_absent: bool
    target: Target

    def skips(self, there: object) -> bool:
        """Whether nothing is to be done, since it is there. AlreadyExistsError if it is in the way."""
        if there is None or self.replace:
            return False
        if self.if_absent:
            return True
        raise already(self.what, self.target.label, _CREATE_HINT)


_CREATE_HINT = "say OR REPLACE or IF NOT EXISTS, or take another name"


def already(what: str, label: str, hint: str = "take another name, or drop that first") -> AlreadyExistsError:
    """The error for a name that is taken."""
    return AlreadyExistsError(f"there is a {what} {label!r} already", hint=hint)


def read_creation(call: Call, cursor: TokenCursor, *words: str) -> Creation:
    """`CREATE [OR REPLACE] words [IF NOT EXISTS] name`."""
    replace, if_absent = read_header(cursor, *words)
    what = words[0].lower()
    at = cursor.token.start
    path = cursor.path(f"the name of a {what}")
    refuse_reserved(call.session.backend, cursor, cursor.tokens[cursor.at - 1])
    return Creation(what, replace, if_absent, Target(call, path, at))


def read_header(cursor: TokenCursor, *words: str) -> tuple[bool, bool]:
    """`CREATE [OR REPLACE] words [IF NOT EXISTS]`: (whether to replace, whether to leave what is there)."""
    cursor.expect("CREATE")
    replace = cursor.accept("OR", "REPLACE")
    start = cursor.token.start
    if cursor.accept_one(_TEMPORARY):
        raise error_at(
            cursor.text,
            start,
            f"there are no temporary {words[0].lower()}s",
            hint="write WITH name AS (…) in the query, pass a frame by its variable's name, work on a branch, "
            "or DROP it in the transaction that made it, which leaves nothing behind",
        )
    cursor.accept("PERSISTENT")
    cursor.expect(*words)
    start = cursor.token.start
    if_absent = cursor.accept("IF", "NOT", "EXISTS")
    if replace and if_absent:
        raise error_at(cursor.text, start, "OR REPLACE and IF NOT EXISTS exclude each other")
    return replace, if_absent


def make_room(scope: TransactionScope, creation: Creation) -> str | None:
    """The schema for a new table, with one to be replaced dropped; None if there is one that stays."""
    space = creation.target.home(scope)
    there = creation.target.relation(scope, space)
    if isinstance(there, NamedView):
        raise AlreadyExistsError(
            f"{creation.target.label!r} is the name of a view", hint="drop the view, or take another name"
        )
    if creation.skips(there):
        return None
    if there is not None:
        ddl.drop_table(scope.tx, there.schema)
    return space
