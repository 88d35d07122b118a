"""Tables that are variables of the calling program: `main.sql("SELECT * FROM frame")`.

Looked up where the statement was called from, local names first, and only for names that no table has. A server
passes none. Called by Database.sql and its like, and by the cells of notebooks.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absdb.pages.types import from_frame

if TYPE_CHECKING:
    from absdb.sql.query.prepared import Frames


def frames_of_caller(depth: int = 2) -> Frames:
    """What finds variables of the function `depth` calls up from here."""
    frame = sys._getframe(depth)

    return lambda name: _found(name, frame.f_locals, frame.f_globals)


def frames_in(*spaces: Mapping[str, Any]) -> Frames:
    """What finds variables in these namespaces, the first one first."""
    return lambda name: _found(name, *spaces)


def _found(name: str, *spaces: Mapping[str, Any]) -> Any:
    return next((as_rows(space[name]) for space in spaces if name in space), None)


def as_rows(value: Any) -> Any:
    """What DuckDB can read rows from, None if the value is no frame: numbers and texts are not tables."""
    if value is None or isinstance(value, (str, bytes, int, float, type)):
        return None
    if hasattr(value, "__arrow_c_stream__") or type(value).__module__.partition(".")[0] == "pandas":
        return from_frame(value)
    return None
