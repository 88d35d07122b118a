"""Who needs history: open transactions and readers of this process, snapshots, branches, other processes.

A pin names a state that must stay readable. Garbage collection and compaction ask here before they drop
anything, and `absdb_pins` shows it. Entering and leaving cost a dictionary operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from absdb.catalog.lineage import Lineage

if TYPE_CHECKING:
    from absdb.engine.engine import Engine


class Holder(Protocol):
    """Something open that reads one state."""

    @property
    def pinned(self) -> Lineage: ...


@dataclass(frozen=True, slots=True)
class Pin:
    """One reason to keep a state: `kind` is head, branch, snapshot, transaction or reader."""

    kind: str
    name: str
    lineage: Lineage


class Pins:
    """The states that this process holds open."""

    def __init__(self) -> None:
        self._holders: dict[int, tuple[Holder, str]] = {}

    def enter(self, holder: Holder, kind: str = "transaction") -> None:
        """Keep what the holder reads until it leaves. `kind` is transaction or reader."""
        self._holders[id(holder)] = (holder, kind)

    def leave(self, holder: Holder) -> None:
        self._holders.pop(id(holder), None)

    def held(self) -> list[tuple[Lineage, str]]:
        """(state, kind of holder) of each of them."""
        return [(holder.pinned, kind) for holder, kind in list(self._holders.values())]


def all_pins(engine: Engine) -> Iterator[Pin]:
    """Every state that must stay readable, with who wants it."""
    history = engine.history
    for info, head in engine.heads():
        yield Pin("head", info.name, head)
        for era in info.eras:
            base = history.eras[era].base
            if base:
                yield Pin("branch", info.name, base)
            for lineage in history.eras[era].table_bases.values():
                yield Pin("branch", info.name, lineage)
    for snapshot in list(history.snapshots.values()):
        yield Pin("snapshot", snapshot.name, snapshot.lineage)
    for lineage, kind in engine.pins.held():
        yield Pin(kind, "", lineage)
