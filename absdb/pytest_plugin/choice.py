"""What a test asks for: a source of data, a database in it, and a point in time.

    @pytest.mark.absdb(source="shop_data", database="main", at="before-lunch")

Each part is taken from the marker nearest to the test that says it; then come the option and the ini file.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import NoReturn

import pytest

MARKER = "absdb"
MARKER_HELP = (
    "absdb(source=, database=, at=): where absdb_instance has its data from (the name of a fixture, or the directory "
    "of an instance), of which of its databases absdb_branch is a branch, and at which snapshot, LSN or time."
)


@dataclass(frozen=True)
class Choice:
    """What is asked for; None where nothing is said."""

    source: str | os.PathLike[str] | None = None
    database: str | None = None
    at: str | int | dt.datetime | None = None


def choice_of(test: pytest.Item) -> Choice:
    """What the markers of a test and the ini file say; the source only if a marker says it.

    Fails the test for a marker that is not understood.
    """
    config = test.config
    said: dict[str, object] = {}
    for marker in test.iter_markers(MARKER):  # the nearest first
        unknown = [
            *map(repr, marker.args),
            *sorted(marker.kwargs.keys() - Choice.__dataclass_fields__.keys()),
        ]
        if unknown:
            refuse(
                f"{test.name}: @pytest.mark.{MARKER} does not take {', '.join(unknown)}",
                hint='it takes source=, database= and at=, as in absdb(source="shop_data", at="before-lunch")',
            )
        said = {**marker.kwargs, **said}
    said.setdefault("database", config.getini("absdb_database"))
    said.setdefault("at", config.getini("absdb_at") or None)
    return Choice(**said)  # type: ignore[arg-type]  # whoever takes a part says what is wrong with it


def default_source(config: pytest.Config) -> str | None:
    """What option or ini file name as the source; None if neither does, which means an empty instance.

    A directory named by the option is relative to where pytest was started, one in the ini file to the root.
    """
    option: str | None = config.getoption("absdb_source")
    if option:
        started = config.invocation_params.dir / option
        return str(started) if started.is_dir() else option
    return config.getini("absdb_source") or None


def refuse(message: str, *, hint: str = "") -> NoReturn:
    """Fail the test that asked, without a traceback: what is wrong lies in what was asked for."""
    text = f"absdb: {message}" + (f"\n  hint: {hint}" if hint else "")
    raise pytest.fail.Exception(text, pytrace=False) from None  # an error that it stands for is told once
