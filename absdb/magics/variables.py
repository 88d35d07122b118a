"""Variables of the notebook in SQL: `$name` and `{{name}}` are parameters that are bound, never pasted.

    WHERE id = $wanted                        a variable
    WHERE total > {{limits["total"][0]}}      attributes and items of one
    '$wanted'  'costs {{wanted}}'  $$…$$      text stays text

Nothing is called or computed: an expression in braces is a name with attributes and constant indices. Called by
statements.py and options.py.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Mapping
from typing import Any

from absdb.errors import InvalidInputError
from absdb.sql.text.edits import Edit, Edited
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, Token, tokenize

_BRACES = re.compile(r"\{\{([^{}]*)\}\}")
_WHOLE = re.compile(r"\$([^\W\d]\w*)|\{\{([^{}]*)\}\}")


def bound(text: str, variables: Mapping[str, Any]) -> tuple[Edited, dict[str, Any]]:
    """(the text with a parameter in place of each `{{…}}`, the value of each parameter).

    QueryError points at a variable that is not there.
    """
    tokens = tokenize(text)
    taken = {token.value for token in tokens if token.kind is Kind.PARAMETER}
    names: dict[str, str] = {}  # of the parameter for an expression
    values: dict[str, Any] = {}
    edits: list[Edit] = []
    for token in tokens:
        if edits and token.start < edits[-1].stop:
            continue
        if token.kind is Kind.PARAMETER:
            values[token.value] = _parameter(text, token, variables)
        elif token.upper == "{" and (braces := _BRACES.match(text, token.start)):
            expression = braces.group(1).strip()
            if expression not in names:
                names[expression] = expression if expression.isidentifier() else _unused(taken)
                taken.add(names[expression])
            values[names[expression]] = _value_at(text, token.start, expression, variables)
            edits.append(Edit(token.start, braces.end(), f"${names[expression]}"))
    return Edited(text, edits), values


def in_quotes(text: str, variables: Mapping[str, Any]) -> list[str]:
    """The variables that a text names in braces inside quotes, where they are not replaced."""
    strings = (text[token.start : token.stop] for token in tokenize(text) if token.kind is Kind.STRING)
    named = (found.group(1).strip() for string in strings for found in _BRACES.finditer(string))
    return [each for each in dict.fromkeys(named) if each in variables]


def value_of_text(text: str, variables: Mapping[str, Any]) -> Any:
    """What `$name` or `{{name}}` stands for; any other text as it is."""
    found = _WHOLE.fullmatch(text)
    if found is None:
        return text
    expression = found.group(1) or found.group(2).strip()
    try:
        return value_of(expression, variables)
    except LookupError as error:
        raise InvalidInputError(f"{text}: {error.args[0]}", hint=_nearest(expression, variables)) from None


def value_of(expression: str, variables: Mapping[str, Any]) -> Any:
    """A variable, or attributes and items of one. LookupError, with a message, if there is none."""
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise LookupError(f"{expression!r} is no name of a variable") from None
    return _walked(tree, expression, variables)


def _walked(tree: ast.expr, expression: str, variables: Mapping[str, Any]) -> Any:
    match tree:
        case ast.Name(id=name):
            if name not in variables:
                raise LookupError(f"there is no variable {name!r}")
            return variables[name]
        case ast.Attribute(value=inner, attr=name):
            owner = _walked(inner, expression, variables)
            try:
                return getattr(owner, name)
            except AttributeError:
                raise LookupError(f"{ast.unparse(inner)} has no attribute {name!r}") from None
        case ast.Subscript(value=inner, slice=index):
            owner = _walked(inner, expression, variables)
            try:
                return owner[ast.literal_eval(index)]
            except (LookupError, TypeError, ValueError):
                raise LookupError(f"{ast.unparse(inner)} has no item {ast.unparse(index)}") from None
    raise LookupError(f"{expression!r} is more than a name with attributes and items")


def _parameter(text: str, token: Token, variables: Mapping[str, Any]) -> Any:
    if not token.value or token.value.isdecimal():
        raise error_at(
            text,
            token.start,
            "a cell has no values for parameters without a name",
            hint="name a variable: $wanted, or {{wanted}}",
        )
    return _value_at(text, token.start, token.value, variables)


def _value_at(text: str, at: int, expression: str, variables: Mapping[str, Any]) -> Any:
    try:
        value = value_of(expression, variables)
    except LookupError as error:
        raise error_at(text, at, str(error.args[0]), hint=_nearest(expression, variables)) from None
    if hasattr(value, "columns"):
        raise error_at(
            text,
            at,
            f"{expression} is a frame, which is no value",
            hint=f"a table goes by its name: FROM {expression}",
        )
    return value


def _nearest(expression: str, variables: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(expression, [name for name in variables if name[:1] != "_"], n=1)
    return f"did you mean {near[0]!r}?" if near else "assign it in a cell before this one"


def _unused(taken: set[str]) -> str:
    return next(name for number in range(1, len(taken) + 2) if (name := f"_value_{number}") not in taken)
