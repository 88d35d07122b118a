"""Sorting agrees with Python's own stable sort on the kinds of keys that take different ways through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from absdb.pages import sorting
from absdb.pages.sorting import sort_binary, sort_integers

ROWS = 3 * sorting.SMALL
Random = np.random.Generator

INTEGERS: dict[str, Callable[[Random], Any]] = {
    "unique": lambda r: r.permutation(ROWS),
    "repeated": lambda r: r.integers(-5, 5, ROWS),
    "all equal": lambda r: np.zeros(ROWS, np.int64),
    "sorted": lambda r: np.arange(ROWS),
    "reversed": lambda r: np.arange(ROWS)[::-1].copy(),
    "two sorted pieces": lambda r: np.concatenate([np.arange(ROWS), np.arange(ROWS)]),
    "too wide for one word": lambda r: r.integers(-(2**63), 2**63 - 1, ROWS, endpoint=True),
    "wide and repeated": lambda r: r.choice(r.integers(-(2**63), 2**63 - 1, 50), ROWS),
    "wide with neighbours": lambda r: r.permutation(ROWS) + r.choice([-(2**63), 2**62], ROWS),
    "extremes": lambda r: r.choice(np.array([-(2**63), -1, 0, 2**63 - 1]), ROWS),
    "unsigned": lambda r: r.integers(0, 2**64 - 1, ROWS, dtype=np.uint64, endpoint=True),
    "unsigned, small": lambda r: r.integers(2**63 - 9, 2**63 + 9, ROWS, dtype=np.uint64),
}


def _shuffled(r: Random, keys: list[bytes]) -> list[bytes]:
    return [keys[at] for at in r.permutation(len(keys))]


BYTES: dict[str, Callable[[Random], list[bytes]]] = {
    "numbers after a prefix": lambda r: [b"customer-%d" % n for n in r.permutation(ROWS)],
    "all tied at first": lambda r: _shuffled(
        r, [prefix + end for prefix in (r.bytes(10) for _ in range(ROWS // 2)) for end in (b"a", b"b")]
    ),
    "one length": lambda r: [n.tobytes() for n in r.integers(0, 2**63, ROWS)],
    "sixteen random bytes": lambda r: [r.bytes(16) for _ in range(ROWS)],
    "zeros at the end": lambda r: [b"a" * int(n) + b"\x00" * int(m) for n, m in r.integers(0, 5, (ROWS, 2))],
    "only lengths differ": lambda r: [b"\x00" * int(n) for n in r.integers(0, 300, ROWS)],
    "all empty": lambda r: [b""] * ROWS,
    "all equal": lambda r: [b"same"] * ROWS,
    "few": lambda r: [[b"", b"a", b"ab", b"b\xff"][int(n)] for n in r.integers(0, 4, ROWS)],
    "a common middle": lambda r: [b"%d%s%d" % (n % 3, b"-" * 40, n) for n in r.permutation(ROWS)],
    "a middle too long": lambda r: [b"%d%s%d" % (n % 3, b"-" * 200, n % 99) for n in r.permutation(ROWS)],
    "many rounds": lambda r: [
        r.integers(0, 2, 80, np.uint8).tobytes()[: int(r.integers(80))] for _ in range(ROWS)
    ],
    "sorted": lambda r: [b"%08d" % n for n in range(ROWS)],
}


def stable(keys: list[Any]) -> list[int]:
    return sorted(range(len(keys)), key=keys.__getitem__)


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers(kind: str) -> None:
    keys = INTEGERS[kind](np.random.default_rng(7))
    order = sort_integers(keys)
    assert order.dtype == np.int64
    assert order.tolist() == stable(keys.tolist())


@pytest.mark.parametrize("kind", BYTES)
def test_bytes(kind: str) -> None:
    keys = BYTES[kind](np.random.default_rng(7))
    whole = pa.array([b"before", *keys, b"after"], pa.binary())
    order = sort_binary(whole.slice(1, len(keys)))
    assert order.dtype == np.int64
    assert order.tolist() == stable(keys)


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "SMALL", 2)


@pytest.mark.usefixtures("nothing_is_small")
class TestAnyFew:
    """The ways meant for many keys, on few keys of any shape."""

    @given(st.lists(st.binary(max_size=12) | st.text("\x00a\xff", max_size=12).map(str.encode), min_size=1))
    def test_bytes(self, keys: list[bytes]) -> None:
        assert sort_binary(pa.array(keys, pa.binary())).tolist() == stable(keys)

    @given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3), min_size=1))
    def test_integers(self, keys: list[int]) -> None:
        assert sort_integers(np.array(keys, np.int64)).tolist() == stable(keys)

    @given(st.lists(st.integers(0, 2**64 - 1) | st.integers(2**64 - 3, 2**64 - 1), min_size=1))
    def test_unsigned(self, keys: list[int]) -> None:
        assert sort_integers(np.array(keys, np.uint64)).tolist() == stable(keys)


def test_no_keys() -> None:
    assert sort_integers(np.empty(0, np.int64)).tolist() == []
    assert sort_binary(pa.array([], pa.binary())).tolist() == []
