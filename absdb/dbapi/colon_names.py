"""Parameters written `:name`, as PEP 249's style `named` has them, made `$name`.

    WHERE id = :id AND note = ':id'     WHERE id = $id AND note = ':id'

A colon is also part of slices (`list[:n]`), structs (`{'a':b}`) and casts (`x::int`), so only one that follows a blank,
a bracket or an operator, and stands before a name that has a value, is taken. Called by cursor.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.tokens import Kind, tokenize

_BEFORE = frozenset("(,=<>+-*/%|&;")


def with_dollar_names(text: str, values: Mapping[str, Any]) -> str:
    """The text with every `:name` that `values` has a value for written `$name`."""
    if ":" not in text:
        return text
    edits = [
        Edit(colon.start, name.stop, f"${name.value}")
        for colon, name in pairwise(tokenize(text))
        if colon.upper == ":"
        and name.kind is Kind.WORD
        and name.start == colon.stop
        and name.value in values
        and (colon.start == 0 or text[colon.start - 1].isspace() or text[colon.start - 1] in _BEFORE)
    ]
    return Edited(text, edits).text if edits else text
