"""What is typed: the magics with their help, each a forward to the module of its verb.

`%%absdb?` and the like show the docstrings. Registered by extension.py.
"""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import pandas as pd
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import needs_local_scope, no_var_expand
from IPython.display import display

from absdb.database import Database
from absdb.errors import InvalidInputError, StateError
from absdb.instance import Instance
from absdb.magics import statements
from absdb.magics.attached import Attachments
from absdb.magics.branch_cell import BranchCells
from absdb.magics.options import valued, words
from absdb.magics.short_errors import shown_shortly
from absdb.magics.undo import History, Undone
from absdb.magics.variables import value_of_text

ATTACH_OPTIONS = {"database": True, "read-only": False, "close": False}


class Commands:
    """The magics of one shell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.attachments = Attachments()
        self.branches = BranchCells(shell, self.attachments)
        self.history = History(shell)

    @no_var_expand
    @needs_local_scope
    def absdb(self, line: str, cell: str | None = None, *, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Attach an instance to the cells (%absdb), or run SQL on it (%%absdb).

        %absdb shop                        the instance in the variable shop, else in the directory of that name
        %absdb shop --database staging     and which database of it is the current one
        %absdb shop --read-only            beside a process that writes
        %absdb                             what is attached
        %absdb --close                     let go of the current one

        Attached is also what another process has open for writing, read-only then, and the cell says so. What the
        magic has opened is closed when the kernel ends or the extension is unloaded.

        %%absdb
        SELECT status, count(*) FROM orders GROUP BY ALL

        %%absdb --at "2026-04-04 14:05Z" then <<
        SELECT * FROM orders WHERE customer = $customer AND total > {{limits["total"]}}

        --database NAME  another database for this cell alone        --arrow, --polars  instead of a pandas frame
        --at POINT       as it was at an LSN, a time or a snapshot   name <<            the result under a name

        $customer and {{…}} are variables of the notebook, bound as parameters and never pasted into the text. Frames
        are tables by their names: SELECT * FROM frame. USE, BEGIN and COMMIT last over cells.
        """
        with shown_shortly(self.shell):
            if cell is not None:
                return statements.run(self.shell, self.attachments, line, cell, local_ns or {})
            return self._attach(line, ChainMap(dict(local_ns or {}), self.shell.user_ns))

    @no_var_expand
    @needs_local_scope
    def sql(self, line: str, cell: str | None = None, *, local_ns: Mapping[str, Any] | None = None) -> Any:
        """Run SQL on the instance that %absdb has attached.

        %%sql
        UPDATE orders SET status = 'paid' WHERE id = $paid

        %sql SELECT count(*) FROM orders
        counts = %sql SELECT status, count(*) FROM orders GROUP BY ALL

        %%absdb? says what goes for both. Where JupySQL is loaded, %sql and %%sql are JupySQL's.
        """
        with shown_shortly(self.shell):
            return statements.run(self.shell, self.attachments, line, cell, local_ns or {})

    @no_var_expand
    def branch(self, line: str, cell: str | None = None) -> None:
        """Run a cell on a fresh branch of the current database, and show what it changed.

        %%branch
        %sql UPDATE orders SET total = total * 2
        branch["orders"].head()

        %%branch prices --keep
        %%sql
        UPDATE orders SET total = total * 2

        --keep           keep the branch; else it is dropped at the end of the cell, and when the cell fails
        --from NAME      branch from another database than the current one
        --at POINT       as it was at an LSN, a time or a snapshot

        In the cell the branch is the current database, and the variable `branch`; with a name of its own also that
        variable. %branch keep in the cell keeps it, for a cell that decides by what it finds. What was kept is merged,
        or dropped, as any branch: MERGE DATABASE prices INTO main. %sql of JupySQL stays with its own connection.
        """
        # IPython shows the frames of the cell, and not this one.
        __tracebackhide__ = True
        if cell is not None:
            self.branches.run(line, cell)
            return
        with shown_shortly(self.shell):
            self.branches.keep(line)

    @no_var_expand
    def undo(self, line: str) -> None:
        """Put the data back as it was before the last cell that changed it.

        %undo

        It does not matter how the cell changed the data, by SQL or by Python, and in which of the open instances. It
        is a restore: a commit of its own, after which the log still shows what was undone. %undo once more undoes the
        cell before, %redo takes an undo back. Refused where something that was no cell has committed since. Databases
        that the cell made or dropped stay so. What a cell does to an instance that it opens itself is not known.
        """
        with shown_shortly(self.shell):
            self._check_no_transaction(line, "%undo")
            self._show(self.history.undo())

    @no_var_expand
    def redo(self, line: str) -> None:
        """Take the last %undo back; until a cell changes data.

        %redo
        """
        with shown_shortly(self.shell):
            self._check_no_transaction(line, "%redo")
            self._show(self.history.redo())

    def close(self) -> None:
        """Let go of everything that is attached."""
        self.attachments.close()

    def _attach(self, line: str, variables: Mapping[str, Any]) -> pd.DataFrame | None:
        """What `%absdb` does."""
        options, named = words(line, ATTACH_OPTIONS)
        if len(named) > 1:
            raise InvalidInputError(
                f"%absdb attaches one instance, not {' and '.join(map(repr, named))}",
                hint="%sql SELECT … runs a statement; a path with blanks goes in quotation marks",
            )
        given = valued(options, variables)
        if "close" in options:
            print(f"{self.attachments.detach(named[0] if named else None)} is no longer attached")
            return None
        if not named and "database" in options:
            attached = self.attachments.current()
            attached.session.use(attached.instance[given["database"]]._scope)
        elif not named:
            return self._listing()
        else:
            self._attach_one(named[0], given, variables)
        return None

    def _attach_one(self, name: str, given: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        database, said = given.get("database"), ""
        held = value_of_text(name, variables)
        if held is name and isinstance(variables.get(name), Instance | Database):
            held = variables[name]
        if isinstance(held, Instance | Database):
            attached = self.attachments.attach_open(held, name, database)
        elif isinstance(held, str | os.PathLike):
            read_only = "read-only" in given
            attached, said = self.attachments.attach_path(os.fspath(held), database, read_only=read_only)
        else:
            raise InvalidInputError(f"{name} is a {type(held).__name__}, and neither a path nor an instance")
        print(f"{attached.label}: database {attached.stands_at()}{f', {said}' if said else ''}")

    def _listing(self) -> pd.DataFrame | None:
        rows = [
            {
                "instance": each.label,
                "database": each.stands_at(),
                "access": "read" if each.instance.read_only else "read and write",
                "path": each.instance.path,
            }
            for each in self.attachments
        ]
        if not rows:
            print(
                "nothing is attached; %absdb PATH opens an instance, %absdb NAME takes the one in a variable"
            )
            return None
        current = [*[""] * (len(rows) - 1), "current"]
        return pd.DataFrame(rows, index=pd.Index(current)).iloc[::-1]

    def _check_no_transaction(self, line: str, verb: str) -> None:
        if line.strip():
            raise InvalidInputError(f"{verb} takes nothing, not {line.strip()!r}")
        if any(each.session.has_written for each in self.attachments):
            raise StateError(
                "a transaction of the cells is open and not committed",
                hint="ROLLBACK undoes it; COMMIT it first",
            )

    def _show(self, undone: Undone) -> None:
        for line in undone.said:
            print(line)
        for now, before in undone.states:
            display(now.diff(before))
