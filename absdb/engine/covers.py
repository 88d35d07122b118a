"""All covers of an instance: which images, runs and buffers yield a given state of a table.

An Image holds a whole table state and is registered under the lineage it equals; it serves every lineage that
extends it. A Reverse leads from an image back to an earlier state of the same era: the old values of the rows
that a compaction folded. To yield a state, take

    the image the state's lineage extends furthest,  then the era covers for what lies beyond it;
    or an image later in the same era,  then reverse runs back to a state the lineage extends,  then as above.

Layers are given oldest first; the newest one that knows a key decides. Nothing here changes what a state is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from absdb.catalog.history import History
from absdb.catalog.lineage import Interval, Lineage, extends, format_lineage, position, remainder
from absdb.catalog.schema import TableSchema
from absdb.engine.cover import EraCover, Hit, hit_of
from absdb.engine.folded import FoldedCache
from absdb.engine.index_registry import IndexRegistry
from absdb.errors import AbsdbError, HistoryExpiredError, StateError
from absdb.ids import EraId, Lsn, TableId
from absdb.pages.section import Key, Section

CACHE_BYTES = 256 * 1024 * 1024
PATHS_MAX = 256
"""Tables, each time in one era, of which the way to the newest state is remembered."""


@dataclass(frozen=True, slots=True)
class Image:
    """A whole state of one table, in pages."""

    table: TableId
    lineage: Lineage
    section: Section


@dataclass(frozen=True, slots=True)
class Reverse:
    """What turns the state `later` back into the state `earlier`: old rows, and tombstones for new ones."""

    table: TableId
    earlier: Lineage
    later: Lineage
    section: Section


@dataclass(slots=True, weakref_slot=True, eq=False)
class Layers:
    """A cover resolved for one state: fixed sections, oldest first, then intervals of era covers on top.

    Never changed, though not frozen: that would double what it costs to make one, once a commit.
    """

    fixed: tuple[Section, ...]
    intervals: tuple[tuple[EraCover, int, int], ...]
    lineage: Lineage
    """The table's own lineage, which names the state."""
    folded: FoldedCache
    """Where reads of whole states are kept."""

    def sections(self) -> list[Section]:
        """All layers as sections, oldest first; seals nothing."""
        found = [section for section in self.fixed if section.rows]
        for cover, after, upto in self.intervals:
            found.extend(cover.sections(after, upto))
        return found

    def find(self, key: Key) -> Hit | None:
        """The version of one key that decides, tombstones included."""
        for cover, after, upto in reversed(self.intervals):
            hit = cover.find(key, after, upto)
            if hit is not None:
                return hit
        for section in reversed(self.fixed):
            found = section.find(key)
            if found is not None:
                return hit_of(*found)
        return None


def _nothing() -> None:
    """What a weak reference gives when its object is gone."""


@dataclass(slots=True)
class _Path:
    """How a state was found, which is how those that follow it in its era are found, but for the LSN reached."""

    images: tuple[Image, ...] | None
    prefix: Lineage
    era: EraId
    reached: int
    fixed: tuple[Section, ...]
    below: tuple[Interval, ...]
    after: int
    newest: Callable[[], Layers | None] = _nothing
    """The layers of the newest of those states, while somebody reads it: so they are kept from expiry."""

    def leads_to(self, lineage: Lineage, images: tuple[Image, ...] | None) -> bool:
        """Whether a state of the era is one of those, and the table's images are what they were."""
        return images is self.images and lineage[-1][1] >= self.reached and lineage[:-1] == self.prefix


def _stays(images: tuple[Image, ...], lineage: Lineage) -> bool:
    """Whether the image that a state starts at is also that of all later states of its era."""
    era, reached = lineage[-1]
    ahead = any(
        image.lineage[:-1] == lineage[:-1] and image.lineage[-1][0] == era and image.lineage[-1][1] > reached
        for image in images
        if image.lineage
    )
    return not ahead and (not images or any(extends(lineage, image.lineage) for image in images))


class Covers:
    """The images, reverse runs and era covers of every table. Replaced wholesale per table, read without a lock."""

    def __init__(self, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.folded = FoldedCache(cache_bytes)
        self.images: dict[TableId, tuple[Image, ...]] = {}
        self.reverses: dict[TableId, tuple[Reverse, ...]] = {}
        self.eras: dict[tuple[EraId, TableId], EraCover] = {}
        self.expired: dict[tuple[EraId, TableId], tuple[tuple[int, int], ...]] = {}
        """Per era and table, the LSN intervals whose runs have been dropped."""
        self.unprotected: AbsdbError | None = None
        """Why this reader could not say which files it needs, so that a writer may remove them."""
        self.indexes = IndexRegistry()
        """The index runs stored beside page files."""
        self._live: dict[int, weakref.ref[Layers]] = {}
        self._paths: dict[tuple[TableId, EraId], _Path] = {}

    def era(self, era: EraId, schema: TableSchema) -> EraCover:
        """The cover to append to, made on first use. Only for the thread that holds the commit order."""
        cover = self.eras.get((era, schema.id))
        if cover is None:
            cover = self.eras[era, schema.id] = EraCover(schema.id, era, schema.key_spec)
        return cover

    def resolve(self, history: History, table: TableSchema, lineage: Lineage) -> Layers:
        """The layers that yield the table at a database's lineage; HistoryExpiredError if they are gone.

        StateError in a reader that could not renew its lease.
        """
        if self.unprotected is not None:
            raise StateError(
                "the lease of this reader could not be renewed, so that a writer may remove what it reads: "
                f"{self.unprotected.message}",
                hint="clear the cause and call refresh(), or open the instance again",
            ) from self.unprotected
        own = history.table_lineage(lineage, table.id)
        path = self._paths.get((table.id, own[-1][0])) if own else None
        if path is not None and path.leads_to(own, self.images.get(table.id)):
            shared = path.newest()
            if shared is not None and shared.lineage == own:
                return shared
            fixed, intervals = path.fixed, [*path.below, Interval(path.era, path.after, own[-1][1])]
        else:
            path = None
            fixed, intervals = self._find(table.id, own)
        layers = Layers(
            fixed,
            tuple(
                [
                    (cover, after, upto)
                    for era, after, upto in intervals
                    if (cover := self.eras.get((era, table.id))) is not None
                ]
            ),
            own,
            self.folded,
        )
        number = id(layers)
        self._live[number] = live = weakref.ref(layers, lambda _: self._live.pop(number, None))
        # Only now: expiry writes down what it will drop, then looks who is reading.
        self.check_kept(table, own, intervals)
        if path is not None:
            path.newest = live
        return layers

    def _find(self, table: TableId, lineage: Lineage) -> tuple[tuple[Section, ...], list[Interval]]:
        """The fixed layers of a table's state, and the intervals above; remembered for the states that follow."""
        images = self.images.get(table)
        start, found = self._start(table, lineage)
        fixed, intervals = tuple(found), remainder(lineage, start)
        if lineage and _stays(images or (), lineage):
            era, reached = lineage[-1]
            open_end = bool(intervals) and intervals[-1].era == era
            below, after = (intervals[:-1], intervals[-1].after) if open_end else (intervals, reached)
            if len(self._paths) >= PATHS_MAX:
                self._paths.clear()
            self._paths[table, era] = _Path(images, lineage[:-1], era, reached, fixed, tuple(below), after)
        return fixed, intervals

    def read_of(self, cover: EraCover) -> list[tuple[int, int]]:
        """The intervals of an era cover that layers in use rest on."""
        live = [ref() for ref in list(self._live.values())]
        return [
            (after, upto)
            for layers in live
            if layers is not None
            for one, after, upto in layers.intervals
            if one is cover
        ]

    def start(self, history: History, table: TableSchema, lineage: Lineage) -> tuple[Lineage, list[Section]]:
        """The state whose image (with reverse runs) `resolve` begins with, and those layers."""
        return self._start(table.id, history.table_lineage(lineage, table.id))

    def add_image(self, image: Image, reverse: Reverse | None) -> None:
        """Register an image; with a reverse run to the one before, that one is no longer needed."""
        table = image.table
        kept = self.images.get(table, ())
        if reverse is not None:
            self.reverses[table] = (*self.reverses.get(table, ()), reverse)
            self.images[table] = (*(i for i in kept if i.lineage != reverse.earlier), image)
        else:
            self.images[table] = (*kept, image)

    def _start(self, table: TableId, lineage: Lineage) -> tuple[Lineage, list[Section]]:
        at, image, steps = self.path(table, lineage)
        if image is None:
            return (), []
        return at, [image.section, *(step.section for step in steps)]

    def path(self, table: TableId, lineage: Lineage) -> tuple[Lineage, Image | None, list[Reverse]]:
        """Where a table's lineage is read from: the state reached, the image it starts at, the reverse runs.

        Of several ways the first one of which nothing has expired; if there is none, the first one.
        """
        ways = self._ways(table, lineage)
        first = next(ways)
        if not self.expired or self._is_kept(table, lineage, first[0]):
            return first
        return next((way for way in ways if self._is_kept(table, lineage, way[0])), first)

    def _ways(
        self, table: TableId, lineage: Lineage
    ) -> Iterator[tuple[Lineage, Image | None, list[Reverse]]]:
        """An image that the lineage extends; reverse runs back from a later one, furthest reached first; runs alone."""
        images = self.images.get(table, ())
        before = [image for image in images if extends(lineage, image.lineage)]
        if before:
            best = max(before, key=lambda image: (len(image.lineage), position(image.lineage)))
            yield best.lineage, best, []
        backwards = []
        for image in images:
            found = self._walk_back(table, image, lineage)
            if found is not None and found[1]:
                backwards.append((found[0], image, found[1]))
        yield from sorted(backwards, key=lambda way: (-len(way[0]), -position(way[0]), len(way[2])))
        yield (), None, []

    def _is_kept(self, table: TableId, lineage: Lineage, start: Lineage) -> bool:
        """Whether the changes that lead from a state to a later one are all there."""
        return not any(
            max(after, lo) < min(upto, hi)
            for era, after, upto in remainder(lineage, start)
            for lo, hi in self.expired.get((era, table), ())
        )

    def _walk_back(
        self, table: TableId, image: Image, lineage: Lineage
    ) -> tuple[Lineage, list[Reverse]] | None:
        """From an image by reverse runs to the first state that `lineage` extends; None if there is no way."""
        at, steps = image.lineage, list[Reverse]()
        reverses = {reverse.later: reverse for reverse in self.reverses.get(table, ())}
        while not extends(lineage, at):
            step = reverses.get(at)
            if step is None:
                return None
            steps.append(step)
            at = step.earlier
        return at, steps

    def check_kept(self, table: TableSchema, lineage: Lineage, intervals: list[Interval]) -> None:
        """HistoryExpiredError if changes in one of the intervals are no longer kept."""
        for era, after, upto in intervals:
            for lo, hi in self.expired.get((era, table.id), ()):
                if max(after, lo) < min(upto, hi):
                    raise HistoryExpiredError(
                        f"table {table.full_name!r} at {format_lineage(lineage)}: "
                        f"its changes up to LSN {Lsn(hi)} are no longer kept",
                        hint="a snapshot, a branch or a longer history_retention keeps history; see pins()",
                        table=table.full_name,
                        floor=hi,
                    )

    def expired_since(self, era: EraId, table: TableId, lsn: int) -> bool:
        """Whether changes of a table after `lsn` have been dropped, so that nobody knows which keys they wrote."""
        gone = self.expired.get((era, table))
        return gone is not None and any(hi > lsn for _, hi in gone)

    def of_table(self, table: TableId) -> Iterator[EraCover]:
        """Every era's cover of one table."""
        return (cover for (_, table_id), cover in list(self.eras.items()) if table_id == table)

    def tables(self) -> set[TableId]:
        """The tables that anything is known of."""
        return {table for _, table in list(self.eras)} | set(self.images)

    def sections_of(self, table: TableId) -> Iterator[Section]:
        """The rows of one table as they lie in images and runs; not those of reverse runs and buffers."""
        yield from (image.section for image in self.images.get(table, ()))
        for cover in self.of_table(table):
            for run in cover.view[0]:
                yield from (run.newest, run.superseded)

    def snapshot(self) -> tuple[Mapping[TableId, tuple[Image, ...]], Mapping[TableId, tuple[Reverse, ...]]]:
        """The images and reverse runs as they are now."""
        return dict(self.images), dict(self.reverses)
