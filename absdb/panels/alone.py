"""Each page of the workbench by itself, for a notebook that needs just one."""

from __future__ import annotations

import os

from absdb.instance import Instance
from absdb.panels.backups_page import BackupsPage
from absdb.panels.branches_page import BranchesPage
from absdb.panels.diff_page import DiffPage
from absdb.panels.hub import Hub
from absdb.panels.instance_page import InstancePage
from absdb.panels.merge_page import MergePage
from absdb.panels.query_page import QueryPage
from absdb.panels.time_travel_page import TimeTravelPage

Source = Instance | str | os.PathLike[str]


def backups(instance_or_path: Source) -> BackupsPage:
    """What is in the repository, backing up, and recovering to a point picked on a timeline."""
    return BackupsPage(Hub(instance_or_path))


def branches(instance_or_path: Source) -> BranchesPage:
    """The drawn history, the list of branches, and what is done to them."""
    return BranchesPage(Hub(instance_or_path))


def instance(instance_or_path: Source) -> InstancePage:
    """WAL, commits, checkpoints, sizes, pins and settings."""
    return InstancePage(Hub(instance_or_path))


def query(instance_or_path: Source) -> QueryPage:
    """SQL on any database or point in time, with a grid and a quick chart."""
    return QueryPage(Hub(instance_or_path))


def time_travel(instance_or_path: Source) -> TimeTravelPage:
    """A slider over the commits of a database: what it was, what changed since, and the way back."""
    return TimeTravelPage(Hub(instance_or_path))


def diff(instance_or_path: Source) -> DiffPage:
    """Two states compared: summary, rows with changed cells marked, profiles, exports."""
    return DiffPage(Hub(instance_or_path))


def merge(instance_or_path: Source) -> MergePage:
    """A merge tried, its conflicts decided, done, and taken back."""
    return MergePage(Hub(instance_or_path))
