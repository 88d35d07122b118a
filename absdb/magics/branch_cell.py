"""`%%branch`: a cell that runs on a fresh branch of the current database.

    before      the branch is made, and is the current database of the magics; `branch` is a variable, and so is its
                name unless that is taken by something else
    after       its diff against what it was made from is shown. With --keep, or where the cell says `%branch keep`, it
                stays; else it is dropped, and the variables are what they were
    an error    drops it in any case, and the cell fails as any other does

Called by commands.py.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from absdb.database import Database
from absdb.errors import InvalidInputError, StateError
from absdb.instance import Instance
from absdb.magics.attached import Attached, Attachments
from absdb.magics.options import valued, words
from absdb.magics.short_errors import shown_shortly
from absdb.magics.statements import scope_named
from absdb.sql.completion.names import written

OPTIONS = {"from": True, "at": True, "keep": False}
VARIABLE = "branch"
_ABSENT = object()


@dataclass
class Running:
    """The branch of a cell that runs."""

    branch: Database
    base: Database
    keep: bool


class BranchCells:
    """The branches of the cells that run now: one, or several inside of each other."""

    def __init__(self, shell: InteractiveShell, attachments: Attachments) -> None:
        self._shell = shell
        self._attachments = attachments
        self._running: list[Running] = []

    def keep(self, line: str) -> None:
        """`%branch keep`: keep the branch of the cell that runs. StateError if none does."""
        if line.strip() != "keep":
            raise InvalidInputError(
                f"%branch goes with keep, not with {line.strip() or 'nothing'}",
                hint="%branch keep, inside of a %%branch cell, keeps its branch; %%branch makes one",
            )
        if not self._running:
            raise StateError("no %%branch cell is running", hint="%%branch NAME --keep runs one and keeps it")
        self._running[-1].keep = True

    def run(self, line: str, cell: str) -> None:
        """Run a cell on a branch of its own."""
        __tracebackhide__ = True
        shell = self._shell
        with shown_shortly(shell):
            attached, running = self._made(line)
        name = running.branch.name
        names = [VARIABLE, *([name] if self._is_free(name) else [])]
        before = {each: shell.user_ns.get(each, _ABSENT) for each in names}
        shell.push(dict.fromkeys(names, running.branch))
        self._running.append(running)
        try:
            with self._attachments.working_on(attached, running.branch._scope) as session:
                run_body(shell, cell)
                unfinished = session.has_written
            with shown_shortly(shell):
                self._end(attached.instance, running, before, unfinished=unfinished)
        except BaseException:
            if self._drop(attached.instance, running, before):
                print(f"branch {name!r} was dropped, since the cell failed")
            raise
        finally:
            self._running.remove(running)

    def _made(self, line: str) -> tuple[Attached, Running]:
        options, named = words(line, OPTIONS)
        if len(named) > 1:
            raise InvalidInputError(f"%%branch makes one branch, not {' and '.join(named)}")
        given = valued(options, self._shell.user_ns)
        attached = self._attachments.current()
        if attached.session.in_transaction:
            raise StateError("a transaction is open in the cells", hint="COMMIT or ROLLBACK it first")
        scope = attached.session.scope
        if given.keys() & {"from", "at"}:
            scope = scope_named(attached, {"database": given.get("from"), "at": given.get("at")})
        source = Database(scope)
        base = source.at(lsn=source.lsn) if scope.writable else source
        branch = base.branch(named[0] if named else _unused(attached.instance))
        return attached, Running(branch, base, "keep" in options)

    def _is_free(self, name: str) -> bool:
        """Whether a variable of that name can stand for the branch: it is new, or stands for a database now."""
        held = self._shell.user_ns.get(name, _ABSENT)
        return name.isidentifier() and (held is _ABSENT or isinstance(held, Database))

    def _end(
        self, instance: Instance, running: Running, before: Mapping[str, Any], *, unfinished: bool
    ) -> None:
        """Show what the cell has done, and keep the branch or drop it."""
        branch = running.branch
        if not _is_there(instance, branch):
            self._put_back(before)
            return
        if unfinished:
            print("the transaction that the cell left open was rolled back")
        display(branch.diff(running.base))
        name, source = branch.name, running.base.name
        if running.keep:
            sides = f"{written(name)} INTO {written(source)}"
            print(f"branch {name!r} is kept; MERGE DATABASE {sides} brings it over")
        elif self._drop(instance, running, before):
            print(f"branch {name!r} was dropped; %%branch --keep keeps it")

    def _drop(self, instance: Instance, running: Running, before: Mapping[str, Any]) -> bool:
        """Drop the branch if it is still there, and give its variables back; whether it was dropped."""
        there = _is_there(instance, running.branch)
        if there:
            if running.branch.protected:
                running.branch.unprotect()
            running.branch.drop()
        self._put_back(before)
        return there

    def _put_back(self, before: Mapping[str, Any]) -> None:
        for name, value in before.items():
            if value is _ABSENT:
                self._shell.user_ns.pop(name, None)
            else:
                self._shell.user_ns[name] = value


def run_body(shell: InteractiveShell, cell: str) -> None:
    """Run the text of a cell as the shell would, in its variables; the value of a last expression is shown."""
    # IPython shows no frames above this one.
    __tracebackhide__ = "__ipython_bottom__"
    source = shell.transform_cell(cell)
    number = len(shell.user_ns.get("In", ())) - 1
    name = shell.compile.cache(source, number, raw_code=cell)
    tree = shell.transform_ast(shell.compile.ast_parse(source, filename=name))
    shown = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
    for part, mode in ((ast.Module(tree.body, []), "exec"), (ast.Interactive(shown), "single")):
        exec(compile(part, name, mode, shell.compile.flags, dont_inherit=True), shell.user_ns)


def _is_there(instance: Instance, branch: Database) -> bool:
    return not instance.closed and branch._scope.database in branch._scope.engine.history.databases


def _unused(instance: Instance) -> str:
    return next(
        name for number in range(1, len(list(instance)) + 2) if (name := f"branch_{number}") not in instance
    )
