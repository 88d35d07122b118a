"""Replay to a target and the timeline that begins there, held against a model at every commit and between."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from absdb.catalog.control import read_control
from absdb.engine import small
from absdb.engine.checkpoint import checkpoint
from absdb.engine.engine import Engine
from absdb.engine.new_timeline import begin_timeline, clear_older_log
from absdb.engine.recover_to import Reached, Target, _relieve, replay_to
from absdb.engine.recovery import open_for_replay
from absdb.engine.recovery_log import FetchedSegments, clear_attempts, local_end
from absdb.errors import CorruptionError, CorruptLogError
from absdb.io.base import FileSystem, read_file
from absdb.io.memory import MemoryFileSystem
from absdb.paths import WAL_DIR, wal_segment_name
from absdb.testing.crash_states import crash_states
from absdb.testing.recording import RecordingFileSystem
from absdb.versioning.log import instance_log, log
from absdb.wal.format import LogIdentity, Record
from absdb.wal.timelines import TimelineHistory, known_histories, newest_from, read_spans
from tests.engine.copied_log import CopiedLog, copy_of
from tests.proof.crashing import (
    SETTINGS,
    SHORT,
    STEPS,
    Stage,
    State,
    commit_afterwards,
    errors_of,
    observed,
    predictable_names,
    start,
    with_afterwards,
)


@dataclass
class Story:
    """A workload that was archived as it went, the copy of its beginning, and what it showed after each step."""

    base: MemoryFileSystem
    archive: CopiedLog
    states: list[tuple[int, int, State]] = field(default_factory=list)
    """(LSN, time of the last record, what there was) after each step."""

    def at(self, lsn: int) -> State:
        return max((each for each in self.states if each[0] <= lsn), key=lambda each: each[0])[2]


class Archived(Stage):
    """A stage whose log stays and is archived, from the backup on."""

    def __init__(self, fs: MemoryFileSystem, story: Story) -> None:
        super().__init__(fs)
        self.story = story
        self.engine.logged_files.holds.hold("archive", 0)

    def reopen(self) -> None:
        self.story.archive.add(self.engine)
        super().reopen()
        self.engine.logged_files.holds.hold("archive", self.story.states[0][0])

    def note(self) -> None:
        self.story.archive.add(self.engine)
        time_us, _ = self.engine.last_seen
        self.story.states.append((self.engine.published, time_us, self.state()))


def tell(steps: Any, backup_after: int = 3) -> Story:
    """Run the steps, with a backup after some of them: a copy at a checkpoint, of which the log goes on a little."""
    fs = MemoryFileSystem()
    story = Story(MemoryFileSystem(), CopiedLog())
    with predictable_names():
        stage = Archived(fs, story)
        for number, (name, do) in enumerate(steps):
            if name == "close":
                break
            do(stage)
            if number == backup_after:
                checkpoint(stage.engine)
                story.base = copy_of(fs)
            if number >= backup_after:
                stage.note()
        stage.engine.abandon()
    for path in [path for path in story.base.nodes if path == "watermark"]:
        del story.base.nodes[path]
    return story


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(STEPS)


@pytest.fixture(scope="module")
def short() -> Story:
    return tell(SHORT, 2)


def replayed(
    fs: FileSystem, archive: CopiedLog, target: Target, timeline: int | None = None
) -> tuple[Engine, Reached, Any]:
    control = read_control(fs)
    clear_attempts(fs, control)
    engine = open_for_replay(fs, arguments=SETTINGS)
    known = known_histories(archive.histories.values())
    way = known[timeline] if timeline else newest_from(known, control.timeline, control.checkpoint_lsn)
    try:
        spans = way.spans_from(control.timeline, control.checkpoint_lsn)
        source = archive.source(fs, control.segment_bytes)
        reached = replay_to(engine, spans, target, source, local_end=local_end(fs, control))
    except BaseException:
        engine.abandon()
        raise
    number = max(control.timeline, *known) + 1
    return engine, reached, way.forked(number, reached.timeline, reached.lsn, f"recovered to {reached.lsn}")


def recover(fs: FileSystem, archive: CopiedLog, target: Target, timeline: int | None = None) -> Reached:
    engine, reached, history = replayed(fs, archive, target, timeline)
    control = begin_timeline(engine, history, epoch=reached.epoch + 1, instance={"done": True})
    engine.abandon()
    clear_older_log(fs, control)
    return reached


def records(story: Story) -> Iterator[Record]:
    """All records of the archive from the backup on."""
    fs = copy_of(story.base)
    control = read_control(fs)
    source = story.archive.source(fs, control.segment_bytes)
    files = FetchedSegments(fs, LogIdentity(control.instance_id, 1, control.segment_bytes), source, 0)
    yield from read_spans(lambda _: files, TimelineHistory(1).spans_from(1, control.checkpoint_lsn))


def shown(story: Story, target: Target) -> tuple[State, Reached]:
    """What replay to a target shows, without ending the recovery."""
    engine, reached, _ = replayed(copy_of(story.base), story.archive, target)
    try:
        return observed(engine), reached
    finally:
        engine.abandon()


def test_every_commit_lsn_and_those_between_give_exactly_the_state_there(story: Story) -> None:
    ends = [record.end_lsn for record in records(story)]
    chosen = random.Random(1)
    wanted = [each for each in story.states if each[0] in ends or each is story.states[0]]
    for lsn, _, state in chosen.sample(wanted, 24):
        following = min((end for end in ends if end > lsn), default=lsn + 1)
        for target in (lsn, following - 1):
            found, reached = shown(story, Target(lsn=target))
            assert found == state
            assert reached.lsn == lsn


def test_exclusive_lsn_stops_before_it(story: Story) -> None:
    ends = [record.end_lsn for record in records(story)]
    for lsn, *_ in story.states[5:60:9]:
        if lsn in ends:
            _, reached = shown(story, Target(lsn=lsn, inclusive=False))
            assert reached.lsn == max((end for end in ends if end < lsn), default=story.states[0][0])
            assert reached.met


def test_every_time_gives_the_last_commit_until_then(story: Story) -> None:
    found = list(records(story))
    for record, following in list(pairwise(found))[7::11]:
        for time_us in (record.time_us, following.time_us - 1):
            assert shown(story, Target(time_us=time_us))[1].lsn == record.end_lsn
        exclusive = shown(story, Target(time_us=following.time_us, inclusive=False))[1]
        assert (exclusive.lsn, exclusive.met) == (record.end_lsn, True)


def test_name_is_the_first_snapshot_of_it_after_the_backup(story: Story) -> None:
    found, reached = shown(story, Target(name="first"))
    assert reached.met
    assert reached.names == ["first"]
    assert found == story.at(reached.lsn)
    assert "main@first" in found
    _, missed = shown(story, Target(name="nowhere"))
    assert not missed.met
    assert missed.names == ["first", "side"]


def test_end_of_the_log_is_what_was_archived_last(story: Story) -> None:
    found, reached = shown(story, Target())
    assert found == story.states[-1][2]
    assert reached.lsn == story.states[-1][0]


def test_target_behind_the_end_is_not_met(story: Story) -> None:
    assert not shown(story, Target(lsn=story.states[-1][0] + 8))[1].met
    assert not shown(story, Target(time_us=story.states[-1][1] + 1))[1].met


def test_replay_that_writes_its_memory_to_page_files_on_the_way_shows_the_same(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    relieved = []

    def relieve(engine: Engine) -> None:
        _relieve(engine)
        relieved.append(engine.published)
        assert not any(
            run for cover in engine.covers.eras.values() for run in cover.view[0] if not run.is_stored
        )

    monkeypatch.setattr("absdb.engine.recover_to._relieve", relieve)
    fs = copy_of(story.base)
    engine = open_for_replay(fs, arguments={**SETTINGS, "checkpoint_wal_volume": 5000})
    control = read_control(fs)
    spans = TimelineHistory(1).spans_from(1, control.checkpoint_lsn)
    source = story.archive.source(fs, control.segment_bytes)
    reached = replay_to(engine, spans, Target(), source, local_end=local_end(fs, control))
    assert len(relieved) > 5
    assert observed(engine) == story.states[-1][2]
    history = TimelineHistory(1).forked(2, 1, reached.lsn, "")
    begin_timeline(engine, history, epoch=2, instance={})
    engine.abandon()
    engine = start(fs)
    assert observed(engine) == story.states[-1][2]
    assert errors_of(engine) == []
    engine.close()


def test_recovered_instance_goes_on_and_is_whole(story: Story) -> None:
    for lsn, _, state in story.states[3::13]:
        fs = copy_of(story.base)
        recover(fs, story.archive, Target(lsn=lsn))
        engine = start(fs)
        assert observed(engine) == state
        assert errors_of(engine) == []
        commit_afterwards(engine)
        engine.close()
        engine = start(fs)
        assert observed(engine) == with_afterwards(state)
        assert read_control(fs).timeline == 2
        engine.close()


def test_logs_tell_of_the_recovery_and_call_nothing_undone(story: Story) -> None:
    lsn = next(lsn for lsn, _, state in story.states if "dev" in state)
    fs = copy_of(story.base)
    recover(fs, story.archive, Target(lsn=lsn))
    engine = start(fs)
    rows = instance_log(engine).to_pylist()
    assert [row["database"] for row in rows if row["kind"] == "recovered"] == ["dev", "main"]
    assert not any(row["undone"] for row in rows)
    info = engine.history.database("main")
    own = log(engine, Stage.point(_Holder(engine), "main")).to_pylist()
    assert own[0]["kind"] == "recovered"
    assert own[0]["from_database"] == info.name
    engine.close()


@dataclass
class _Holder:
    engine: Engine


def test_ids_of_the_new_timeline_are_of_no_abandoned_future(short: Story) -> None:
    fs = copy_of(short.base)
    recover(fs, short.archive, Target(lsn=short.states[0][0]))
    engine = start(fs)
    assert engine.history.current_era(engine.history.database("main").id).id >= 2 << 20
    assert engine.allocator.new_id() > 2 << 20
    engine.close()


def continued(fs: MemoryFileSystem, story: Story, ids: list[int]) -> tuple[int, State]:
    """Open the instance, write rows into `main`, archive; its LSN and what there is."""
    engine = start(fs)
    engine.logged_files.holds.hold("archive", engine.published)
    for number in ids:
        with engine.begin(engine.history.database("main").id) as tx:
            small.upsert(tx, tx.catalog.table("t"), [{"id": number, "value": f"later{number}"}])
    story.archive.add(engine)
    found = engine.published, observed(engine)
    engine.close()
    return found


def test_trap_15_second_recovery_follows_the_first_then_goes_before_it_then_along_the_old_timeline() -> None:
    story = tell(SHORT, 2)
    middle, last = story.states[6], story.states[-1]
    first = copy_of(story.base)
    recover(first, story.archive, Target(lsn=middle[0]))
    lsn, state = continued(first, story, [9001, 9002, 9003])
    assert {row["value"] for row in state["main"]["t"]} >= {"later9001", "later9003"}

    # The newest timeline is followed, also though the abandoned one goes further.
    second = copy_of(story.base)
    assert recover(second, story.archive, Target()).lsn >= lsn
    found = start(second)
    assert observed(found) == state
    assert read_control(second).timeline == 3
    found.close()
    again = continued(second, story, [9004])

    # A point before the first recovery lies on the way to all of them.
    third = copy_of(story.base)
    early = story.states[3]
    reached = recover(third, story.archive, Target(lsn=early[0]))
    assert reached.timeline == 1
    found = start(third)
    assert observed(found) == early[2]
    assert read_control(third).timeline == 4
    found.close()
    continued(third, story, [9005])

    # By number, each future is still there: the abandoned one too, at LSNs that were used twice.
    for timeline, wanted in ((1, last[2]), (2, state), (3, again[1])):
        fs = copy_of(story.base)
        recover(fs, story.archive, Target(), timeline)
        found = start(fs)
        assert observed(found) == wanted, timeline
        assert read_control(fs).timeline == 5
        assert errors_of(found) == []
        found.close()


def test_trap_20_recovered_instance_that_went_on_recovers_to_each_commit_of_both_timelines() -> None:
    story = tell(SHORT, 2)
    middle = story.states[8]
    fs = copy_of(story.base)
    recover(fs, story.archive, Target(lsn=middle[0]))
    rows: list[tuple[int, State]] = []
    for number in range(9100, 9104):
        rows.append(continued(fs, story, [number]))
    for lsn, state in rows:
        copy = copy_of(story.base)
        recover(copy, story.archive, Target(lsn=lsn))
        engine = start(copy)
        assert observed(engine) == state
        engine.close()
    for lsn, _, state in story.states[:8]:
        assert shown(story, Target(lsn=lsn))[0] == state


def test_segment_that_is_missing_before_the_target_is_damage(story: Story) -> None:
    number = min(story.states[30][0], story.states[-1][0]) // SETTINGS["wal_segment_size"]
    holed = CopiedLog()
    holed.log = {key: data for key, data in story.archive.log.items() if key != (1, number)}
    holed.pages = story.archive.pages
    fs = copy_of(story.base)
    with pytest.raises(CorruptLogError):
        replayed(fs, holed, Target())
    assert read_control(fs) == read_control(story.base)
    engine, reached, _ = replayed(copy_of(story.base), holed, Target(lsn=story.states[4][0]))
    assert reached.met
    engine.abandon()


def test_flipped_byte_of_a_fetched_segment_is_found(story: Story) -> None:
    chance = random.Random(3)
    keys = sorted(story.archive.log)
    for key in chance.sample(keys[4:], 6):
        damaged = CopiedLog()
        damaged.log, damaged.pages = dict(story.archive.log), story.archive.pages
        data = bytearray(damaged.log[key])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        damaged.log[key] = bytes(data)
        with pytest.raises(CorruptLogError):
            replayed(copy_of(story.base), damaged, Target())


def test_page_file_that_the_log_names_is_fetched_and_checked(story: Story) -> None:
    bare = copy_of(story.base)
    engine, _, _ = replayed(bare, story.archive, Target())
    fetched = [name for name in story.archive.fetched if name.endswith(".arrow")]
    assert fetched
    engine.abandon()
    lacking, damaged = CopiedLog(), CopiedLog()
    lacking.log = damaged.log = story.archive.log
    damaged.pages = {name: data[:-1] + bytes([data[-1] ^ 1]) for name, data in story.archive.pages.items()}
    for archive in (lacking, damaged):
        with pytest.raises(CorruptionError):
            replayed(copy_of(story.base), archive, Target())


def test_fetched_segments_go_when_they_have_been_read(story: Story) -> None:
    fs = copy_of(story.base)
    before = set(fs.list(WAL_DIR))
    engine, _, _ = replayed(fs, story.archive, Target())
    assert len(set(fs.list(WAL_DIR)) - before) <= 4
    assert len(story.archive.log) > 10
    engine.abandon()


def test_trap_10_crash_at_every_write_of_a_recovery_recovers_to_the_same_state(short: Story) -> None:
    lsn, _, wanted = short.states[9]
    fs = RecordingFileSystem(copy_of(short.base))
    with predictable_names(500_000):
        recover(fs, short.archive, Target(lsn=lsn))
    switched = 0
    for turn, state in enumerate(crash_states(fs.log, limit=400, seed=2)):
        with predictable_names(600_000 + turn * 1000):
            if read_control(state).timeline == 1:
                recover(state, short.archive, Target(lsn=lsn))
            else:
                switched += 1
                clear_older_log(state, read_control(state))
            engine = start(state)
            assert observed(engine) == wanted, state.story
            assert read_control(state).timeline == 2
            assert not errors_of(engine) or turn % 7, state.story
            commit_afterwards(engine)
            engine.abandon()
            engine = start(state)
            assert observed(engine) == with_afterwards(wanted), state.story
            engine.abandon()
        assert all(name.startswith("00000002") for name in state.list(WAL_DIR)), state.list(WAL_DIR)
    assert switched


def test_segment_of_an_unfinished_attempt_is_not_taken_for_log(short: Story) -> None:
    lsn, _, wanted = short.states[9]
    other = copy_of(short.base)
    engine, reached, history = replayed(other, short.archive, Target(lsn=short.states[5][0]))
    begin_timeline(engine, history, epoch=9, instance={})
    engine.abandon()
    fs = copy_of(short.base)
    name = wal_segment_name(2, reached.lsn // SETTINGS["wal_segment_size"])
    node = read_file(other, f"{WAL_DIR}/{name}")
    file = fs.create(f"{WAL_DIR}/{name}")
    file.pwrite(0, [node])
    file.close()
    recover(fs, short.archive, Target(lsn=lsn))
    engine = start(fs)
    assert observed(engine) == wanted
    engine.close()
