"""Settings of log, archive and backups as options of the commands that hold an instance open: `--wal-sync-mode fsync`.

Made from the table of settings, so that names, limits and meanings are those of absdb.conf. An option comes before
the environment and the file, as arguments of connect() do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from absdb.cli.command import Checked
from absdb.errors import InvalidInputError
from absdb.setting_kinds import Kind, Setting
from absdb.setting_table import SETTINGS

F = TypeVar("F", bound=Callable[..., Any])
_GROUPS = ("wal_", "backup_")


def setting_options(*, creation: bool = False) -> Callable[[F], F]:
    """Adds them to a command, which gets those that were given as `settings`, a dict of texts by name.

    With `creation` also those that can only be chosen when an instance is made.
    """
    chosen = [
        setting
        for setting in SETTINGS
        if setting.name.startswith(_GROUPS) and (creation or not setting.creation_only)
    ]

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **more: Any) -> Any:
            given = {setting.name: more.pop(setting.name) for setting in chosen}
            settings = {name: value for name, value in given.items() if value is not None}
            return function(*args, settings=settings, **more)

        for setting in reversed(chosen):
            _option(setting)(wrapper)
        return wrapper  # type: ignore[return-value]  # click only needs something to call

    return decorate


def _option(setting: Setting) -> Callable[[Any], Any]:
    flag = setting.name.replace("_", "-")
    meaning = f"{setting.meaning[0].upper()}{setting.meaning[1:]}."
    if setting.kind is Kind.FLAG:
        return click.option(f"--{flag}/--no-{flag}", setting.name, default=None, help=meaning)
    return click.option(
        f"--{flag}",
        setting.name,
        type=Checked(setting.kind.name.lower(), functools.partial(_check, setting)),
        metavar=_metavar(setting),
        help=meaning,
    )


def _metavar(setting: Setting) -> str:
    if setting.kind is Kind.CHOICE:
        return "|".join(setting.render(choice) for choice in setting.choices)
    if setting.kind is Kind.TEXT:
        return "FILE" if setting.name.endswith("_file") else "URL"
    return {Kind.SIZE: "SIZE", Kind.DURATION: "TIME"}.get(setting.kind, "N")


def _check(setting: Setting, text: str) -> None:
    try:
        setting.accept(text)
    except ValueError as error:
        raise InvalidInputError(f"{text!r}: {error}", hint=f"it is {setting.expected()}") from error
