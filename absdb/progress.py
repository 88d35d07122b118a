"""What `progress=` may be: nothing, True for a bar in the notebook or terminal, or a function told rows so far.

`reporting(progress, …)` gives the function to call, and sees to it that a bar is closed. tqdm is imported
only for a bar.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from absdb.errors import InvalidInputError

Report = Callable[[int], None]
Progress = bool | Report | None
_SILENT: AbstractContextManager[None] = nullcontext()


def reporting(
    progress: Progress, what: str, total: int | None = None, *, unit: str = "rows"
) -> AbstractContextManager[Report | None]:
    """The function that long work calls with the rows (or `unit`) done so far, None if nobody wants to know."""
    if progress is None or progress is False:
        return _SILENT
    if progress is True:
        return _Bar(what, total, unit)
    if callable(progress):
        return nullcontext(progress)
    raise InvalidInputError(
        f"progress is {progress!r}", hint="pass True for a bar, or a function that takes the rows so far"
    )


class _Bar:
    """A bar of tqdm's, in the form that suits where it is shown."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self._what = what
        self._total = total
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> Report:
        from tqdm.auto import tqdm

        large = self._unit in ("rows", "B")
        self._bar = tqdm(desc=self._what, total=self._total, unit=f" {self._unit}", unit_scale=large)
        return self._show

    def _show(self, rows: int) -> None:
        self._bar.update(rows - self._bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
