"""The name that was probably meant, for errors about one that nothing has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str], what: str) -> str:
    """A hint: the nearest of the known names, or a list of them."""
    names = sorted(set(known))
    folded = {each.casefold(): each for each in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {folded[near[0]]!r}?" if near else f"{what}: {', '.join(names[:20]) or 'none'}"
