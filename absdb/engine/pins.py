"""Who needs history: open transactions and readers of this process, snapshots, branches, other processes.

A pin names a state that must stay readable. Expiry asks here before it drops anything, and `pins()` shows it.
Entering and leaving cost a dictionary operation.

What an era of a live database starts from is pinned while its head runs through the era, or while a moment of
`history_retention` lies in it. An era that was undone by a restore before that is history like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from absdb.catalog.history import DatabaseInfo, History
from absdb.catalog.lineage import Lineage
from absdb.ids import EraId

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


def horizon_of(engine: Engine) -> int:
    """The LSN at which `history_retention` begins: states from there on stay readable."""
    return engine.log.lsn_at_time(engine.clock.now_us() - int(engine.settings.history_retention * 1_000_000))


def eras_since(history: History, database: DatabaseInfo, horizon: int) -> list[EraId]:
    """The eras that a moment from `horizon` on lies in: the last one, and those that ended after it."""
    ended = [era for era, following in pairwise(database.eras) if history.eras[following].start_lsn > horizon]
    return [*ended, database.eras[-1]]


def all_pins(engine: Engine, horizon: int | None = None) -> Iterator[Pin]:
    """Every state that must stay readable, with who wants it; `horizon` is that of now if not given."""
    history = engine.history
    horizon = horizon_of(engine) if horizon is None else horizon
    for info, head in engine.heads():
        yield Pin("head", info.name, head)
        wanted = {*eras_since(history, info, horizon), *(era for era, _ in head)}
        for era in info.eras:
            if era not in wanted:
                continue
            base = history.eras[era].base
            if base:
                yield Pin("branch", info.name, base)
            for lineage in history.eras[era].table_bases.values():
                yield Pin("branch", info.name, lineage)
    for snapshot in list(history.snapshots.values()):
        yield Pin("snapshot", snapshot.name, snapshot.lineage)
    for lineage, kind in engine.pins.held():
        yield Pin(kind, "", lineage)
