"""The instances of a test session: one for each source of data, opened when a test first wants it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absdb.errors import AbsdbError
from absdb.instance import Instance, connect
from absdb.io.local import LocalFileSystem
from absdb.paths import CONTROL
from absdb.pytest_plugin.branches import PREPARED
from absdb.pytest_plugin.choice import refuse
from absdb.pytest_plugin.prepared import copy_instance, digest_of, key_of, prepared, take_instance

Source = str | os.PathLike[str] | Callable[[Instance], object] | None


@dataclass
class Opened:
    """An open instance, and the source as the test named it."""

    source: Source
    instance: Instance


class Instances:
    """Opens, remembers and closes them.

    `area` is shared by all processes of the run, `own` belongs to this one; `settings` go to `connect`. A relative
    directory is looked for in `root`.
    """

    def __init__(self, *, area: Path, own: Path, root: Path, settings: Mapping[str, Any]) -> None:
        self._area = str(area)
        self._own = own
        self._root = root
        self._settings = settings
        self._opened: list[Opened] = []

    def open(self, asked: Source, source: Source) -> Instance:
        """The instance with the data of a source, which a test named as `asked`.

        What a function that prepares it raises goes through. Fails the test if there is no such source, or if another
        process has it open for writing.
        """
        for opened in self._opened:
            if opened.source is asked or opened.source == asked:
                return opened.instance
        path = self._copy(asked, source)
        with refusing():
            instance = connect(path, create=False, **self._settings)
        self._opened.append(Opened(asked, instance))
        return instance

    def asked_for(self, instance: Instance) -> Opened | None:
        """What a test asked for and was given as this instance; None for one that was not opened here."""
        return next((opened for opened in self._opened if opened.instance is instance), None)

    def close(self) -> None:
        """Close all."""
        for opened in self._opened:
            opened.instance.close()

    def _copy(self, asked: Source, source: Source) -> str:
        """The path of this process's own copy of what the source prepares."""
        target = str(self._own / f"instance-{len(self._opened)}")
        if source is None or callable(source):
            name = asked if isinstance(asked, str) else ""
            key = "empty" if source is None else key_of(name, source) or f"own-{digest_of(target)}"
            made = prepared(self._area, key, lambda path: self._fill(path, source))
        else:
            directory = self._directory(source)
            made = prepared(self._area, digest_of(directory), lambda path: self._take(directory, path))
        copy_instance(made, target)
        return target

    def _fill(self, path: str, fill: Callable[[Instance], object] | None) -> None:
        """Make an instance, let the user's function fill it, and name the states that tests start from."""
        with connect(path, **self._settings) as instance:
            if fill is not None:
                fill(instance)
            _name_states(instance)

    def _take(self, directory: str, path: str) -> None:
        """Copy the user's instance, and name the states that tests start from."""
        with refusing():
            take_instance(directory, path)
            with connect(path, create=False, **self._settings) as instance:
                _name_states(instance)

    def _directory(self, source: str | os.PathLike[str]) -> str:
        """The directory of the user's instance, absolute. Fails the test if there is none."""
        if not isinstance(source, str | os.PathLike):
            refuse(
                f"a source is a function that fills an instance, or a directory, but not {source!r}",
                hint="return the function from the fixture, rather than what it returns",
            )
        path = self._root / os.path.expanduser(source)
        if not LocalFileSystem(path).exists(CONTROL):
            named = f"no fixture has that name, and {path}" if str(source).isidentifier() else str(path)
            refuse(
                f"there is no source {os.fspath(source)!r}: {named} is not the directory of an instance",
                hint="name a fixture that gives a function which fills an instance, or a directory",
            )
        return str(path)


def _name_states(instance: Instance) -> None:
    history = instance._engine.history
    for info in list(history.databases.values()):
        if (info.id, PREPARED) not in history.snapshots:
            instance[info.name].snapshot(PREPARED)


@contextmanager
def refusing() -> Iterator[None]:
    """Fail the test with the error's own words; where in this plugin it was raised does not matter to anybody."""
    try:
        yield
    except AbsdbError as error:
        refuse(error.message, hint=error.hint)
