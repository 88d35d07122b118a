"""Parameters: `?`, `$1` and `$name` become `$p1` and `$name`, so that parts of a statement can be run alone.

A sequence of values goes with `?` and `$1`, a mapping with `$name`. Values are bound, never pasted; numbers, arrays and
columns of numpy, pandas and pyarrow as what they hold. Called by session.py for every statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from absdb.errors import InvalidInputError
from absdb.sql.text.edits import Edit
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, Token

Values = Sequence[Any] | Mapping[str, Any] | None


def parameter_edits(text: str, tokens: Sequence[Token]) -> tuple[list[Edit], list[str]]:
    """(edits that name every parameter, the names in order of appearance, each once)."""
    edits: list[Edit] = []
    names: dict[str, None] = {}
    questions = 0
    kinds: set[str] = set()
    for token in tokens:
        if token.kind is not Kind.PARAMETER:
            continue
        written = text[token.start]
        if written == "?" and not token.value:
            questions += 1
            name = f"p{questions}"
        else:
            name = f"p{int(token.value)}" if token.value.isdecimal() else token.value
        kinds.add(
            "named"
            if not token.value.isdecimal() and written == "$"
            else "?"
            if not token.value
            else "numbered"
        )
        if len(kinds) > 1:
            raise error_at(text, token.start, "?, $1 and $name cannot be mixed in one statement")
        names[name] = None
        if text[token.start : token.stop] != f"${name}":
            edits.append(Edit(token.start, token.stop, f"${name}"))
    return edits, list(names)


def bind(names: Sequence[str], values: Values) -> dict[str, Any]:
    """The value of each parameter; InvalidInputError if some are missing or left over."""
    if values is None:
        given: dict[str, Any] = {}
    elif isinstance(values, Mapping):
        given = {str(name).removeprefix("$"): value for name, value in values.items()}
    elif isinstance(values, Sequence) and not isinstance(values, (str, bytes)):
        given = {f"p{number}": value for number, value in enumerate(values, start=1)}
    else:
        raise InvalidInputError(
            f"parameters must be a list, a tuple or a dict, not {type(values).__name__}",
            hint="a single value is [value]",
        )
    missing = [name for name in names if name not in given]
    extra = [name for name in given if name not in names]
    if missing or extra:
        positional = all(name[:1] == "p" and name[1:].isdecimal() for name in (*names, *given))
        if positional:
            raise InvalidInputError(
                f"the statement has {len(names)} parameters, and {len(given)} values are given"
            )
        what = f"has no value for {', '.join('$' + name for name in missing)}" if missing else ""
        more = f"has no parameter {', '.join('$' + name for name in extra)}" if extra else ""
        raise InvalidInputError(f"the statement {' and '.join(filter(None, (what, more)))}")
    return {name: _plain(value) for name, value in given.items()}


def _plain(value: Any) -> Any:
    """What a value of numpy, pandas or pyarrow holds, as Python has it; all others as they are."""
    match type(value).__module__.partition(".")[0]:
        case "builtins" if isinstance(value, list) and value and type(value[0]).__module__ == "numpy":
            return [_plain(each) for each in value]
        case "numpy" if hasattr(value, "astype"):
            # tolist() of nanoseconds gives numbers.
            return (value.astype("M8[us]") if value.dtype.kind == "M" else value).tolist()
        case "pandas" if hasattr(value, "tolist"):
            return pa.array(value, from_pandas=True).to_pylist()
        case "pyarrow" if hasattr(value, "as_py"):
            return value.as_py()
        case "pyarrow" if hasattr(value, "to_pylist"):
            return value.to_pylist()
    return value
