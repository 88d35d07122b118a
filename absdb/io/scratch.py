"""Where temporary files may lie: what does not fit into memory while a query runs, and what is about to be copied.

Nothing in it outlives the process unless that is asked for, and nothing durable rests on it. Called by sql/, which
hands the path to DuckDB, and by backup/.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


def scratch_directory() -> str:
    """A path for the temporary files of this process, in the system's place for them; it need not exist."""
    return os.path.join(tempfile.gettempdir(), f"absdb-{os.getpid()}")


@contextmanager
def temporary_directory() -> Iterator[str]:
    """A new directory in the system's place for temporary files ($TMPDIR), removed with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="absdb-", ignore_cleanup_errors=True) as path:
        yield path


def kept_directory(name: str) -> str:
    """A new directory in the same place, which stays until somebody removes it."""
    return tempfile.mkdtemp(prefix=f"absdb-{name}-")
