"""What an entry of the commit log took over from elsewhere: the commit whose state a database merged, went back to, was
moved on to, or starts from. Called by log.py.

A merge does not say so itself. The newest commit that it added to the ancestry is the one that the merged state had
reached, for a state's own last commit is newer than all that was ever merged into it.
"""

from __future__ import annotations

from absdb.catalog.commit_entries import CommitEntry
from absdb.catalog.history import Era, History
from absdb.catalog.lineage import Lineage
from absdb.ids import DatabaseId, EraId, Lsn

NOWHERE = (None, None)


def origin_of(history: History, entry: CommitEntry) -> tuple[str | None, str | None]:
    """(the database that made that commit, its LSN), both as a log lists them.

    The database is None where it was dropped since, both are where nothing was taken over, or nobody knows any more.
    """
    if entry.era:
        return _named(history, _merged(history, entry)) if entry.kind == "merge" else NOWHERE
    era = _begun(history, entry)
    return NOWHERE if era is None else _named(history, _start(era))


def _merged(history: History, entry: CommitEntry) -> Lineage:
    era = history.eras.get(EraId(entry.era))
    if era is None:
        return ()
    before, now = (
        history.catalog_at((*era.base, (era.id, lsn))).ancestry_of() for lsn in (entry.lsn - 1, entry.lsn)
    )
    added = [(lsn, came) for came, lsn in now.items() if lsn > before.get(came, 0)]
    return tuple((came, lsn) for lsn, came in sorted(added)[-1:])


def _begun(history: History, entry: CommitEntry) -> Era | None:
    """The era of a database that began with what happened to it as a whole."""
    info = history.databases.get(DatabaseId(entry.database_id))
    for number in info.eras if info else ():
        era = history.eras.get(number)
        if era is not None and era.start_lsn == entry.lsn:
            return era
    return None


def _start(era: Era) -> Lineage:
    """The state an era began with; of a restore of some tables, the one that these went back to."""
    return next(iter(era.table_bases.values()), era.base)


def _named(history: History, lineage: Lineage) -> tuple[str | None, str | None]:
    if not lineage:
        return NOWHERE
    number, lsn = lineage[-1]
    era = history.eras.get(number)
    info = None if era is None else history.databases.get(era.database)
    return (None if info is None else info.name, str(Lsn(lsn)))
