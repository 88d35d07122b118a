"""Stable sorting of Keys, a few times as fast as the library calls for it.

numpy sorts 64-bit words with vector instructions, and much faster than it says where they would go. So what
is sorted is one word per key that ends in the key's position: sorted words are sorted positions, and as
positions differ, the sort is stable.

    integers   word = key less the smallest key | position          cut off at the right to fit 64 bits
    bytes      word = group | column | column | ... | position      column by column, as many as fit

A byte column is read as if all keys were padded with zeros, and takes the bits to tell its different bytes
apart: none if all are equal, four for digits. The last column is the length, which tells padding from zeros.
Keys that are still tied form groups, and only they go into the next round, with the columns that follow.

Input that is sorted already, or made of a few sorted pieces, goes to numpy's merge sort, which is made for it.
CPU milliseconds for a million keys, and what numpy's stable sort or pyarrow took for them:

    integers 16 (104)   two integers 79 (532)   names ending in a number 140 (771)   random UUIDs 101 (729)

Called by `key.sort_order`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Order = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

# Below this the calls cost more than the sorting.
SMALL = 2_048
# Keys that agree in so many bytes after their common prefix are left to pyarrow, which compares them whole.
COLUMNS_MAX = 96


def sort_integers(keys: npt.NDArray[Any]) -> Order:
    """The indices that sort 64-bit integers; equal ones stay in the order they came in."""
    if len(keys) < SMALL:
        return _sort_by_numpy(keys)
    descents = int(np.count_nonzero(keys[1:] < keys[:-1]))
    if 64 * min(descents, len(keys) - descents) < len(keys):
        return _sort_by_numpy(keys)
    low = int(keys.min())
    excess = max((int(keys.max()) - low).bit_length() + len(keys).bit_length() - 64, 0)
    # Modulo 2**64, in which int64 and uint64 subtract alike.
    words = keys.view(np.uint64) - np.uint64(low % (1 << 64))
    order, words = _sort_words(words >> np.uint64(excess) if excess else words)
    if excess:
        tied = _tied(_starts(words))
        some = order[tied]
        order[tied] = some[_sort_by_numpy(keys[some])]
    return order


def sort_binary(keys: pa.Array) -> Order:
    """The indices that sort a binary array without nulls; equal ones stay in the order they came in."""
    if len(keys) < SMALL or pc.all(pc.less_equal(keys[:-1], keys[1:])).as_py():
        return _sort_by_arrow(keys)
    columns = _Columns(keys)
    order = np.arange(len(keys))
    slots, members = order.copy(), order.copy()  # what is still to be placed, and where
    groups, group_bits = np.zeros(len(keys), np.uint64), 0
    while True:
        room = 64 - len(members).bit_length() - group_bits
        words, packed = columns.pack(groups, members, room)
        if not packed and not columns.exhausted:
            order[slots] = members[_sort_by_arrow(keys.take(pa.array(members)))]
            return order
        positions, words = _sort_words(words)
        order[slots] = members = members[positions]
        starts = _starts(words)
        tied = _tied(starts)
        if columns.exhausted or not len(tied):
            return order
        slots, members = slots[tied], members[tied]
        groups = np.cumsum(starts[tied], dtype=np.uint64)
        group_bits = int(groups[-1]).bit_length()


def _sort_by_numpy(keys: npt.NDArray[Any]) -> Order:
    order: Order = np.argsort(keys, kind="stable").astype(np.int64, copy=False)
    return order


def _sort_by_arrow(keys: pa.Array) -> Order:
    return pc.array_sort_indices(keys).to_numpy().view(np.int64)


def _sort_words(words: Words) -> tuple[Order, Words]:
    """(positions, words) in order of words that leave the bits for a position free at the top."""
    bits = np.uint64(len(words).bit_length())
    words = (words << bits) | np.arange(len(words), dtype=np.uint64)
    words.sort()
    return (words & ((np.uint64(1) << bits) - np.uint64(1))).view(np.int64), words >> bits


def _starts(ordered: Words) -> npt.NDArray[np.bool_]:
    """True where a word starts that differs from the one before."""
    starts = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=starts[1:])
    return starts


def _tied(starts: npt.NDArray[np.bool_]) -> Order:
    """The positions in groups of more than one, given where groups start."""
    alone = starts.copy()
    alone[:-1] &= starts[1:]
    return np.flatnonzero(~alone)


class _Columns:
    """The bytes of keys column by column, from the end of the prefix all keys share."""

    def __init__(self, keys: pa.Array) -> None:
        _, offset_buffer, data_buffer = keys.buffers()
        offsets = np.frombuffer(offset_buffer, np.int32, len(keys) + 1, keys.offset * 4).astype(np.int64)
        self._starts, self._lengths = offsets[:-1], np.diff(offsets)
        self._data = (
            np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(1, np.uint8)
        )
        self._longest = int(self._lengths.max())
        self._shortest = int(self._lengths.min())
        self._table: npt.NDArray[np.uint8] | None = None
        if self._longest == self._shortest:
            self._table = self._data[offsets[0] : offsets[-1]].reshape(len(keys), -1)
        extremes = pc.min_max(keys).as_py()
        self._next = _prefix_length(extremes["min"], extremes["max"])
        self._end = self._next + COLUMNS_MAX
        self.exhausted = False
        self._begun = False

    def pack(self, words: Words, members: Order, room: int) -> tuple[Words, bool]:
        """(words with as many of the next columns appended as there is room for, whether there were any)."""
        starts, lengths, table = self._starts, self._lengths, self._table
        # From the second round on they are in another order, also if all keys are still tied.
        if self._begun:
            starts, lengths = starts[members], lengths[members]
            table = None if table is None else table[members]
        self._begun = True
        packed = False
        while self._next < min(self._longest, self._end):
            column = self._column(starts, lengths) if table is None else table[:, self._next]
            ranks, bits = _ranked(column)
            if bits > room:
                return words, packed
            words = (words << np.uint64(bits)) | ranks if bits else words
            room, packed, self._next = room - bits, True, self._next + 1
        if self._next == self._longest and self._longest.bit_length() <= room:
            self.exhausted = True
            if self._shortest < self._longest:
                words = (words << np.uint64(self._longest.bit_length())) | lengths.astype(np.uint64)
        return words, packed

    def _column(self, starts: Order, lengths: Order) -> npt.NDArray[np.uint8]:
        """The next byte of each key, 0 where the key has none."""
        found = self._data.take(starts + self._next, mode="clip")
        if self._next >= self._shortest:
            found[lengths <= self._next] = 0
        return found


def _prefix_length(low: bytes, high: bytes) -> int:
    pairs = enumerate(zip(low, high, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(low), len(high)))


def _ranked(column: npt.NDArray[np.uint8]) -> tuple[Words, int]:
    """The bytes as their ranks among the bytes that occur, and the bits these take."""
    if (column == column[0]).all():
        return np.zeros(1, np.uint64), 0
    occurs = np.bincount(column, minlength=256) > 0
    ranks = (np.cumsum(occurs) - 1).astype(np.uint64)
    return ranks[column], int(ranks[-1]).bit_length()
