"""Whether a path leads into a directory, whatever it looks like: relative, through links, in another case.

Called by sql/, which keeps SQL away from an instance's own files.
"""

from __future__ import annotations

import os


def is_inside(path: str, directory: str) -> bool:
    """Whether `path`, which need not exist, is the directory or lies in it once all links are followed."""
    try:
        wanted = os.stat(directory)
    except OSError:
        return False  # nothing can lie in what is not there
    at = os.path.realpath(os.path.expanduser(path))
    while True:
        # By identity: names of one directory can differ in case, or in where it is mounted.
        try:
            found = os.stat(at)
        except (OSError, ValueError):
            found = None
        if found is not None and (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            return True
        above = os.path.dirname(at)
        if above == at:
            return False
        at = above
