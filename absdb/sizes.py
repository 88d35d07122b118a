"""Bytes as people read them. Imports nothing, so that the overview of the commands loads no engine."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes with a unit: `512 bytes`, `4.8 MiB`."""
    if abs(count) < 1024:
        return f"{count:,.0f} bytes"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if abs(value) < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:,.1f} TiB"
