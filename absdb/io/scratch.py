"""Where temporary files may lie: what does not fit into memory while a query runs.

Nothing in it outlives the process, and nothing durable rests on it. Called by sql/, which hands the path to
DuckDB.
"""

from __future__ import annotations

import os
import tempfile


def scratch_directory() -> str:
    """A path for the temporary files of this process, in the system's place for them; it need not exist."""
    return os.path.join(tempfile.gettempdir(), f"absdb-{os.getpid()}")
