"""Plays the histories of `test_merge_beside_doltlite` in doltlite: JSON on standard input, JSON out.

A process of its own, because doltlite takes the place of the library behind `sqlite3`. A play is a list of steps:
[branch, statements] commits on a branch, ["merge", into, from] merges. The answer per play holds, for each merge,
whether it was refused and the rows in conflict, and the rows of both branches at the end, all as dictionaries.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

if True:  # a block, so that the imports keep this order: doltlite replaces the library behind sqlite3
    import doltlite  # noqa: F401

import sqlite3


def play(path: Path, steps: list[list[Any]]) -> dict[str, Any]:
    """One history in a database of its own."""
    connection = sqlite3.connect(path, isolation_level=None)

    def rows(statement: str, *parameters: str) -> list[tuple[Any, ...]]:
        return connection.execute(statement, parameters).fetchall()

    merges = []
    rows("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER)")
    rows("SELECT dolt_commit('-A', '-m', 'table')")
    rows("SELECT dolt_branch('theirs')")
    for number, step in enumerate(steps):
        if step[0] == "merge":
            rows("SELECT dolt_checkout(?)", step[1])
            merges.append(merge(connection, step[2]))
            continue
        rows("SELECT dolt_checkout(?)", step[0])
        for statement in step[1]:
            rows(statement)
        # Commits are known by their content there: two alike in one second, on two branches, would be one.
        rows("SELECT dolt_commit('-A', '-m', ?, '--allow-empty')", f"step {number}")
    ends = {}
    for branch in ("main", "theirs"):
        rows("SELECT dolt_checkout(?)", branch)
        ends[branch] = dictionaries(connection.execute("SELECT * FROM t ORDER BY 1"))
    connection.close()
    return {"merges": merges, "ends": ends}


def dictionaries(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    """The rows of a query by column name."""
    return [{about[0]: value for about, value in zip(cursor.description, row, strict=True)} for row in cursor]


def merge(connection: sqlite3.Connection, source: str) -> dict[str, Any]:
    """What came of a merge, which is taken back if there were conflicts."""
    connection.execute("BEGIN")
    try:
        connection.execute("SELECT dolt_merge(?)", (source,)).fetchall()
    except sqlite3.OperationalError as error:
        if "conflict" not in str(error) and "cannot merge" not in str(error):
            raise
        counts = dict(connection.execute("SELECT * FROM dolt_conflicts").fetchall())
        found = dictionaries(connection.execute("SELECT * FROM dolt_conflicts_t")) if counts.get("t") else []
        if counts:
            connection.execute("SELECT dolt_merge('--abort')").fetchall()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return {"refused": True, "conflicts": found}
    if connection.in_transaction:
        connection.execute("COMMIT")
    return {"refused": False, "conflicts": []}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        json.dump(
            [play(Path(folder) / f"{n}.db", one) for n, one in enumerate(json.load(sys.stdin))], sys.stdout
        )
