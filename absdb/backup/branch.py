"""A database of a backup as a branch of the running instance.

    the history here has the backup's lineage    a branch of that state. What of it has expired here is read from the
    (known.py)                                   backup into images under that lineage, so that it is that state, and so
                                                 are its merge bases with databases here, as far as the backup has them
    else, or another instance                    a new database with the same definitions and rows (adopt.py)

Images are durable in a checkpoint before the record of the branch that needs them is written; until then the state is
held against expiry. Called by the facade.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack

from absdb.backup.adopt import adopt
from absdb.backup.fold import write_image
from absdb.backup.known import remember
from absdb.catalog.ancestry import merge_bases
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage, common_prefix, position
from absdb.catalog.schema import TableSchema
from absdb.engine.checkpoint import checkpoint
from absdb.engine.covers import Image
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import AlreadyExistsError, HistoryExpiredError
from absdb.ids import Lsn
from absdb.paths import check_name
from absdb.progress import Report
from absdb.versioning.as_of import Point
from absdb.versioning.branch import create_branch


def attach_branch(
    engine: Engine, backup: Engine, database: str, name: str, *, progress: Report | None = None
) -> DatabaseInfo:
    """Make the newest state of a backup's database a database `name` of this instance.

    `backup` is open on a restored copy and may be closed and removed afterwards. Costs one sync if the state can be
    read here, else reading and writing the rows of tables that cannot; `progress` is told rows so far.
    AlreadyExistsError if the name is taken, NotFoundError if the backup has no such database.
    """
    engine.check_writable()
    name = check_name("database", name)
    if any(info.name == name for info in engine.history.databases.values()):
        raise AlreadyExistsError(
            f"there is a database {name!r} already", hint="drop it, or take another name"
        )
    info = backup.history.database(database)
    lineage = backup.head(info.id)[1]
    state = Point(info, Lsn(position(lineage)), lineage)
    with ExitStack() as held:
        states = _held(engine, backup, state, held)
        if not states:
            return adopt(engine, backup, state, name, progress=progress)
        if bring_back(engine, backup, states, progress=progress):
            checkpoint(engine)
        return create_branch(
            engine, name, dataclasses.replace(state, database=_relative(engine, info, lineage))
        )


def _held(engine: Engine, backup: Engine, state: Point, held: ExitStack) -> list[Lineage]:
    """The state of a backup and its merge bases, held against expiry; none if it is no state of this history."""
    with engine.maintenance:  # no expiry forgets it in between
        if not remember(engine, backup, state.lineage):
            return []
        states = [state.lineage, *_bases(engine, state.lineage)]
        for lineage in states:
            holder = dataclasses.replace(state, lineage=lineage)
            engine.pins.enter(holder, "reader")
            held.callback(engine.pins.leave, holder)
        return states


def _relative(engine: Engine, info: DatabaseInfo, lineage: Lineage) -> DatabaseInfo:
    """The database that a branch is listed as made from: the one of the backup, or the nearest if that was dropped."""
    living = engine.history.databases.get(info.id)
    if living is not None:
        return living
    heads = engine.heads()
    return max(heads, key=lambda head: position(common_prefix(head[1], lineage)))[0]


def bring_back(
    engine: Engine, backup: Engine, states: Sequence[Lineage], *, progress: Report | None = None
) -> list[Image]:
    """Read from a backup what of some states has expired here; of all but the first, as far as it is there.

    The images are in memory and page files; the next checkpoint makes them part of the instance. Whoever calls holds
    the states against expiry.
    """
    made: list[Image] = []
    for state in states:
        for schema in engine.history.catalog_at(state).tables.values():
            if _reader(engine, schema, state) is not None:
                continue
            rows = _reader(backup, schema, state)
            if rows is not None:
                made.append(_image(engine, rows, engine.history.table_lineage(state, schema.id)))
            elif state == states[0]:
                backup.covers.resolve(backup.history, schema, state)  # says why it cannot be read
            if progress is not None:
                progress(sum(image.section.rows for image in made))
    with engine.maintenance:
        for image in made:
            engine.covers.add_image(image, None)
    return made


def _bases(engine: Engine, lineage: Lineage) -> list[Lineage]:
    """The states that merges with databases that are here start from."""
    last, found = engine.log.last_at_or_below, list[Lineage]()
    for _, head in engine.heads():
        if head[:1] and head[0][0] == lineage[0][0]:
            found += [base for base in merge_bases(engine.history, last, head, lineage) if base]
    return [base for base in dict.fromkeys(found) if base != lineage]


def _reader(engine: Engine, schema: TableSchema, lineage: Lineage) -> TableReader | None:
    """A table at a state, None if that has expired or is not known."""
    if any(era not in engine.history.eras for era, _ in lineage):
        return None
    try:
        return TableReader(schema, engine.covers.resolve(engine.history, schema, lineage))
    except HistoryExpiredError:
        return None


def _image(engine: Engine, rows: TableReader, lineage: Lineage) -> Image:
    """The rows in a page file of the instance."""
    token = engine.bulk.begin_file()
    try:
        section = write_image(engine.pages, rows, page_rows=engine.settings.page_rows)
    finally:
        engine.bulk.end_file(token)
    with engine.exclusive():
        cover = engine.covers.era(lineage[-1][0], rows.schema)
        cover.schema = cover.schema or rows.schema  # by which the next opening reads the image
    return Image(rows.schema.id, lineage, section)
