"""Files that appear whole and once: names, races between processes, links that lead elsewhere, what a crash leaves."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from absdb.errors import InvalidInputError, StorageError
from absdb.io.object_files import UPLOADS, ObjectFiles

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def files(tmp_path):
    """A root that does not exist yet."""
    return ObjectFiles(str(tmp_path / "deep" / "root"))


def put(files: ObjectFiles, path: str, data: bytes = b"1", tag: str = "t", **conditions):
    file = files.begin(tag)
    file.pwrite(0, [data])
    facts = files.seal(tag, file)
    file.close()
    return files.publish(tag, path, **conditions), facts


def read(files: ObjectFiles, path: str) -> bytes:
    file, facts = files.open(path)
    try:
        return file.pread(0, facts.size)
    finally:
        file.close()


class TestPublishing:
    def test_file_has_its_name_only_when_it_is_published(self, files):
        file = files.begin("t")
        file.pwrite(0, [b"hello"])
        assert list(files.walk()) == []
        facts = files.seal("t", file)
        file.close()
        assert [tag for tag, _ in files.uploads()] == ["t"]
        assert files.publish("t", "a/b")
        assert files.uploads() == []
        assert list(files.walk()) == [("a/b", facts)]
        assert files.facts("a/b") == facts
        assert read(files, "a/b") == b"hello"

    def test_facts_tell_files_of_one_name_apart(self, files):
        seen = {put(files, "a", b"same")[1] for _ in range(50)}
        assert len(seen) == 50

    def test_second_is_refused_and_the_first_stays(self, files):
        assert put(files, "a", b"1", if_absent=True)[0]
        assert not put(files, "a", b"2", if_absent=True)[0]
        assert read(files, "a") == b"1"
        assert [tag for tag, _ in files.uploads()] == ["t"]
        files.discard("t")
        files.discard("t")
        assert files.uploads() == []

    def test_replacing_only_what_was_seen(self, files):
        _, first = put(files, "a", b"1")
        assert put(files, "a", b"2", if_is=first)[0]
        assert not put(files, "a", b"3", if_is=first)[0]
        assert read(files, "a") == b"2"

    def test_removing(self, files):
        put(files, "a/b")
        files.remove("a/b")
        files.remove("a/b")
        files.remove("a/b/c")
        assert files.facts("a/b") is None
        assert list(files.walk()) == []
        assert files.directories("") == []

    def test_directories_that_somebody_removes_are_made_again(self, files):
        put(files, "a/b/c")
        files.remove("a/b/c")
        os.rmdir(f"{files.root}/a/b")
        os.rmdir(f"{files.root}/a")
        assert put(files, "a/b/c")[0]
        assert read(files, "a/b/c") == b"1"
        shutil.rmtree(files.root)
        assert put(files, "a/b/c")[0]
        assert read(files, "a/b/c") == b"1"

    def test_file_and_directory_of_one_name_cannot_both_be(self, files):
        put(files, "a")
        with pytest.raises(StorageError) as caught:
            put(files, "a/b")
        assert caught.value.errno == errno.ENOTDIR
        files.discard("t")
        put(files, "c/d")
        with pytest.raises(StorageError):
            put(files, "c")

    def test_file_system_without_hard_links_says_so(self, files, monkeypatch):
        def link(*_, **__):
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        monkeypatch.setattr(os, "link", link)
        with pytest.raises(StorageError, match="publish a") as caught:
            put(files, "a", if_absent=True)
        assert caught.value.errno == errno.EOPNOTSUPP
        assert files.facts("a") is None

    def test_upload_that_was_discarded_cannot_be_published(self, files):
        file = files.begin("t")
        files.seal("t", file)
        file.close()
        files.discard("t")
        with pytest.raises(StorageError) as caught:
            files.publish("t", "a")
        assert caught.value.errno == errno.ENOENT
        assert files.facts("a") is None


RACING = """
import sys
from absdb.io.object_files import ObjectFiles
files, me = ObjectFiles(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
won = []
for number in range(60):
    tag = f"{me}-{number}"
    file = files.begin(tag)
    file.pwrite(0, [me.encode()])
    files.seal(tag, file)
    file.close()
    if files.publish(tag, f"race/{number}", if_absent=True):
        won.append(number)
    else:
        files.discard(tag)
print(*won)
"""


def test_race_between_processes_has_one_winner_for_each_name(files):
    def start(me):
        return subprocess.Popen(
            [sys.executable, "-c", RACING, files.root, me],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    racers = {me: start(me) for me in ("one", "two", "three")}
    for racer in racers.values():
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = {}
    for me, racer in racers.items():
        output, _ = racer.communicate()
        assert racer.returncode == 0
        won |= {f"race/{number}": me for number in output.split()}
        assert len(output.split()) == sum(who == me for who in won.values())
    assert len(won) == 60
    assert {path: read(files, path).decode() for path, _ in files.walk()} == won
    assert files.uploads() == []


def test_replacements_of_many_threads_lose_nothing(files):
    put(files, "n", b"0", tag="first")

    def add(number):
        for attempt in range(10_000):
            file, facts = files.open("n")
            value = int(file.pread(0, facts.size))
            file.close()
            tag = f"{number}-{attempt}"
            if put(files, "n", str(value + 1).encode(), tag=tag, if_is=facts)[0]:
                return
            files.discard(tag)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(add, range(20)))
    assert read(files, "n") == b"20"


class TestLinks:
    @pytest.fixture
    def outside(self, tmp_path):
        """A directory with a file, which nobody here may reach."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        return outside

    def test_links_are_not_followed(self, files, outside):
        put(files, "a")
        os.symlink(outside, f"{files.root}/link")
        os.symlink(outside / "secret", f"{files.root}/file")
        assert [path for path, _ in files.walk()] == ["a"]
        assert files.directories("") == []
        assert files.facts("file") is None
        assert files.facts("link/secret") is None
        for path in ("link/secret", "file"):
            with pytest.raises(StorageError):
                files.open(path)
        files.remove("link/secret")
        with pytest.raises(StorageError):
            put(files, "link/new")
        assert sorted(os.listdir(outside)) == ["secret"]

    def test_link_that_is_replaced_leaves_what_it_led_to(self, files, outside):
        put(files, "a")
        files.discard("t")
        os.symlink(outside / "secret", f"{files.root}/file")
        assert put(files, "file", b"new")[0]
        assert read(files, "file") == b"new"
        assert (outside / "secret").read_bytes() == b"secret"

    def test_root_may_be_a_link(self, outside, tmp_path):
        os.symlink(outside, tmp_path / "root")
        files = ObjectFiles(str(tmp_path / "root"))
        put(files, "a")
        assert [path for path, _ in files.walk()] == ["a", "secret"]

    @pytest.mark.parametrize(
        "path", ["../outside/secret", "a/../../outside/secret", "/etc/passwd", "", "a//b"]
    )
    def test_paths_cannot_climb(self, files, outside, path):
        put(files, "a/b")
        for refused in (
            lambda: files.open(path),
            lambda: files.facts(path),
            lambda: files.remove(path),
            lambda: put(files, path, tag="other"),
            lambda: files.discard(path),
        ):
            with pytest.raises(InvalidInputError):
                refused()
            files.discard("other")

    def test_fifo_is_no_file(self, files):
        put(files, "a")
        os.mkfifo(f"{files.root}/fifo")
        assert [path for path, _ in files.walk()] == ["a"]
        assert files.facts("fifo") is None


class TestWalking:
    def test_names_that_are_no_text_are_passed_over(self, files):
        put(files, "a")
        Path(os.fsdecode(os.fsencode(files.root) + b"/\xff")).touch()
        assert [path for path, _ in files.walk()] == ["a"]

    def test_what_vanishes_meanwhile_is_passed_over(self, files):
        for path in ("a", "b", "c/d"):
            put(files, path)
        walking = files.walk()
        assert next(walking)[0] == "a"
        files.remove("b")
        files.remove("c/d")
        os.rmdir(f"{files.root}/c")
        assert list(walking) == []

    def test_root_that_is_not_there_is_empty(self, files):
        assert list(files.walk()) == []
        assert files.directories("") == []
        assert files.directories("a/b") == []
        assert files.uploads() == []
        files.discard("t")
        assert files.facts("a") is None

    def test_uploads_are_not_walked(self, files):
        put(files, f"a/{UPLOADS}/b")
        assert list(files.walk()) == []

    def test_root_that_is_a_file_is_an_error(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StorageError):
            list(ObjectFiles(str(tmp_path / "file")).walk())
        with pytest.raises(StorageError):
            ObjectFiles(str(tmp_path / "file")).begin("t")
