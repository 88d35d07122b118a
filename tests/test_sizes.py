"""Bytes as text."""

from __future__ import annotations

import pytest

from absdb.sizes import size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (16 << 20, "16.0 MiB"),
        (3 << 29, "1.5 GiB"),
        (5000 << 40, "5,000.0 TiB"),
    ],
)
def test_size_has_the_largest_unit_that_leaves_a_whole(count, text):
    assert size(count) == text
