"""How far a branch has gone its own way: the pages it does not share with what it was branched from."""

from __future__ import annotations

from math import ceil

from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import common_prefix, remainder
from absdb.engine.engine import Engine
from absdb.pages.section import Page, Section


def diverged_pages(engine: Engine, info: DatabaseInfo) -> int:
    """Pages in runs, tail (as pages it would fill) and image that the database does not share with its source.

    0 for a database that was not branched. Costs a walk over page descriptors, not over pages.
    """
    lineage = engine.history.lineage_of(info, engine.published, engine.log.last_at_or_below)
    base = engine.history.eras[info.eras[0]].base
    if not base:
        return 0
    page_rows = engine.settings.page_rows
    total = 0
    for schema in engine.history.catalog_at(lineage).tables.values():
        own = engine.history.table_lineage(lineage, schema.id)
        shared = common_prefix(own, engine.history.table_lineage(base, schema.id))
        for era, after, upto in remainder(own, shared):
            cover = engine.covers.eras.get((era, schema.id))
            if cover is None:
                continue
            for run in cover.runs(after, upto):
                stored = [page for page in run.newest.pages if page.origin is not None]
                memory = run.newest.rows - sum(page.rows for page in stored)
                total += len(stored) + ceil(memory / page_rows)
        theirs = _origins(engine.covers.start(engine.history, schema, base)[1])
        ours = _origins(engine.covers.start(engine.history, schema, lineage)[1])
        total += len(ours - theirs)
    return total


def _origins(sections: list[Section]) -> set[tuple[str, int]]:
    found = set()
    for section in sections:
        for page in section.pages:
            found.add(_origin(page))
    return found


def _origin(page: Page) -> tuple[str, int]:
    return (page.origin[0].name, page.origin[1]) if page.origin is not None else ("", id(page))
