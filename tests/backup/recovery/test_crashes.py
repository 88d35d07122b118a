"""Power losses and kills while a directory is recovered: it recovers again to the same state, once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import absdb
from absdb.backup.recovery.opening import recover_first
from absdb.backup.recovery.report import Recovered
from absdb.catalog.control import read_control
from absdb.engine.recovery import open_engine
from absdb.io.base import FileSystem
from absdb.io.memory import MemoryFileSystem, Node
from absdb.paths import RECOVERY_CONF, RECOVERY_DONE, RESTORING, WAL_DIR
from absdb.testing.crash_states import crash_states
from absdb.testing.recording import RecordingFileSystem
from tests.backup.instances import Rows, everything
from tests.backup.recovery.scene import SETTINGS, tell
from tests.proof.crashing import predictable_names


def in_memory(path: Path) -> MemoryFileSystem:
    """The files of a directory, all of them durable."""
    fs = MemoryFileSystem()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_dir():
            fs.directories.add(name)
        elif name != "lock":
            fs.nodes[name] = Node(file.read_bytes())
    return fs


def recover(fs: FileSystem) -> Recovered | None:
    found = recover_first(fs, arguments=dict(SETTINGS), clock=None)
    assert found is None or isinstance(found, Recovered)
    return found


def shown(fs: FileSystem) -> Rows:
    engine = open_engine(fs, arguments=SETTINGS)
    try:
        return everything(absdb.Instance(engine))
    finally:
        engine.abandon()


def test_trap_10_power_loss_at_every_write_of_a_recovery_leaves_what_recovers_once(tmp_path):
    scene = tell(tmp_path)
    wanted = scene.moments[9]
    fs = RecordingFileSystem(in_memory(scene.files("out", recovery_target_lsn=wanted.lsn)))
    with predictable_names(1_000_000):
        recover(fs)
    ended = begun_anew = 0
    for turn, state in enumerate(crash_states(fs.log, limit=250, seed=3)):
        if state.exists(RECOVERY_CONF):
            with predictable_names(2_000_000 + 1000 * turn):
                found = recover(state)
            ended += found is None
            begun_anew += found is not None
        assert shown(state) == wanted.rows, state.story
        assert read_control(state).timeline == 2, state.story
        assert state.exists(RECOVERY_DONE), state.story
        names = [name for name in state.list(WAL_DIR) if not name.endswith(".tmp")]
        assert all(name.startswith("00000002") for name in names), state.story
    assert begun_anew
    assert ended


def test_killed_restore_goes_on_and_comes_to_the_same(tmp_path):
    scene = tell(tmp_path)
    wanted = scene.moments[-4]
    to = tmp_path / "out"
    script = f"import absdb; absdb.restore({scene.backups!r}, {str(to)!r}, target_lsn={wanted.lsn})"
    chance = random.Random(7)
    for _ in range(5):
        running = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        time.sleep(0.4 + chance.random() * 0.5)
        running.send_signal(signal.SIGKILL)
        running.wait()
    if not (to / RECOVERY_DONE).exists() or (to / RESTORING).exists():
        absdb.restore(scene.backups, to, target_lsn=wanted.lsn)
    with absdb.connect(to) as found:
        assert everything(found) == wanted.rows
        assert found._engine.control.timeline == 2
