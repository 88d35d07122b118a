"""The meta commands of the shell: lines that begin with a dot, such as `.branch staging`.

Each is an entry of COMMANDS with its arguments, which completion uses, and a line of help. Called by
shell_session.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from absdb.catalog.history import DatabaseInfo
from absdb.cli.log import short_entry
from absdb.cli.marked_lines import MarkedWriter
from absdb.cli.output import items
from absdb.cli.row_formats import FORMATS
from absdb.cli.shell_session import Left, Shell
from absdb.engine.listing import columns, constraints, tables
from absdb.errors import InvalidInputError, NotFoundError
from absdb.io.row_files import replacing, text_of
from absdb.sql.query.names import alike, views_of
from absdb.sql.text.suggestion import suggestion
from absdb.versioning.as_of import Point, resolve
from absdb.versioning.branch import create_branch
from absdb.versioning.diff import Diff
from absdb.versioning.diff_choice import Choice
from absdb.versioning.diff_source import TableSource, wanted_rows
from absdb.versioning.listing import branches, databases, snapshots
from absdb.versioning.log import log
from absdb.versioning.scope import HeadScope, PastScope

LOG_ENTRIES = 20
_LSN = re.compile(r"\d+/\d+|\d+")


@dataclass(frozen=True, slots=True)
class Command:
    """A meta command. `arguments` are what completion offers for each: table, database, point, mode, …"""

    run: Callable[[Shell, list[str]], None]
    usage: str
    help: str
    arguments: tuple[str, ...] = ()
    least: int = 0

    @property
    def most(self) -> int:
        return len(self.arguments)


def run_command(shell: Shell, line: str) -> None:
    """Run one; InvalidInputError, with the right spelling, for a line that is none."""
    try:
        name, *words = shlex.split(line.rstrip(";"))
    except ValueError as error:
        raise InvalidInputError(f"a quote does not end: {line}") from error
    name = name.lower()
    command = COMMANDS.get(name)
    if command is None:
        raise InvalidInputError(
            f"there is no command {name}", hint=suggestion(name, COMMANDS, ".help tells more; there are")
        )
    if command.arguments and command.arguments[-1] == "point":
        words = [" ".join(words)] if words else []
    if not command.least <= len(words) <= command.most:
        raise InvalidInputError(f"it is written {command.usage}")
    shell.follow_writer()
    command.run(shell, words)


# -- where to be


def _branch(shell: Shell, words: list[str]) -> None:
    engine = shell.session.engine
    if not words:
        shell.show_table(branches(engine), "there are none")
        return
    point = (
        shell.session.scope.point()
        if len(words) == 1
        else HeadScope(engine, _database(shell, words[1])).point()
    )
    shell.use(shell.session.scope)  # refuses in a transaction
    info = create_branch(engine, words[0], point)
    shell.use(HeadScope(engine, info))
    shell.printing.remark(f"made branch {info.name} from {point.database.name} @ {point.lsn}, and went there")


def _use(shell: Shell, words: list[str]) -> None:
    name, _, namespace = words[0].partition(".")
    scope = HeadScope(shell.session.engine, _database(shell, name))
    if namespace:
        spaces = scope.catalog().namespaces
        found = alike({each: each for each in spaces}, namespace)
        if found is None:
            hint = suggestion(namespace, spaces, "there are")
            raise NotFoundError(f"database {name!r} has no schema {namespace!r}", hint=hint)
        shell.use(scope, found)
    else:
        shell.use(scope)


def _at(shell: Shell, words: list[str]) -> None:
    point = _point(shell, shell.session.scope.info(), words[0])
    shell.use(PastScope(shell.session.engine, point), shell.session.namespace)
    shell.printing.remark(f"{point.database.name} as it was at {point.lsn}; .now goes back")


def _now(shell: Shell, words: list[str]) -> None:
    scope = shell.session.scope
    shell.use(HeadScope(scope.engine, scope.info()), shell.session.namespace)


def _database(shell: Shell, name: str) -> DatabaseInfo:
    infos = {info.name: info for info in list(shell.session.engine.history.databases.values())}
    return alike(infos, name) or shell.session.engine.history.database(name)


def _point(shell: Shell, info: DatabaseInfo, text: str) -> Point:
    """A point as it is written: `snapshot before`, `before`, `0/1234`, `2026-04-04 14:05Z`."""
    engine = shell.session.engine
    kind, _, rest = text.partition(" ")
    if kind.lower() in ("lsn", "time", "snapshot") and rest:
        return resolve(engine, info, **{kind.lower(): rest.strip()})
    try:
        return resolve(engine, info, snapshot=text)
    except NotFoundError as missing:
        if _LSN.fullmatch(text):
            return resolve(engine, info, lsn=text)
        if text[:1].isdecimal():
            return resolve(engine, info, time=text)
        hint = missing.hint or "a point is a snapshot's name, an LSN or a time"
        raise NotFoundError(missing.message, hint=hint) from missing


# -- what there is


def _databases(shell: Shell, words: list[str]) -> None:
    shell.show_table(databases(shell.session.engine), "there are none")


def _snapshots(shell: Shell, words: list[str]) -> None:
    info = _database(shell, words[0]) if words else None
    found = snapshots(shell.session.engine, None if info is None else info.id)
    shell.show_table(found, "there are no snapshots")


def _tables(shell: Shell, words: list[str]) -> None:
    scope = HeadScope(shell.session.engine, _database(shell, words[0])) if words else shell.session.scope
    found = tables(scope.catalog(), scope.reader)
    shell.show_table(found, f"{scope.info().name} has no tables")
    views = [view["name"] for view in views_of(scope.catalog())]
    if views:
        shell.printing.remark(f"views: {', '.join(sorted(views))}")


def _schema(shell: Shell, words: list[str]) -> None:
    catalog = shell.session.scope.catalog()
    if words:
        namespace, _, name = words[0].rpartition(".")
        schema = catalog.table(name, namespace or None) if namespace else catalog.table(name)
        shell.show_table(columns(schema), "no columns")
        found = constraints(schema, catalog)
        if found.num_rows:
            shell.printing.write(b"\n")
            shell.show_table(found, "no constraints")
        return
    rows = [
        {"table": schema.full_name, "columns": ", ".join(f"{c.name} {c.type}" for c in schema.columns)}
        for schema in sorted(catalog.tables.values(), key=lambda schema: schema.full_name)
    ]
    shell.show_table(pa.Table.from_pylist(rows), "there are no tables")


def _log(shell: Shell, words: list[str]) -> None:
    count = _count(words[0]) if words else LOG_ENTRIES
    found = log(shell.session.engine, shell.session.scope.point(), limit=count)
    if shell.printing.format in ("table", "line"):
        entries = [dict(short_entry(entry)) for entry in items(found)]
        found = pa.Table.from_pylist([{**each, "tables": ", ".join(each["tables"])} for each in entries])
    shell.show_table(found, "nothing has happened yet")


def _diff(shell: Shell, words: list[str]) -> None:
    engine, target = shell.session.engine, shell.session.scope.point()
    infos = {info.name: info for info in list(engine.history.databases.values())}
    other = alike(infos, words[0])
    if other is not None:
        source = HeadScope(engine, other).point()
    else:
        try:
            source = _point(shell, target.database, words[0])
        except NotFoundError as error:
            hint = suggestion(words[0], infos, "databases here")
            raise NotFoundError(f"there is no database and no snapshot {words[0]!r}", hint=hint) from error
    found = Diff(engine, source=source, target=target)
    here, there = (f"{point.database.name} @ {point.lsn}" for point in (target, source))
    shell.printing.remark(f"what {here} has that {there} has not")
    if len(words) == 1:
        shell.show_table(found.summary(cells=True), "no difference")
    else:
        name = next(
            (each for each in found.common_names() if each.casefold() == words[1].casefold()), words[1]
        )
        rows, printing = TableSource(found.table(name)), shell.printing
        marked = MarkedWriter(printing.write, printing.screen, rows.compared())
        found_rows = wanted_rows(rows, Choice(), engine.evaluator)
        shell.show_rows(found_rows, marked if printing.format == "table" else None)


# -- how to print


def _mode(shell: Shell, words: list[str]) -> None:
    if not words:
        shell.printing.remark(shell.printing.format)
        return
    mode = words[0].lower()
    if mode not in FORMATS:
        raise InvalidInputError(f"there is no mode {mode!r}", hint=suggestion(mode, FORMATS, "modes"))
    if mode == "arrow" and shell.printing.screen is not None:
        raise InvalidInputError("Arrow is not for a terminal", hint="say .output FILE first")
    shell.printing = replace(shell.printing, format=mode)


def _limit(shell: Shell, words: list[str]) -> None:
    if words:
        shell.printing = replace(shell.printing, limit=None if words[0] == "all" else _count(words[0]))
        return
    limit = shell.printing.limit
    shell.printing.remark("all rows are shown" if limit is None else f"{limit:,} rows are shown")


def _output(shell: Shell, words: list[str]) -> None:
    force = "--force" in words
    files = [word for word in words if word != "--force"]
    if len(files) > 1 or (force and not files):
        raise InvalidInputError(f"it is written {COMMANDS['.output'].usage}")
    arrow = shell.printing.format == "arrow" and not files and shell.screen_printing.screen is not None
    shell.direct(replacing(files[0], force=force) if files else None)
    if arrow:
        shell.printing = replace(shell.printing, format="table")


def _read(shell: Shell, words: list[str]) -> None:
    shell.run_script(text_of(words[0]))


def _timer(shell: Shell, words: list[str]) -> None:
    if words and words[0].lower() not in ("on", "off"):
        raise InvalidInputError(f"it is written {COMMANDS['.timer'].usage}")
    on = words[0].lower() == "on" if words else not shell.printing.timing
    shell.printing = replace(shell.printing, timing=on)
    shell.printing.remark(f"the timer is {'on' if on else 'off'}")


def _help(shell: Shell, words: list[str]) -> None:
    room = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"{command.usage:{room}}  {command.help}" for command in _chosen(words)]
    if not words:
        lines += ["", *_KEYS]
    shell.printing.write("".join(f"{line}\n" for line in lines).encode())


def _chosen(words: Sequence[str]) -> list[Command]:
    if not words:
        return list(COMMANDS.values())
    name = "." + words[0].lstrip(".").lower()
    if name not in COMMANDS:
        raise InvalidInputError(f"there is no command {name}", hint=suggestion(name, COMMANDS, "there are"))
    return [COMMANDS[name]]


def _quit(shell: Shell, words: list[str]) -> None:
    raise Left


def _count(text: str) -> int:
    if not text.isdecimal():
        raise InvalidInputError(f"{text!r} is no number of rows")
    return int(text)


_KEYS = (
    "A statement ends with a semicolon, and may have many lines. Tab completes,",
    "the arrow keys and Ctrl-R bring back what was typed before, Ctrl-C stops a",
    "query or forgets the line, Ctrl-D leaves. Text that begins with a blank is",
    "not remembered.",
)
COMMANDS: dict[str, Command] = {
    ".use": Command(_use, ".use DATABASE[.SCHEMA]", "Go to a database or branch.", ("database",), 1),
    ".branch": Command(
        _branch, ".branch [NAME [FROM]]", "Make a branch and go there; list them.", ("name", "database")
    ),
    ".at": Command(_at, ".at POINT", "Look at the past: a snapshot, an LSN, a time.", ("point",), 1),
    ".now": Command(_now, ".now", "Come back from there."),
    ".diff": Command(
        _diff,
        ".diff OTHER [TABLE]",
        "What is here that another one, or a point, has not.",
        ("database or point", "table"),
        1,
    ),
    ".log": Command(_log, ".log [N]", "The newest commits.", ("number",)),
    ".databases": Command(_databases, ".databases", "The databases of the instance."),
    ".snapshots": Command(_snapshots, ".snapshots [DATABASE]", "The snapshots.", ("database",)),
    ".tables": Command(_tables, ".tables [DATABASE]", "The tables and views.", ("database",)),
    ".schema": Command(_schema, ".schema [TABLE]", "Columns and constraints.", ("table",)),
    ".mode": Command(_mode, ".mode [FORMAT]", f"Print rows as {', '.join(FORMATS)}.", ("mode",)),
    ".limit": Command(_limit, ".limit N|all", "How many rows are shown.", ("limit",)),
    ".output": Command(
        _output, ".output [FILE [--force]]", "Print into a file; here again.", ("file", "force")
    ),
    ".read": Command(_read, ".read FILE", "Run the statements of a file.", ("file",), 1),
    ".timer": Command(_timer, ".timer on|off", "Whether to say how long statements take.", ("switch",)),
    ".help": Command(_help, ".help [COMMAND]", "This list.", ("command",)),
    ".quit": Command(_quit, ".quit", "Leave."),
}
"""By name, in the order of the help."""
