"""What Tab offers in SQL of cells, and behind the options of our magics.

    %%absdb, %%sql      tables, columns, branches, snapshots, functions, keywords, as the shell of the terminal offers
    %sql …              the same; also in the body of %%branch
    $▮  {{▮             variables that can be values
    --database ▮        databases      --from ▮  the same      --at ▮  snapshots      %absdb ▮  instances in variables

IPython asks the matcher with the text of the whole cell. Registered by extension.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import NamedTuple

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.interactiveshell import InteractiveShell

from absdb.database import Database
from absdb.errors import AbsdbError
from absdb.instance import Instance
from absdb.magics import branch_cell, commands, statements
from absdb.magics.attached import Attachments
from absdb.magics.options import leading
from absdb.sql.completion.names import Names, matching
from absdb.sql.completion.offers import Offer, offers
from absdb.sql.session import Session
from absdb.versioning.scope import HeadScope

_CELL = re.compile(r"\s*%%(\w+)([^\n]*)")
_LINE = re.compile(r"\s*(?:[^\W\d]\w*\s*=\s*)?%(\w+)\b[ \t]*(.*)")
_VARIABLE = re.compile(r"(?:\$|\{\{\s*)([^\W\d]\w*|)$")
_VALUE = re.compile(r"""--(database|from|at)(?:=|[ \t]+)(?:["']([^"']*)|([^"'\s]*))$""")
_NAME = re.compile(r"--([\w-]*)$")


class Place(NamedTuple):
    """Where the cursor is: in the line of a magic, or in SQL."""

    line: str
    """The line of the magic, up to the cursor if it is there."""
    options: Mapping[str, bool]
    sql: str | None = None
    """The SQL before the cursor; None in the line of a magic."""
    after: str = ""


class CellCompleter:
    """Completes in one shell."""

    def __init__(
        self, shell: InteractiveShell, attachments: Attachments, is_ours: Callable[[str, str], bool]
    ) -> None:
        self._shell = shell
        self._attachments = attachments
        self._is_ours = is_ours

    @context_matcher(identifier="absdb", priority=1000)
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """What IPython asks; nothing where the cursor is in none of our magics."""
        lines = context.full_text.split("\n")
        here = lines[context.cursor_line]
        before = "\n".join([*lines[: context.cursor_line], here[: context.cursor_position]])
        after = "\n".join([here[context.cursor_position :], *lines[context.cursor_line + 1 :]])
        try:
            place = self._place(before, after)
            found = [] if place is None else self._offers(place)
        except AbsdbError:
            # Typing goes on, and running the cell will say what is wrong.
            found = []
        typed = found[0].replaces if found else 0
        return {
            "completions": [SimpleCompletion(each.text, type=each.kind) for each in found],
            "matched_fragment": before[len(before) - typed :],
            "suppress": bool(found),
            "ordered": True,
        }

    def _place(self, before: str, after: str) -> Place | None:
        """Where the cursor is, as far as it concerns our magics."""
        cell = _CELL.match(before)
        if cell is None or not self._is_ours(cell.group(1), "cell"):
            return self._place_in_line(before[before.rfind("\n") + 1 :], after.partition("\n")[0])
        magic, line = cell.groups()
        options = branch_cell.OPTIONS if magic == "branch" else statements.OPTIONS
        if cell.end() == len(before):
            return Place(line, options)
        body = before[cell.end() + 1 :]
        return self._place(body, after) if magic == "branch" else Place(line, options, body, after)

    def _place_in_line(self, before: str, after: str) -> Place | None:
        """The same for a magic of one line."""
        found = _LINE.match(before)
        if found is None or not self._is_ours(found.group(1), "line"):
            return None
        magic, line = found.groups()
        if magic != "sql":
            return Place(line, commands.ATTACH_OPTIONS) if magic == "absdb" else None
        if _VALUE.search(line) or _NAME.fullmatch(line.split(" ")[-1]):
            return Place(line, statements.OPTIONS)
        sql = leading(line, statements.OPTIONS)[1]
        return Place(line.removesuffix(sql), statements.OPTIONS, sql, after)

    def _offers(self, place: Place) -> list[Offer]:
        if place.sql is None:
            return self._in_line(place)
        if variable := _VARIABLE.search(place.sql):
            typed = variable.group(1)
            return [Offer(each, len(typed), "variable") for each in matching(self._values(), typed)]
        attached = self._attachments.current()
        request = statements.request(place.line, place.sql)
        before = request.text[request.start :]
        database = request.given.get("database")
        if not database:
            return offers(before, place.after, Names(attached.session))
        engine = attached.engine
        with Session(HeadScope(engine, engine.history.database(database))) as session:
            return offers(before, place.after, Names(session))

    def _in_line(self, place: Place) -> list[Offer]:
        """Options and their values; instances."""
        if value := _VALUE.search(place.line):
            attached = self._attachments.current()
            kind, typed = "database", value.group(2) or value.group(3) or ""
            found = sorted(attached.instance)
            if value.group(1) == "at":
                kind, found = "snapshot", Names(attached.session).snapshots()
        elif name := _NAME.search(place.line):
            kind, typed, found = "option", name.group(1), list(place.options)
        elif place.options is commands.ATTACH_OPTIONS:
            kind, typed, found = "instance", place.line.rpartition(" ")[2], self._instances()
        else:
            return []
        return [Offer(each, len(typed), kind) for each in matching(found, typed)]

    def _values(self) -> list[str]:
        """The variables of the notebook that can be parameters."""
        hidden = self._shell.user_ns_hidden
        return [
            name
            for name, value in self._shell.user_ns.items()
            if name[:1] != "_"
            and name not in hidden
            and not (callable(value) or isinstance(value, ModuleType))
        ]

    def _instances(self) -> list[str]:
        held = self._shell.user_ns.items()
        return [name for name, value in held if isinstance(value, Instance | Database) and name[:1] != "_"]
