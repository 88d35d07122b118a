"""The rule of a three-way merge for one item of a definition, and the conflicts that it leaves.

    both sides have the same        that
    theirs equals every base        ours: only we changed it
    ours equals every base          theirs: only they changed it
    otherwise                       a conflict, decided by whoever is asked, else ours for the time being

With several bases a side counts as unchanged only if it equals all of them, so that the answer never depends on
which base is looked at first. Called by merge_tables.py and merge_catalog.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


class _Missing:
    """What a side has of an item that it does not have."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Any = _Missing()


@dataclass(frozen=True, slots=True)
class SchemaConflict:
    """An item of a definition that both sides changed differently; the three values as texts to show."""

    table_name: str
    item: str
    base: str
    ours: str
    theirs: str


Choose = Callable[[SchemaConflict], "str | None"]
"""What was decided for a conflict: "ours", "theirs", "base", or None if nothing was."""


class Decider:
    """Applies the rule, asks about conflicts and keeps those that nobody has decided."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.open: list[SchemaConflict] = []
        self.met: list[SchemaConflict] = []
        """All conflicts, decided ones too."""

    def value(
        self,
        bases: Sequence[T],
        ours: T,
        theirs: T,
        *,
        table_name: str,
        item: str,
        show: Callable[[T], str] = str,
    ) -> T:
        """The value of an item after the merge."""
        if ours == theirs or (all(theirs == base for base in bases) and bases):
            return ours
        if bases and all(ours == base for base in bases):
            return theirs
        base = bases[0] if bases else MISSING
        texts = ["" if value is MISSING else show(value) for value in (base, ours, theirs)]
        side = self.side(SchemaConflict(table_name, item, *texts))
        return theirs if side == "theirs" else base if side == "base" and bases else ours

    def side(self, conflict: SchemaConflict) -> str | None:
        """Who wins a conflict; None, and it stays open, if that was not decided."""
        self.met.append(conflict)
        side = self._choose(conflict)
        if side is None:
            self.open.append(conflict)
        return side

    def refuse(self, conflict: SchemaConflict) -> None:
        """A conflict that no choice of a side can end."""
        self.met.append(conflict)
        self.open.append(conflict)
