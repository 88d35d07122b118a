"""A database of a backup as a branch of the running instance.

    the history here has the backup's lineage    a branch of that state. What of it has expired here is read from the
                                                 backup into images under that lineage, so that it is that state: diffs
                                                 and merges with its relatives have their true bases
    else, or another instance                    a new database with the same definitions and rows (adopt.py)

Images are durable in a checkpoint before the record of the branch that needs them is written; until then the state is
held against expiry. Called by the facade.
"""

from __future__ import annotations

from absdb.backup.adopt import adopt
from absdb.backup.fold import without_ancestry, write_image
from absdb.catalog.database import changes_to_json
from absdb.catalog.history import DatabaseInfo
from absdb.catalog.lineage import Lineage, common_prefix, position
from absdb.catalog.schema import TableSchema
from absdb.engine.checkpoint import checkpoint
from absdb.engine.covers import Image
from absdb.engine.engine import Engine
from absdb.engine.reader import TableReader
from absdb.errors import AlreadyExistsError, HistoryExpiredError
from absdb.ids import EraId, Lsn
from absdb.pages.section import Section
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
    source = Point(info, Lsn(position(lineage)), lineage)
    if not is_known(engine, backup, lineage):
        return adopt(engine, backup, source, name, progress=progress)
    state = Point(_relative(engine, info, lineage), source.lsn, lineage)
    with engine.maintenance:  # an expiry that has not seen it has ended
        engine.pins.enter(state, "reader")
    try:
        if bring_back(engine, backup, lineage, progress=progress):
            checkpoint(engine)
        return create_branch(engine, name, state)
    finally:
        engine.pins.leave(state)


def is_known(engine: Engine, backup: Engine, lineage: Lineage) -> bool:
    """Whether a lineage of a backup names the same state in this instance.

    It does if this is the instance, the eras are those that go by these ids here, the commits that it names were made
    then, and the definitions are the same.
    """
    if not lineage or backup.control.instance_id != engine.control.instance_id:
        return False
    ours, theirs = engine.history, backup.history
    for era, lsn in lineage:
        if era not in ours.eras or ours.eras[era] != theirs.eras[era] or not _is_commit(engine, era, lsn):
            return False
        made = backup.log.time_of(lsn)
        if made is not None and made != engine.log.time_of(lsn):
            return False
    here, there = (changes_to_json(without_ancestry(h.catalog_at(lineage)).entities) for h in (ours, theirs))
    return here == there


def _is_commit(engine: Engine, era: EraId, lsn: int) -> bool:
    """Whether a state of the era is named by this LSN here."""
    return engine.history.reached(engine.history.eras[era], lsn, engine.log.last_at_or_below)[-1:] == (
        (era, lsn),
    )


def _relative(engine: Engine, info: DatabaseInfo, lineage: Lineage) -> DatabaseInfo:
    """The database that a branch is listed as made from: the one of the backup, or the nearest if that was dropped."""
    living = engine.history.databases.get(info.id)
    if living is not None:
        return living
    heads = engine.heads()
    return max(heads, key=lambda head: position(common_prefix(head[1], lineage)))[0]


def bring_back(
    engine: Engine, backup: Engine, lineage: Lineage, *, progress: Report | None = None
) -> list[TableSchema]:
    """Read from a backup what of a state has expired here; returns the tables that this was done for.

    Their images are in memory and page files; the next checkpoint makes them part of the instance.
    """
    made: list[tuple[TableSchema, Section]] = []
    done = 0
    for schema in engine.history.catalog_at(lineage).tables.values():
        if _is_readable(engine, schema, lineage):
            continue
        rows = TableReader(schema, backup.covers.resolve(backup.history, schema, lineage))
        token = engine.bulk.begin_file()
        try:
            made.append((schema, write_image(engine.pages, rows, page_rows=engine.settings.page_rows)))
        finally:
            engine.bulk.end_file(token)
        done += made[-1][1].rows
        if progress is not None:
            progress(done)
    with engine.maintenance:
        for schema, section in made:
            own = engine.history.table_lineage(lineage, schema.id)
            engine.covers.add_image(Image(schema.id, own, section), None)
    return [schema for schema, _ in made]


def _is_readable(engine: Engine, schema: TableSchema, lineage: Lineage) -> bool:
    try:
        engine.covers.resolve(engine.history, schema, lineage)
    except HistoryExpiredError:
        return False
    return True
