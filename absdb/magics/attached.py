"""The instances that the cells of a notebook work on, and which database of which is the current one.

    by its path         opened here, or taken over from whoever has it open in this kernel; closed at the end if nobody
                        else holds it. If another process writes to it, it is attached for reading
    by its variable     an Instance or a Database of the program, which stays the program's to close

Each has one session, so that USE, BEGIN and SET VARIABLE last over cells. Called by every magic.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from absdb.database import Database
from absdb.dbapi.sharing import shared
from absdb.engine.engine import Engine
from absdb.errors import LockedError, NotFoundError, StateError
from absdb.instance import Instance
from absdb.sql.session import Session
from absdb.versioning.scope import Scope


@dataclass
class Attached:
    """One instance: what it is called in the cells, its session, and what lets go of it."""

    label: str
    instance: Instance
    session: Session
    leave: Callable[[], None] | None
    """None for an instance of the program's."""

    @property
    def engine(self) -> Engine:
        return self.session.engine

    def stands_at(self) -> str:
        """The name of the current database, and where in its past if that is what is current."""
        scope = self.session.scope
        return scope.info().name if scope.writable else scope.describe()

    def close(self) -> None:
        """Roll back what was begun, and let go of the instance."""
        self.session.close()
        if self.leave is not None:
            self.leave()


class Attachments:
    """All of them; the last one attached is current."""

    def __init__(self) -> None:
        self._all: list[Attached] = []

    def __iter__(self) -> Iterator[Attached]:
        """Those that are open, the current one last."""
        self._all = [each for each in self._all if not each.instance.closed]
        return iter(list(self._all))

    def current(self) -> Attached:
        """The one that cells work on. StateError if nothing is attached, or what was is closed."""
        if not self._all:
            raise StateError(
                "no instance is attached to the cells",
                hint="%absdb shop attaches the one in the directory or the variable shop",
            )
        return self._all[-1]

    def attach_path(self, path: str, database: str | None, *, read_only: bool) -> tuple[Attached, str]:
        """(the instance in a directory, made current; what is to be said about it, "" for nothing).

        What open_engine raises; NotFoundError for a database that is not there, and nothing is attached then.
        """
        said = ""
        try:
            found, leave, made = _opened(path, read_only=read_only)
            said = "a new instance" if made else ""
        except LockedError as error:
            found, leave, _ = _opened(path, read_only=True)
            said = f"read-only, for {error.message}; %absdb {path} again once it is free"
        return self._attach(path, found, lambda: found[database or "main"], leave, database), said

    def attach_open(self, held: Instance | Database, label: str, database: str | None) -> Attached:
        """An instance of the program, or one of its databases, made current."""
        if isinstance(held, Instance):
            return self._attach(label, held, lambda: held[database or "main"], None, database)
        instance = Instance(held._scope.engine)
        if database is None:
            return self._attach(label, instance, lambda: held, None, held.name)
        return self._attach(label, instance, lambda: instance[database], None, database)

    def detach(self, label: str | None) -> str:
        """Let go of one of them, the current one if it is not said which; what it was called."""
        if label is None:
            found = self.current()
        else:
            known = {each.label: each for each in self._all}
            if label not in known:
                raise NotFoundError(
                    f"nothing called {label!r} is attached",
                    hint=f"attached: {', '.join(known) or 'nothing'}",
                )
            found = known[label]
        self._all.remove(found)
        found.close()
        return found.label

    def close(self) -> None:
        """Let go of all of them."""
        while self._all:
            self._all.pop().close()

    @contextmanager
    def working_on(self, attached: Attached, scope: Scope) -> Iterator[Session]:
        """Make another database current for as long as the block lasts, in a session of its own."""
        before = attached.session
        with Session(scope) as session:
            attached.session = session
            try:
                yield session
            finally:
                attached.session = before

    def _attach(
        self,
        label: str,
        instance: Instance,
        find: Callable[[], Database],
        leave: Callable[[], None] | None,
        database: str | None,
    ) -> Attached:
        """Make it current, with the session that it has already if it is attached."""
        known = next((each for each in self if each.engine is instance._engine), None)
        try:
            instance._engine.check_open()
            if known is None:
                session = find().session()
            elif database is not None:
                known.session.use(find()._scope)
        except BaseException:
            if leave is not None:
                leave()
            raise
        if known is None:
            known = Attached(label, instance, session, leave)
            self._drop_reader(instance)
        else:
            known.label = label
            self._all.remove(known)
            if leave is not None:
                leave()
        self._all.append(known)
        return known

    def _drop_reader(self, instance: Instance) -> None:
        """Let go of what was attached for reading while somebody else had it, now that it can be written."""
        for each in self:
            if each.instance.read_only and each.leave is not None and _same(each.instance, instance):
                self._all.remove(each)
                each.close()


def _same(one: Instance, other: Instance) -> bool:
    return one.path != ":memory:" and os.path.realpath(one.path) == os.path.realpath(other.path)


def _opened(path: str, *, read_only: bool) -> tuple[Instance, Callable[[], None], bool]:
    """(the instance of a directory, what lets go of it, whether it was made)."""
    share = shared(path, read_only=read_only)
    made = False
    try:
        instance = share.enter({}, create=False)
    except NotFoundError:
        instance = share.enter({}, create=True)
        made = True
    return instance, lambda: share.leave(instance), made
