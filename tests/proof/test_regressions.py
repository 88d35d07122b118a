"""One test for each defect that the proofs of this folder have found, named in README.md beside it."""

from __future__ import annotations

import pytest

from absdb.io.memory import MemoryFileSystem
from tests.proof.scene import bulk, create, database, ids, numbered, put, start


def test_bulk_load_survives_a_crash_before_the_next_checkpoint():
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        bulk(tx, create(tx, "t"), numbered(range(100)))
    engine.abandon()
    engine = start(fs)
    assert ids(engine, "t") == list(range(100))
    engine.close()


def test_close_after_the_log_has_been_cut_by_its_own_checkpoint():
    """The log was reread from a place that the checkpoint of close() had just removed."""
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    for first in range(0, 300, 10):
        put(engine, "t", range(first, first + 10))
    assert engine.published > 2 * 4096
    engine.close()
    engine = start(fs)
    assert ids(engine, "t") == list(range(300))
    engine.abandon()


def test_ids_of_tables_and_columns_are_not_handed_out_again_after_a_crash():
    fs = MemoryFileSystem()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        table = create(tx, "t")
    engine.abandon()
    engine = start(fs)
    with engine.begin(database(engine)) as tx:
        other = create(tx, "u")
    assert {table.id, *table.by_id}.isdisjoint({other.id, *other.by_id})
    engine.abandon()


@pytest.mark.parametrize("rows", [90, 101])
def test_a_commit_that_fills_the_buffer_is_seen_whole(monkeypatch, rows):
    """The buffer was sealed between two rows of one commit; the second part lay before the run's end."""
    monkeypatch.setattr("absdb.engine.cover.SEAL_ROWS", 100)
    engine = start(MemoryFileSystem())
    with engine.begin(database(engine)) as tx:
        create(tx, "t")
    put(engine, "t", range(50))
    lsn = put(engine, "t", range(50, 50 + rows))
    assert ids(engine, "t") == list(range(50 + rows))
    put(engine, "t", [1000])
    assert ids(engine, "t", lsn=lsn) == list(range(50 + rows))
    engine.abandon()
