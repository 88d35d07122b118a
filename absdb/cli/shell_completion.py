"""What Tab offers in the shell: behind a meta command what COMMANDS says, elsewhere what SQL offers.

Called by shell_prompt.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from absdb.cli.row_formats import FORMATS
from absdb.cli.shell_session import META
from absdb.errors import AbsdbError
from absdb.sql.completion.names import Names, matching
from absdb.sql.completion.offers import OFFERED_MAX, Offer
from absdb.sql.completion.offers import offers as statement_offers

_WORDS_FOR = {"mode": FORMATS, "switch": ("on", "off"), "limit": ("all",), "force": ("--force",)}


def offers(before: str, after: str, names: Names) -> list[Offer]:
    """What may come at the place between the two texts, best first."""
    if not before.startswith(META):
        return statement_offers(before, after, names)
    try:
        return _of_command(before, names)[:OFFERED_MAX]
    except AbsdbError:
        # Something was dropped or closed while we looked. Typing goes on, and running it will say so.
        return []


def _of_command(line: str, names: Names) -> list[Offer]:
    from absdb.cli.shell_commands import COMMANDS

    name, blank, rest = line.partition(" ")
    if not blank:
        return [Offer(each, len(name), "command") for each in COMMANDS if each.startswith(name.lower())]
    command = COMMANDS.get(name.lower())
    if command is None:
        return []
    words = rest.split(" ")
    at = len(words) - 1
    if command.arguments[-1:] == ("point",):
        at, words = 0, [rest]
    if at >= len(command.arguments):
        return []
    known = _arguments(command.arguments[at], names)
    return [Offer(each, len(words[-1]), command.arguments[at]) for each in matching(known, words[-1])]


def _arguments(kind: str, names: Names) -> Iterable[str]:
    from absdb.cli.shell_commands import COMMANDS

    match kind:
        case "database":
            return names.databases()
        case "point":
            return names.snapshots()
        case "database or point":
            return [*names.databases(), *names.snapshots()]
        case "table":
            return names.tables()
        case "command":
            return [name.removeprefix(META) for name in COMMANDS]
    return _WORDS_FOR.get(kind, ())
