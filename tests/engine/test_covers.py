"""How the layers of a state are found, and found again for the states that follow."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from absdb.engine.covers import Layers
from tests.engine.stage import Stage

INT = pa.int64()


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    made.create("t", {"id": INT, "v": INT})
    made.insert("t", [{"id": 1, "v": 1}])
    yield made
    made.close()


def layers_of(stage: Stage, **where: object) -> Layers:
    engine = stage.engine
    return engine.covers.resolve(engine.history, stage.schema("t", **where), stage.point(**where).lineage)


def rows_under(layers: Layers) -> list[tuple[object, ...] | None]:
    hits = [layers.find(key) for key in (1, 2, 3)]
    return [None if hit is None else hit.row for hit in hits]


def test_readers_of_the_newest_state_share_its_layers_while_one_of_them_lives(stage: Stage) -> None:
    layers_of(stage)
    held = layers_of(stage)
    assert layers_of(stage) is held
    stage.insert("t", [{"id": 2, "v": 2}])
    later = layers_of(stage)
    assert rows_under(held) == [(1, 1), None, None]
    assert rows_under(later) == [(1, 1), (2, 2), None]
    old = layers_of(stage, lsn=held.lineage[-1][1])
    assert old.lineage == held.lineage
    assert rows_under(old) == [(1, 1), None, None]


def test_a_compaction_is_noticed_by_the_states_that_follow(stage: Stage) -> None:
    before = layers_of(stage)
    assert not before.fixed
    stage.insert("t", [{"id": 2, "v": 2}])
    stage.checkpoint()
    stage.compact("t")
    after = layers_of(stage)
    assert [section.rows for section in after.fixed] == [2]
    stage.insert("t", [{"id": 3, "v": 3}])
    assert [section.rows for section in layers_of(stage).fixed] == [2]
    assert stage.rows("t") == [{"id": i, "v": i} for i in (1, 2, 3)]


def test_an_image_behind_a_state_is_not_missed_by_the_states_after_it(stage: Stage) -> None:
    """Somebody reads the past when there is an image of a later state already."""
    lsn = stage.engine.published
    stage.insert("t", [{"id": 2, "v": 2}])
    stage.checkpoint()
    stage.compact("t")
    past = layers_of(stage, lsn=lsn)
    assert past.find(2) is None or past.find(2).deleted  # type: ignore[union-attr]  # asked for just before
    assert [section.rows for section in layers_of(stage).fixed] == [2]


def test_a_branch_and_its_source_find_their_own_rows(stage: Stage) -> None:
    stage.branch("b")
    stage.insert("t", [{"id": 2, "v": 2}])
    stage.insert("t", [{"id": 3, "v": 3}], database="b")
    for _ in range(2):
        assert stage.rows("t") == [{"id": 1, "v": 1}, {"id": 2, "v": 2}]
        assert stage.rows("t", database="b") == [{"id": 1, "v": 1}, {"id": 3, "v": 3}]
