"""What the system is really asked to do, in which order: strace, read line by line.

A traced process opens an instance, commits, loads, checkpoints, and says on stderr when it was told that
something is done. `Audit` plays the calls against the rules of durability; each rule is also shown to notice
when the call it waits for is taken out of the trace. The last tests let single calls fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import absdb

ROOT = Path(__file__).resolve().parents[2]
CALLS = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,ftruncate,rename,renameat,renameat2,"
    "unlink,unlinkat,mkdir,mkdirat"
)
WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate"}
SYNCS = {"fsync", "fdatasync"}
VOLATILE = {"lock", "watermark"}
SEGMENT = 16384

WORK = f"""
import os, sys
import absdb

def done(what):
    os.write(2, f"DONE {{what}}\\n".encode())

shop = absdb.connect(sys.argv[1], wal_segment_size={SEGMENT}, bulk_threshold=65536)
main = shop["main"]
table = main.create_table("t", {{"id": "int64", "value": "string"}}, key="id")
table.insert({{"id": 0}})
done("opening")
for number in range(1, 4):
    table.insert({{"id": number}})
    done(f"commit {{number}}")
main.branch("dev")
done("branch")
table.insert([{{"id": 10_000 + number, "value": "x" * 100}} for number in range(1_000)])
done("bulk load")
shop.checkpoint()
done("checkpoint")
for number in range(20):
    table.insert({{"id": 100 + number, "value": "y" * 3_000}})
    done(f"segments {{number}}")
shop.checkpoint()
done("second checkpoint")
shop.close()
done("close")
"""

INJECTED = f"""
import os, sys
import absdb

shop = absdb.connect(sys.argv[1], wal_segment_size={SEGMENT})
try:
    for number in range(100):
        try:
            shop["main"]["t"].insert({{"id": number, "value": "z" * 1_000}})
        except absdb.EnginePoisonedError:
            os.write(1, f"failed {{number}}\\n".encode())
            raise
        except absdb.StorageError as error:
            os.write(1, f"refused {{number}}\\n".encode())
            continue
        os.write(1, f"done {{number}}\\n".encode())
        if number % 40 == 39:
            shop.checkpoint()
finally:
    os._exit(0)
"""


def strace() -> str:
    """Where strace is. Where the tests run for everybody it has to be there; elsewhere it may be missing."""
    found = shutil.which("strace")
    if found is None:
        why = "strace is not installed, and without it nobody sees in which order the disk is asked"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(why)
        pytest.skip(why)
    probe = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, text=True)
    if probe.returncode:
        why = f"strace may not trace here: {probe.stderr.strip()}"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(why)
        pytest.skip(why)
    return found


@dataclass(frozen=True)
class Call:
    """One call that succeeded: what it did, to which paths relative to the instance, where in the trace."""

    name: str
    path: str  # of a mark: what is done
    target: str = ""  # of a rename
    makes: bool = False  # an openat that creates
    begun: int = 0
    ended: int = 0


def parse(lines: Iterable[str], directory: str) -> list[Call]:
    """The calls of a trace that concern the instance, in the order of their ends, and the marks."""
    waiting: dict[str, tuple[int, str]] = {}
    calls: list[Call] = []
    for number, line in enumerate(lines):
        process, _, text = line.rstrip("\n").partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            waiting[process] = number, text.removesuffix("<unfinished ...>").rstrip()
            continue
        begun = number
        if resumed := re.match(r"<\.\.\. \w+ resumed>\s*(.*)", text):
            begun, start = waiting.pop(process)
            text = start + " " + resumed[1]
        call = read_call(text, directory, begun, number)
        if call is not None:
            calls.append(call)
    return calls


def read_call(text: str, directory: str, begun: int, ended: int) -> Call | None:
    matched = re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", text)
    if matched is None or matched[3].startswith("-"):
        return None
    name, arguments = matched[1], matched[2]
    if name == "write" and (mark := re.search(r'"DONE (.*)\\n"', arguments)):
        return Call("done", mark[1], begun=begun, ended=ended)
    if name in WRITES or name in SYNCS:
        paths = re.findall(r"^\d+<(.*?)>", arguments)
    else:
        paths = re.findall(r'"([^"]*)"', arguments)
    inside = [path.removeprefix(directory).lstrip("/") for path in paths if under(path, directory)]
    if not inside or inside[0] in VOLATILE:
        return None
    name = re.sub(r"(at2?|64|v2?)$", "", name) if name != "openat" else "open"
    makes = "O_CREAT" in arguments
    return Call(name, inside[0], inside[1] if len(inside) > 1 else "", makes, begun, ended)


def under(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory + "/")


def parent(path: str) -> str:
    return path.rpartition("/")[0]


@dataclass
class Audit:
    """The rules, played over calls; `faults` says which were broken."""

    dirty: set[str] = field(default_factory=set)  # files with bytes that no sync has covered
    loose: dict[str, set[str]] = field(default_factory=dict)  # directory -> names that may not last
    faults: list[str] = field(default_factory=list)

    def play(self, calls: Iterable[Call]) -> list[str]:
        ordered = sorted(
            [(call.begun if call.name not in SYNCS else call.ended, call) for call in calls],
            key=lambda item: item[0],
        )
        for _, call in ordered:
            getattr(self, f"on_{call.name}")(call)
        return self.faults

    def on_open(self, call: Call) -> None:
        if call.makes:
            self.dirty.add(call.path)
            self.loose.setdefault(parent(call.path), set()).add(call.path)

    def on_write(self, call: Call) -> None:
        loose = call.path in self.loose.get("wal", ()) and not call.path.endswith(".tmp")
        if loose:
            self.faults.append(f"a record went into {call.path} before its name was durable")
        self.dirty.add(call.path)

    on_pwrite = on_write
    on_ftruncate = on_write

    def on_fsync(self, call: Call) -> None:
        self.dirty.discard(call.path)
        self.loose.pop(call.path, None)

    def on_fdatasync(self, call: Call) -> None:
        self.dirty.discard(call.path)

    def on_rename(self, call: Call) -> None:
        if call.path in self.dirty:
            self.faults.append(f"{call.target} was put in place before its bytes were durable")
        if call.target == "control":
            # It makes a checkpoint valid: everything the checkpoint names has to last by then.
            unsynced = {path for path in self.dirty if not path.endswith(".tmp")}
            names = {name for place in self.loose.values() for name in place} - {"control.tmp"}
            names -= {name for name in names if name.startswith("wal/")}  # a segment made ahead
            unsynced -= {path for path in unsynced if path.startswith("wal/") and path in names}
            if unsynced or names:
                self.faults.append(f"control names what may not last: {sorted(unsynced | names)}")
        self.dirty.discard(call.path)
        self.loose.setdefault(parent(call.path), set()).discard(call.path)
        self.loose.setdefault(parent(call.target), set()).add(call.target)

    def on_unlink(self, call: Call) -> None:
        if "control" in self.loose.get("", ()):
            self.faults.append(f"{call.path} was removed before the new control was durable")
        self.dirty.discard(call.path)
        self.loose.setdefault(parent(call.path), set()).discard(call.path)

    def on_mkdir(self, call: Call) -> None:
        self.loose.setdefault(parent(call.path), set()).add(call.path)

    def on_done(self, call: Call) -> None:
        """An acknowledgement: nothing that it may rest on can still be lost."""
        names = {name for place in self.loose.values() for name in place}
        making = {name for name in names if name.startswith("wal/")}  # a segment that holds nothing yet
        making |= {path for path in self.dirty if path.startswith("wal/") and path.endswith(".tmp")}
        if left := (self.dirty | names) - making:
            self.faults.append(f"{call.path!r} was acknowledged while these may be lost: {sorted(left)}")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """Everything the work above does."""
    directory = tmp_path_factory.mktemp("traced")
    run_traced(directory, WORK, "-y", "-s", "64", "-e", f"trace={CALLS}")
    with open(directory / "trace") as lines:
        return parse(lines, str(directory / "shop"))


def run_traced(directory: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [strace(), "-f", "-o", str(directory / "trace"), *options]
    return subprocess.run(
        [*command, sys.executable, "-c", program, str(directory / "shop")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def between(calls: list[Call], first: str, last: str) -> list[Call]:
    """The calls from one acknowledgement to another one."""
    marks = {call.path: number for number, call in enumerate(calls) if call.name == "done"}
    return calls[marks[first] + 1 : marks[last]]


def test_an_ordinary_commit_is_one_write_and_one_fdatasync(trace):
    for number in range(1, 4):
        before = "opening" if number == 1 else f"commit {number - 1}"
        calls = between(trace, before, f"commit {number}")
        assert [call.name for call in calls] == ["pwrite", "fdatasync"]
        assert {call.path for call in calls} == {"wal/000000010000000000000000"}
    assert [call.name for call in between(trace, "commit 3", "branch")] == ["pwrite", "fdatasync"]


def test_nothing_is_acknowledged_before_it_is_durable(trace):
    assert len([call for call in trace if call.name == "done"]) == 29
    assert Audit().play(trace) == []


def test_a_bulk_load_is_durable_before_the_record_that_names_it(trace):
    calls = between(trace, "branch", "bulk load")
    (made,) = [call for call in calls if call.makes and call.path.startswith("pages/")]
    steps = list(steps_of(calls, made.path, "pages", "wal/000000010000000000000000"))
    assert steps == ["made", "written", "synced", "directory synced", "log written", "log synced"]


def steps_of(calls: list[Call], path: str, directory: str, log: str) -> Iterator[str]:
    """What happened to a file, its directory and the log, repetitions left out."""
    words = {
        (path, "open"): "made",
        (path, "pwrite"): "written",
        (path, "fsync"): "synced",
        (directory, "fsync"): "directory synced",
        (log, "pwrite"): "log written",
        (log, "fdatasync"): "log synced",
    }
    last = ""
    for call in calls:
        word = words.get((call.path, call.name), "")
        if call.name == "open" and not call.makes:
            continue
        if word and word != last:
            yield word
            last = word


@pytest.mark.parametrize("which", [("bulk load", "checkpoint"), ("segments 19", "second checkpoint")])
def test_a_checkpoint_goes_pages_manifest_log_control_and_then_removes(trace, which):
    calls = between(trace, *which)
    kinds = [(call.name, call.target or call.path) for call in calls]

    def at(name: str, pattern: str) -> list[int]:
        found = [number for number, (verb, path) in enumerate(kinds) if verb == name]
        return [number for number in found if re.fullmatch(pattern, kinds[number][1])]

    (manifest,) = at("rename", r"manifests/.*\.manifest")
    (control,) = at("rename", "control")
    (logged,) = at("fdatasync", "wal/.*")
    pages = at("fsync", "pages/.*")
    removed = at("unlink", ".*")
    assert pages
    assert max(pages) < max(at("fsync", "pages")) < manifest
    assert at("fsync", r"manifests/.*\.tmp")[0] < manifest < at("fsync", "manifests")[0] < logged < control
    assert at("fsync", r"control\.tmp")[0] < control < at("fsync", "")[0]
    assert removed
    assert at("fsync", "")[0] < min(removed)


def test_a_segment_is_durable_by_name_and_size_before_a_record_goes_into_it(trace):
    calls = between(trace, "checkpoint", "segments 19")
    new = [call.target for call in calls if call.name == "rename"]
    assert len(new) > 2
    for path in new:
        story = [call.name for call in calls if call.path in (path, path + ".tmp")][:5]
        # Written whole and synced under another name, put in place, opened; then commits.
        assert story[:4] == ["open", "pwrite", "fsync", "rename"], story
        renamed = next(call for call in calls if call.target == path)
        records = [call for call in calls if call.path == path and call.name == "pwrite"]
        settled = [call for call in calls if (call.name, call.path) == ("fsync", "wal")]
        if records:
            assert any(renamed.ended < sync.begun and sync.ended < records[0].begun for sync in settled)


def test_the_older_segment_is_synced_first(trace):
    """A batch that crosses into the next segment is durable when both are, the older one first."""
    crossing = 0
    for number in range(1, 20):
        calls = between(trace, f"segments {number - 1}", f"segments {number}")
        written = [call.path for call in calls if call.name == "pwrite" and not call.path.endswith(".tmp")]
        synced = [call.path for call in calls if call.name == "fdatasync"]
        assert sorted(written) == written == synced
        crossing += len(written) > 1
    assert crossing > 2


def test_the_rules_notice_every_sync_that_is_left_out(trace):
    """Of syncs that put something in place not one may be missing; the audit sees each of them."""
    needed = [
        call
        for number, call in enumerate(trace)
        if call.name == "fdatasync"
        or (call.name == "fsync" and call.path.endswith((".tmp", ".arrow")))
        or (call.name == "fsync" and "log-" in call.path)
        or (call.name == "fsync" and trace[number - 1].name == "rename")
    ]
    assert len(needed) > 40
    blind = [
        left_out for left_out in needed if not Audit().play(call for call in trace if call is not left_out)
    ]
    # Two commits come before the first acknowledgement; the sync of the second serves for both.
    assert [call.name for call in blind] == ["fdatasync"]
    assert blind[0].ended < next(call for call in trace if call.name == "done").begun


# -- single calls that fail

FAULTS = [
    ("fdatasync", "error=EIO", 3),
    ("fdatasync", "error=EIO", 30),
    ("pwrite64", "error=EIO", 10),
    ("pwrite64", "error=ENOSPC", 25),
    ("fsync", "error=EIO", 5),
    ("rename", "error=EIO", 2),
    ("fdatasync", "signal=KILL", 17),
    ("pwrite64", "signal=KILL", 17),
    ("rename", "signal=KILL", 3),
]
DEEP_FAULTS = [
    (call, fault, number)
    for call, numbers in {
        "fdatasync": range(1, 100, 3),
        "pwrite64": range(1, 100, 3),
        "fsync": range(1, 40, 2),
        "rename": range(1, 16),
        "openat": range(600, 700, 4),
    }.items()
    for fault in ("error=EIO", "error=ENOSPC", "signal=KILL")
    for number in numbers
]


def inject(directory: Path, call: str, fault: str, number: int) -> None:
    """Let one call fail, and all that follow succeed: what was acknowledged is there when opened again."""
    directory.mkdir(exist_ok=True)
    with absdb.connect(directory / "shop", wal_segment_size=SEGMENT) as shop:
        shop["main"].create_table("t", {"id": "int64", "value": "string"}, key="id")
    faulty = ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}"]
    result = subprocess.run(
        [
            strace(),
            "-f",
            "-qq",
            "-o",
            os.devnull,
            *faulty,
            sys.executable,
            "-c",
            INJECTED,
            directory / "shop",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    told: dict[str, list[int]] = {"done": [], "failed": [], "refused": []}
    for line in result.stdout.splitlines():
        word, _, which = line.partition(" ")
        told[word].append(int(which))
    with absdb.connect(directory / "shop") as shop:
        present = shop["main"]["t"].to_arrow()["id"].to_pylist()
        assert (shop.check()["severity"] != "error").all()
    done = told["done"]
    begun = done[-1] + 1 if done else 0  # it may have been under way when the process was killed
    assert set(done) <= set(present) <= {*done, *told["failed"], begun}
    assert not set(present) & set(told["refused"])


@pytest.mark.parametrize(("call", "fault", "number"), FAULTS)
def test_a_call_that_fails_costs_nothing_acknowledged(tmp_path, call, fault, number):
    inject(tmp_path, call, fault, number)


@pytest.mark.deep
def test_any_call_that_fails_costs_nothing_acknowledged(tmp_path):
    for number, fault in enumerate(DEEP_FAULTS):
        print(fault)
        inject(tmp_path / str(number), *fault)
