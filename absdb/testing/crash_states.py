"""Every disk that a power loss may leave behind, out of a recorded workload.

    for state in crash_states(fs.log, limit=5000, seed=1):
        engine = open_engine(state)              # a MemoryFileSystem of its own, free to be written to
        assert engine.has(state.marks), state.story

The model of what a disk may do is drawn in `crash_disk.py`. A power loss is tried before each operation that
makes something durable, and at the end: between two of them the disks only grow in number, so that these
points cover all others, with everything acknowledged by then. At each point the disks come in this order:

1. everything up to the n-th operation in doubt, for each n: what a killed process leaves behind;
2. all but one operation, and only one of them: what a missing sync or a wrong order shows up in;
3. one write torn at sectors of 512 or pages of 4096 bytes: its head, its tail, or every other one;
4. files at their last size, full of zeros;
5. any subset, any sectors, by chance from the seed.

With `limit=None` every subset of operations is tried, with every write torn in every way of 3: for logs with
few operations in doubt at a time. No disk is yielded twice with the same marks. The same log, limit and seed
give the same disks in the same order.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from absdb.io.memory import MemoryFileSystem, Node
from absdb.testing.crash_disk import SECTOR, Disk, Sectors, sectors_of
from absdb.testing.recording import Operation, OperationLog

_DURABLE_MAKERS = ("sync", "sync_failed", "sync_directory", "make_directory")
_SECTORS_PER_PAGE = 4096 // SECTOR
_CUTS = 6
_EXHAUSTIVE_OPERATIONS = 16
_PATIENCE = 40


class CrashState(MemoryFileSystem):
    """A disk as found after a power loss. All it holds is durable, and nobody holds its lock.

    `marks`: what had been marked by then, in order; `after`: how many operations of the log had been done;
    `story`: what of the operations in doubt reached the disk, for people.
    """

    def __init__(self, after: int, marks: tuple[Any, ...], story: str) -> None:
        super().__init__(root=f":crashed after {after}:")
        self.after = after
        self.marks = marks
        self.story = story


@dataclass(frozen=True, slots=True)
class _Recipe:
    """Which of the operations in doubt reach the disk."""

    kept: frozenset[int]
    torn: dict[int, Sectors] = field(default_factory=dict)
    grown: bool = False
    by_chance: bool = False


def crash_states(
    log: OperationLog, *, limit: int | None = 1000, seed: int = 0, first: int = 0
) -> Iterator[CrashState]:
    """Disks that a power loss may leave, at most `limit` (None: all there are, see above).

    Only losses after operation `first` are tried: `first=len(log)` means now. Raises ValueError with
    `limit=None` if more than 16 operations are in doubt at once.
    """
    chance = random.Random(seed)
    ends = _points(log, first)
    if limit is not None and 0 < limit < len(ends):
        ends = sorted(chance.sample(ends, limit))
    remaining = limit or 0
    share = -(-remaining // len(ends))
    disk, marks = Disk(log), list[Any]()
    seen: set[int] = set()
    done = left = 0
    for end in ends:
        while done < end:
            operation = log.operations[done]
            if operation.kind == "mark":
                marks.append(operation.mark)
            else:
                disk.apply(done, operation)
            done += 1
        if limit is None:
            yield from _states(disk, _all(disk.doubtful()), end, tuple(marks), seen)
            continue
        left = min(left + share, remaining)  # what one point does not use, later ones may
        recipes = _some(disk.doubtful(), left, chance)
        for state in itertools.islice(_states(disk, recipes, end, tuple(marks), seen), left):
            left -= 1
            remaining -= 1
            yield state


def crash_now(log: OperationLog, *, seed: int = 0) -> CrashState:
    """One disk, by chance from the seed, that a power loss at the end of the log may leave."""
    disk = Disk(log)
    for position, operation in enumerate(log.operations):
        if operation.kind != "mark":
            disk.apply(position, operation)
    chance = random.Random(seed)
    recipe = chance.choice(list(_some(disk.doubtful(), 50, chance)))
    return next(_states(disk, iter([recipe]), len(log), log.marks(), set()))


def _points(log: OperationLog, first: int) -> list[int]:
    """How many operations are done when the power goes: up to each that makes something durable, or all."""
    ends = [
        position
        for position, operation in enumerate(log.operations)
        if operation.kind in _DURABLE_MAKERS and position >= first
    ]
    return [*ends, len(log)]


def _states(
    disk: Disk, recipes: Iterator[_Recipe], after: int, marks: tuple[Any, ...], seen: set[int]
) -> Iterator[CrashState]:
    """The disks of the recipes, without those seen before; ends when chance brings only such."""
    doubtful = disk.doubtful()
    known = 0
    for recipe in recipes:
        files = disk.contents(recipe.kept, recipe.torn, grown=recipe.grown)
        fingerprint = hash((len(marks), tuple(files.items()), len(disk.directories)))
        if fingerprint in seen:
            known += recipe.by_chance
            if known > _PATIENCE:
                return
            continue
        known = 0
        seen.add(fingerprint)
        state = CrashState(after, marks, _story(recipe, doubtful, after))
        state.directories = set(disk.directories)
        state.nodes = {path: Node(data) for path, data in files.items()}
        yield state


def _all(doubtful: list[tuple[int, Operation]]) -> Iterator[_Recipe]:
    """Every subset, whole and with each of its writes torn, with sizes that fit and with the last ones."""
    if len(doubtful) > _EXHAUSTIVE_OPERATIONS:
        raise ValueError(f"{len(doubtful)} operations are in doubt at once; all their subsets are too many")
    positions = [position for position, _ in doubtful]
    for count in range(len(positions) + 1):
        for kept in map(frozenset, itertools.combinations(positions, count)):
            for grown in (False, True):
                yield _Recipe(kept, grown=grown)
                for position, operation in doubtful:
                    if position in kept:
                        for sectors in _tears(operation, every=True):
                            yield _Recipe(kept - {position}, {position: sectors}, grown)


def _some(doubtful: list[tuple[int, Operation]], count: int, chance: random.Random) -> Iterator[_Recipe]:
    """The recipes of the module's list: if need be only some of the regular ones, then ones by chance."""
    regular = list(_regular(doubtful))
    share = max(1, count * 3 // 4)
    if len(regular) > share:
        regular = chance.sample(regular, share)
    yield from regular
    if doubtful:
        for _ in range(2 * count):
            yield _by_chance(doubtful, chance)


def _regular(doubtful: list[tuple[int, Operation]]) -> Iterator[_Recipe]:
    """1 to 4 of the module's list."""
    positions = [position for position, _ in doubtful]
    everything = frozenset(positions)
    for count in range(len(positions), -1, -1):
        yield _Recipe(frozenset(positions[:count]))
    for position in positions:
        yield _Recipe(everything - {position})
        yield _Recipe(frozenset({position}))
    for index, (position, operation) in enumerate(doubtful):
        for sectors in _tears(operation):
            yield _Recipe(everything - {position}, {position: sectors})
            yield _Recipe(frozenset(positions[:index]), {position: sectors})
    names = frozenset(
        position for position, operation in doubtful if operation.kind not in ("write", "truncate")
    )
    yield _Recipe(names, grown=True)
    yield _Recipe(names)
    for count in range(len(positions)):
        yield _Recipe(names | frozenset(positions[:count]), grown=True)


def _by_chance(doubtful: list[tuple[int, Operation]], chance: random.Random) -> _Recipe:
    """Any subset, with any sectors of some of its writes."""
    likely = chance.choice((0.2, 0.5, 0.8, 0.95))
    tearing = chance.choice((0.0, 0.2, 1.0))
    kept, torn = set(), {}
    for position, operation in doubtful:
        first, stop = sectors_of(operation) if operation.kind == "write" else (0, 0)
        if stop - first > 1 and chance.random() < tearing:
            share = chance.choice((0.1, 0.5, 0.9))
            bits = random.Random(chance.random())
            torn[position] = np.array([bits.random() < share for _ in range(stop - first)])
        elif chance.random() < likely:
            kept.add(position)
    return _Recipe(frozenset(kept), torn, chance.random() < 0.3, by_chance=True)


def _tears(operation: Operation, *, every: bool = False) -> Iterator[Sectors]:
    """Ways to tear one write: head, tail and every other one of its sectors and pages; none within one."""
    if operation.kind != "write":
        return
    first, stop = sectors_of(operation)
    number = np.arange(first, stop)
    for unit in (number, number // _SECTORS_PER_PAGE):
        places = unit - unit[0]
        cuts = list(range(1, int(places[-1]) + 1))
        if not every and len(cuts) > _CUTS:
            middle = len(cuts) // 2
            cuts = sorted({1, 2, middle, middle + 1, len(cuts) - 1, len(cuts)})
        for cut in cuts:
            yield places < cut
            yield places >= cut
        if len(cuts) > 1:
            yield places % 2 == 0
            yield places % 2 == 1


def _story(recipe: _Recipe, doubtful: list[tuple[int, Operation]], after: int) -> str:
    """What became of each operation in doubt, a line each."""
    lines = [f"power lost after operation {after}; of the operations in doubt"]
    for position, operation in doubtful:
        if position in recipe.torn:
            first, _ = sectors_of(operation)
            sectors = [int(sector) + first for sector in np.flatnonzero(recipe.torn[position])]
            shown = f"{sectors[:8]}{'...' if len(sectors) > 8 else ''}"
            lines.append(f"  torn  {position + 1:5} {operation}: only sectors {shown}")
        else:
            lines.append(f"  {'kept' if position in recipe.kept else 'lost'}  {position + 1:5} {operation}")
    if recipe.grown:
        lines.append("  and files have their last size")
    return "\n".join(lines)
