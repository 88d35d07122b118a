"""How large the parts of an upload are, so that the number of parts that a provider allows is always enough.

The first half of the parts are equal, because some providers want all but the last to be, and large enough for the size
that is expected. If more comes than was expected, the other half grow steadily, up to the largest part there may be.
Used by the stores that upload in parts.
"""

from __future__ import annotations

from typing import NamedTuple

_MIB = 1 << 20


class PartSizes(NamedTuple):
    """The sizes of parts 1, 2, … of one object, in bytes."""

    base: int
    step: int
    largest: int
    max_parts: int

    def size(self, number: int) -> int:
        """Bytes in part `number`, counted from 1; the last part of an object may be smaller."""
        grown = max(0, number - self.max_parts // 2)
        return min(self.largest, self.base + grown * self.step)

    def total(self) -> int:
        """The most that an object can have."""
        return sum(self.size(number) for number in range(1, self.max_parts + 1))


def plan_parts(
    size_hint: int | None, *, part_size: int, max_parts: int, largest_part: int, largest_object: int
) -> PartSizes:
    """Parts of at least `part_size` bytes of which `max_parts` make up `largest_object`, if they can at all."""
    equal = max(1, max_parts // 2)
    base = min(largest_part, max(part_size, _whole_mib(size_hint or 0, equal)))
    growing = max_parts - equal
    missing = max(0, largest_object - base * max_parts)
    # The sizes of the growing half add up to base * growing + step * growing * (growing + 1) / 2.
    step = _whole_mib(2 * missing, growing * (growing + 1)) if growing else 0
    return PartSizes(base, step, largest_part, max_parts)


def _whole_mib(total: int, shares: int) -> int:
    """The share of a total, rounded up to whole MiB."""
    return -(-total // (shares * _MIB)) * _MIB
