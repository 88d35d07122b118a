"""The file that tells nbval what may differ between two runs of a notebook: LSNs, temporary directories and the like.

    pytest --nbval --nbval-sanitize-with "$(python -m absdb.testing.sanitizer)" notebooks

It is absdb/testing/nbval.cfg, and says for each pattern why.
"""

from __future__ import annotations

from pathlib import Path


def path() -> str:
    """Where the file lies: a path for `--nbval-sanitize-with`."""
    return str(Path(__file__).with_name("nbval.cfg"))


if __name__ == "__main__":
    print(path())
