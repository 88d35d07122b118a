"""Panels for Jupyter: one workbench of pages, and each page by itself.

    absdb.workbench("shop")                 all pages, in tabs
    absdb.panels.branches(shop)             one of them

They need the packages of the extra `notebook`. What a page knows and does is in `model/`, which has no widgets.
"""

from __future__ import annotations

from absdb.panels.alone import backups, branches, diff, instance, merge, query, time_travel
from absdb.panels.workbench import Workbench, workbench

__all__ = [
    "Workbench",
    "backups",
    "branches",
    "diff",
    "instance",
    "merge",
    "query",
    "time_travel",
    "workbench",
]
