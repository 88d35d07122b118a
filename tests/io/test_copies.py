"""Copies of directories: what is shared, what is not, and what is said where it cannot be done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from absdb.errors import StorageError
from absdb.io import copies
from absdb.io.copies import copy_directory


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two directories with a file each, a file beside them, and one that is not wanted."""
    root = tmp_path / "source"
    for name in ("pages/deep/one", "wal/one", "control", "lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_shared_files_are_the_same_and_others_are_not(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    copy_directory(str(source), str(target), shared=["pages"], left_out=["lock"])
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert files == ["control", "pages/deep/one", "wal/one"]
    assert [(target / name).read_text() for name in files] == files
    same = [name for name in files if os.path.samefile(source / name, target / name)]
    assert same == ["pages/deep/one"]


def test_files_are_copied_where_the_disk_cannot_link_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: str, target: str) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(copies.os, "link", link)
    copy_directory(str(source), str(tmp_path / "target"), shared=["pages"])
    assert (tmp_path / "target/pages/deep/one").read_text() == "pages/deep/one"
    assert not os.path.samefile(source / "pages/deep/one", tmp_path / "target/pages/deep/one")


def test_links_to_directories_and_files_are_followed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (source / "wal").rename(tmp_path / "elsewhere/wal")
    (source / "wal").symlink_to(tmp_path / "elsewhere/wal")
    (source / "pages/link").symlink_to("deep/one")
    copy_directory(str(source), str(tmp_path / "target"), shared=["pages"])
    assert not (tmp_path / "target/wal").is_symlink()
    assert (tmp_path / "target/wal/one").read_text() == "wal/one"
    assert not (tmp_path / "target/pages/link").is_symlink()


def test_a_target_that_is_there_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(StorageError, match=r"cannot copy into target in .*: File exists"):
        copy_directory(str(source), str(tmp_path / "target"))
    assert not list((tmp_path / "target").iterdir())
