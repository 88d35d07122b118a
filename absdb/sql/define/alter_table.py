"""ALTER TABLE, one change or several, all of them or none.

    ALTER TABLE [IF EXISTS] name
        ADD [COLUMN] [IF NOT EXISTS] column …         DROP [COLUMN] [IF EXISTS] name [CASCADE | RESTRICT]
        RENAME [COLUMN] name TO new                   RENAME TO new
        ALTER [COLUMN] name [SET DATA] TYPE type [USING expression]
        ALTER [COLUMN] name SET DEFAULT … | DROP DEFAULT | SET NOT NULL | DROP NOT NULL
        ADD [CONSTRAINT name] UNIQUE | CHECK | FOREIGN KEY … | PRIMARY KEY …
        RENAME CONSTRAINT name TO new                 DROP CONSTRAINT [IF EXISTS] name
        SET SCHEMA schema                             SET (compression = 'zstd')
        , …

Changes that touch no rows cost the same at any size: see engine/ddl.py. Several may be given with commas between
them. CASCADE drops with a column the constraints that need it. Called by dispatch.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from absdb.catalog.schema import TableSchema
from absdb.sql.define import alter_column, alter_constraint, alter_name
from absdb.sql.define.ddl_target import Target
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import pointing_at
from absdb.versioning.scope import TransactionScope

if TYPE_CHECKING:
    from absdb.sql.session import Call

Change = Callable[[TransactionScope, TableSchema], TableSchema]
"""One change, from a table as it is to what it becomes."""


def execute(call: Call) -> Result:
    """Change the definition of a table."""
    cursor = TokenCursor(call.statement)
    cursor.expect("ALTER", "TABLE")
    if_exists = cursor.accept("IF", "EXISTS")
    at = cursor.token.start
    target = Target(call, cursor.path("the name of a table"), at)
    changes: list[tuple[int, Change]] = []
    while not changes or cursor.accept(","):
        start = cursor.token.start
        changes.append((start, _change(call, cursor, target)))
    cursor.end()

    def work(scope: TransactionScope) -> None:
        if if_exists and target.relation(scope) is None:
            return
        schema = target.table(scope).schema
        for start, change in changes:
            with pointing_at(call.text, start):
                schema = change(scope, schema)

    target.write(work)
    return Result(statement="ALTER TABLE")


def _change(call: Call, cursor: TokenCursor, target: Target) -> Change:
    """The change that comes next."""
    verb = cursor.expect_one(("ADD", "DROP", "ALTER", "RENAME", "SET"))
    if verb == "ADD":
        if alter_constraint.begins(cursor):
            return alter_constraint.read_add(call, cursor)
        return alter_column.read_add(call, cursor)
    if verb == "DROP":
        if cursor.accept("CONSTRAINT"):
            return alter_constraint.read_drop(call, cursor)
        return alter_column.read_drop(call, cursor)
    if verb == "ALTER":
        return alter_column.read_alter(call, cursor)
    return (
        alter_name.read_rename(call, cursor, target)
        if verb == "RENAME"
        else alter_name.read_set(cursor, target)
    )
