"""The lines of magics, taken apart: options, words, and the name that a result is bound to.

    --database staging   --database=staging   --at "2026-04-04 14:05Z"   --keep
    name << SELECT …     the result under a name; `name = <<` shows it as well
    $name  {{name}}      as the value of an option: that of the variable

Called by every magic.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from absdb.errors import InvalidInputError
from absdb.magics.variables import value_of_text

Given = dict[str, str]
"""Options by name with their values, "" for those that take none."""

_OPTION = re.compile(r"[ \t]*--([A-Za-z][\w-]*)(?:=|(?=\s)|$)")
_WORD = re.compile(r"""[ \t]*(?:"([^"]*)"|'([^']*)'|(\{\{[^{}]*\}\}|\S+))""")
_BINDING = re.compile(r"\s*([^\W\d]\w*)\s*(=?)\s*<<")


class Binding(NamedTuple):
    """`name <<` at the beginning of a text: the name, whether to show the value as well, where the rest begins."""

    name: str
    shown: bool
    stop: int


def leading(line: str, known: Mapping[str, bool]) -> tuple[Given, str]:
    """(the options a line begins with, the rest). `known` says which there are, and whether they take a value."""
    given: Given = {}
    while option := _OPTION.match(line):
        name = option.group(1)
        if name not in known:
            names = ", ".join(f"--{each}" for each in known)
            raise InvalidInputError(f"there is no option --{name} here", hint=f"there are {names}")
        line = line[option.end() :]
        value = ""
        if known[name]:
            value, line = _first_word(line)
            if not value:
                raise InvalidInputError(
                    f"--{name} needs a value", hint="one with blanks goes in quotation marks"
                )
        given[name] = value
    return given, line


def words(line: str, known: Mapping[str, bool]) -> tuple[Given, list[str]]:
    """(the options of a line, its words), in any order."""
    given, line = leading(line, known)
    found: list[str] = []
    while line.strip():
        word, line = _first_word(line)
        found.append(word)
        more, line = leading(line, known)
        given |= more
    return given, found


def binding(text: str) -> Binding | None:
    """The name that the result of a text is bound to, if it says so."""
    found = _BINDING.match(text)
    if found is None:
        return None
    name = found.group(1)
    if keyword.iskeyword(name):
        raise InvalidInputError(f"{name!r} is a word of Python and cannot name a result")
    return Binding(name, bool(found.group(2)), found.end())


def valued(given: Given, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the values of variables where they name some."""
    return {name: value_of_text(value, variables) for name, value in given.items()}


def _first_word(line: str) -> tuple[str, str]:
    found = _WORD.match(line)
    if found is None:
        return "", ""
    return next(group for group in found.groups() if group is not None), line[found.end() :]
