"""File systems that go wrong, on purpose and on cue.

    fs = FaultyFileSystem(MemoryFileSystem(), [Fault("sync", call=2, error=errno.EIO)])
    for n in itertools.count(1):                               # fail each call of a workload in turn
        fs = FaultyFileSystem(MemoryFileSystem(), [Fault(call=n)])
        ...
        if not fs.fired:
            break                                              # n went beyond the last call

- `FaultyFileSystem`: the n-th call of an operation (or of any) fails once or from then on, is cut short,
  reads flipped bits, or loses power. Around any other file system.
- `RecordingFileSystem` and `crash_states`: remember a workload, and make the disks a power loss may leave.
- `SlowSync`: syncs take a while, as on real disks; for tests of group commit.
"""

from __future__ import annotations

import errno
import fnmatch
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from absdb.io.base import Bytes, File, FileSystem
from absdb.io.failure import storage_error
from absdb.testing.crash_states import CrashState, crash_now, crash_states
from absdb.testing.recording import Operation, OperationLog, RecordingFileSystem
from absdb.testing.wrapping import WrappedFile, WrappedFileSystem

__all__ = [
    "CrashState",
    "Fault",
    "FaultyFileSystem",
    "Operation",
    "OperationLog",
    "PowerLoss",
    "RecordingFileSystem",
    "SlowSync",
    "crash_now",
    "crash_states",
]

T = TypeVar("T")

ANY = "*"
_UNTOUCHED = ("close",)


class PowerLoss(BaseException):
    """The power is gone: raised by every call from then on. No Exception, lest code under test catches it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when.

    `op` is a method of FileSystem or File, "*" any but close; `path` a shell pattern. `call` counts the calls
    that fit both, from 1; with `forever` all later ones go wrong too. Then the call fails with `error` and
    nothing is done - except that a pwrite first writes `written` bytes. With `flip` a pread or map succeeds,
    but this bit (modulo the length) is wrong. With `crash` the power goes instead.
    """

    op: str = ANY
    call: int = 1
    error: int = errno.EIO
    path: str = "*"
    forever: bool = False
    written: int = 0
    flip: int | None = None
    crash: bool = False


class FaultyFileSystem(WrappedFileSystem):
    """Another file system with faults. `calls` counts the calls by operation, `fired` lists what went wrong.

    A sync that fails is told to a RecordingFileSystem underneath: what it was to make durable stays in doubt.
    """

    def __init__(self, inner: FileSystem, plan: Sequence[Fault] = ()) -> None:
        super().__init__(inner)
        self.plan = list(plan)
        self.calls: Counter[str] = Counter()
        self.fired: list[tuple[str, str, Fault]] = []
        self._fitting = [0] * len(self.plan)
        self._dead = False
        self._mutex = threading.Lock()

    def crash(self) -> None:
        """Cut the power: from here on every call raises PowerLoss, but closing and releasing is harmless."""
        self._dead = True

    def around(self, op: str, path: str, call: Callable[[], T]) -> T:
        """Do the call, unless a fault says otherwise."""
        fault = self.due(op, path)
        if fault is None:
            return call()
        if fault.flip is not None:
            return _flipped(call(), fault.flip)
        raise storage_error(op.replace("_", " "), path, self.root, fault.error)

    def due(self, op: str, path: str) -> Fault | None:
        """Count a call, and the fault that strikes it; PowerLoss if the power is or goes off."""
        with self._mutex:
            if self._dead:
                if op in _UNTOUCHED:
                    return None
                raise PowerLoss(f"{op} {path}")
            self.calls[op] += 1
            self.calls[ANY] += op not in _UNTOUCHED
            struck = None
            for index, fault in enumerate(self.plan):
                if not self._fits(fault, op, path):
                    continue
                self._fitting[index] += 1
                now = self._fitting[index]
                if struck is None and (now == fault.call or (fault.forever and now > fault.call)):
                    struck = fault
            if struck is not None:
                self.fired.append((op, path, struck))
                if struck.crash:
                    self._dead = True
                    raise PowerLoss(f"{op} {path}")
            return struck

    def _fits(self, fault: Fault, op: str, path: str) -> bool:
        """Whether a fault counts this call."""
        if fault.flip is not None and op not in ("pread", "map"):
            return False
        named = op not in _UNTOUCHED if fault.op == ANY else op == fault.op
        return named and fnmatch.fnmatchcase(path, fault.path)

    def _file(self, inner: File) -> File:
        return FaultyFile(self, inner)


class FaultyFile(WrappedFile):
    """An open file of a FaultyFileSystem."""

    def __init__(self, fs: FaultyFileSystem, inner: File) -> None:
        super().__init__(fs, inner)
        self._faults = fs

    def pwrite(self, offset: int, chunks: Sequence[Bytes]) -> int:
        """Write all chunks; a fault may let only the first bytes through."""
        fault = self._faults.due("pwrite", self.path)
        if fault is None:
            return self.inner.pwrite(offset, chunks)
        data = b"".join(bytes(memoryview(chunk)) for chunk in chunks)[: fault.written]
        if data:
            self.inner.pwrite(offset, [data])
        raise storage_error("write", self.path, self._faults.root, fault.error)

    def sync(self, *, data_only: bool = False) -> None:
        """Make the contents durable; after a fault they stay in doubt whatever is tried later."""
        fault = self._faults.due("sync", self.path)
        if fault is None:
            return self.inner.sync(data_only=data_only)
        tell = getattr(self.inner, "sync_failed", None)
        if tell is not None:
            tell()
        raise storage_error("sync", self.path, self._faults.root, fault.error)

    def close(self) -> None:
        """Close the file, also when a fault says that it failed."""
        try:
            super().close()
        finally:
            self.inner.close()


class SlowSync(WrappedFileSystem):
    """Another file system whose syncs of files take `seconds` longer; `syncs` counts them."""

    def __init__(self, inner: FileSystem, seconds: float) -> None:
        super().__init__(inner)
        self.seconds = seconds
        self.syncs = 0
        self._mutex = threading.Lock()

    def around(self, op: str, path: str, call: Callable[[], T]) -> T:
        """Do the call, and wait first if it is a sync."""
        if op == "sync":
            with self._mutex:
                self.syncs += 1
            time.sleep(self.seconds)
        return call()


def _flipped(found: Any, bit: int) -> Any:
    """The bytes or buffer with one bit wrong."""
    data = bytearray(memoryview(found))
    if data:
        bit %= len(data) * 8
        data[bit // 8] ^= 1 << bit % 8
    return pa.py_buffer(bytes(data)) if isinstance(found, pa.Buffer) else bytes(data)
