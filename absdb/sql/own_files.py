"""An instance's own files are out of reach for SQL: neither read nor overwritten, whatever the path looks like.

Called by rewrite.py for the paths a query names, by copy.py for where it writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from absdb.sql.parsed import Query
    from absdb.sql.rewrite import Rewriter


def refuse_own_files(rewriter: Rewriter, query: Query) -> None:
    """QueryError if the query names a file of the instance."""
