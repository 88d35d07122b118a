"""An archive as tests of recovery need it: what a live instance's log and page files were, in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping

from absdb.engine.engine import Engine
from absdb.engine.recovery_log import LogSource
from absdb.io.base import FileSystem, read_file, write_atomic
from absdb.io.memory import MemoryFileSystem, Node
from absdb.paths import PAGES_DIR, WAL_DIR, fetched_segment_name, parse_wal_segment_name
from absdb.wal.timelines import TimelineHistory, parse_history


class CopiedLog:
    """What was copied: segments by timeline and number, page files and histories by name."""

    def __init__(self) -> None:
        self.log: dict[tuple[int, int], bytes] = {}
        self.pages: dict[str, bytes] = {}
        self.histories: dict[int, TimelineHistory] = {}
        self.fetched: list[str] = []

    def add(self, engine: Engine) -> None:
        """Copy what the engine's directory has of its timeline now: its log up to what is published."""
        fs, control = engine.fs, engine.control
        size = control.segment_bytes
        for name in fs.list(WAL_DIR):
            parsed = parse_wal_segment_name(name)
            if parsed is not None and parsed.timeline == control.timeline:
                length = min(size, engine.published - parsed.segment * size)
                if length > 0:
                    self.log[tuple(parsed)] = read_file(fs, f"{WAL_DIR}/{name}")[:length]
            if name.endswith(".history"):
                data = read_file(fs, f"{WAL_DIR}/{name}")
                found = parse_history(data, path=name, instance_id=control.instance_id)
                self.histories[found.timeline] = found
        for name in fs.list(PAGES_DIR):
            self.pages.setdefault(name, read_file(fs, f"{PAGES_DIR}/{name}"))

    def source(self, fs: FileSystem, segment_bytes: int) -> LogSource:
        """The copy as a source for a recovery in `fs`."""
        return _Source(self, fs, segment_bytes)


class _Source:
    def __init__(self, copied: CopiedLog, fs: FileSystem, segment_bytes: int) -> None:
        self._copied, self._fs, self._segment_bytes = copied, fs, segment_bytes

    def segments(self, timeline: int) -> Mapping[int, int]:
        return {number: len(data) for (of, number), data in self._copied.log.items() if of == timeline}

    def fetch_segment(self, timeline: int, number: int) -> None:
        name = fetched_segment_name(timeline, number)
        self._copied.fetched.append(name)
        data = self._copied.log[timeline, number]
        write_atomic(self._fs, f"{WAL_DIR}/{name}", data.ljust(self._segment_bytes, b"\0"))

    def fetch_page_file(self, name: str) -> None:
        self._copied.fetched.append(name)
        if name in self._copied.pages:
            write_atomic(self._fs, f"{PAGES_DIR}/{name}", self._copied.pages[name])


def copy_of(fs: MemoryFileSystem) -> MemoryFileSystem:
    """A directory of its own with the same files, all of them durable, and no lock held."""
    copy = MemoryFileSystem()
    copy.directories = set(fs.directories)
    copy.nodes = {path: Node(bytes(node.data)) for path, node in fs.nodes.items() if path != "lock"}
    return copy
