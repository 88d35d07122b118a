"""One test for each defect that the proofs of this folder have found, named in README.md beside it."""

from __future__ import annotations

from absdb.io.memory import MemoryFileSystem
from tests.proof.scene import bulk, create, database, ids, numbered, start


def test_bulk_load_survives_a_crash_before_the_next_checkpoint():
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        bulk(tx, create(tx, "t"), numbered(range(100)))
    engine.abandon()
    engine = start(fs)
    assert ids(engine, "t") == list(range(100))
    engine.close()
