"""The notebook around a panel: variables of its cells, to be read in SQL and to be set from a result."""

from __future__ import annotations

import keyword
from typing import Any

from IPython.core.getipython import get_ipython

from absdb.errors import InvalidInputError, StateError
from absdb.sql.query.frames import as_rows


def variable_named(name: str) -> Any:
    """The frame that a cell has bound to a name, None if there is none: what SQL may read."""
    shell = get_ipython()
    return None if shell is None else as_rows(shell.user_ns.get(name))


def set_variable(name: str, value: Any) -> None:
    """Bind a value to a name, as a cell would. InvalidInputError for what is no name."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidInputError(f"{name!r} is no name for a variable", hint="such as late_orders")
    shell = get_ipython()
    if shell is None:
        raise StateError("there is no notebook around this panel", hint="take page.answer.table")
    shell.user_ns[name] = value
