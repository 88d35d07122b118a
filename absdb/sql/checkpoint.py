"""CHECKPOINT: everything into page files now, so that recovery starts here. It concerns the whole instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.engine.checkpoint import checkpoint
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor

if TYPE_CHECKING:
    from absdb.sql.session import Call


def execute(call: Call) -> Result:
    """Take a checkpoint."""
    cursor = TokenCursor(call.statement)
    cursor.accept("FORCE")
    cursor.expect("CHECKPOINT")
    cursor.end()
    checkpoint(call.session.engine)
    return Result(statement="CHECKPOINT")
