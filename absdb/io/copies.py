"""Copies of directories, in which files that nobody ever changes may be the same files under a second name.

Nothing is synced: a copy made here is for one that can make it again. Called by pytest_plugin/.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection

from absdb.io.failure import from_os_error

_UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP)


def copy_directory(
    source: str, target: str, *, shared: Collection[str] = (), left_out: Collection[str] = ()
) -> None:
    """Make the directory `target` with what is in `source`; StorageError if that fails, or it is there already.

    Files in the directories named in `shared`, at the top, are hard links where the disk can: such a file must never
    be changed, only removed. What is named in `left_out`, at the top, is not copied. Links are followed.
    """
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.mkdir(target)
        for name in sorted(os.listdir(source)):
            if name not in left_out:
                _copy(os.path.join(source, name), os.path.join(target, name), shared=name in shared)
    except OSError as error:
        raise from_os_error("copy into", os.path.basename(target), os.path.dirname(target), error) from error


def _copy(source: str, target: str, *, shared: bool) -> None:
    if os.path.isdir(source):
        os.mkdir(target)
        for name in os.listdir(source):
            _copy(os.path.join(source, name), os.path.join(target, name), shared=shared)
    elif not (shared and _linked(source, target)):
        shutil.copyfile(source, target)


def _linked(source: str, target: str) -> bool:
    """Give a file a second name; False where that is not possible, as on another disk."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError as error:
        if error.errno not in _UNLINKABLE:
            raise
        return False
    return True
