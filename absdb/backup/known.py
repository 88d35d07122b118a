"""Whether a state of a backup is one of an instance's own history, and how it becomes so again if it was forgotten.

A lineage names a state only among the eras of one history. The ids of eras are handed out once for each timeline, but
two copies of an instance go on with the same ones; so the commits that a lineage names must also have been made at the
same time, and the definitions must be the same. What a dropped branch alone ran through is forgotten after a while: its
eras are told by the backup, the commits are in the log of commits still. Called by branch.py and drill.py.
"""

from __future__ import annotations

from absdb.backup.fold import eras_under
from absdb.catalog.database import DatabaseCatalog, changes_to_json
from absdb.catalog.history import Era
from absdb.catalog.lineage import Lineage
from absdb.engine.apply import REMEMBERED, apply_database
from absdb.engine.engine import Engine
from absdb.ids import DatabaseId, EraId
from absdb.wal.format import RecordKind

NO_DATABASE = DatabaseId(0)


def is_known(engine: Engine, backup: Engine, lineage: Lineage) -> bool:
    """Whether a lineage of a backup names the same state in this instance."""
    ours, theirs = engine.history, backup.history
    if not _is_own(engine, backup, lineage) or any(ours.eras.get(era) is None for era, _ in lineage):
        return False
    return _definitions(ours.catalog_at(lineage)) == _definitions(theirs.catalog_at(lineage))


def remember(engine: Engine, backup: Engine, lineage: Lineage) -> bool:
    """Make a lineage known again that this instance has forgotten the end of; whether it is known now.

    One record of the log. Its rows cannot be read, and who wants them holds the lineage before the next expiry.
    """
    history = engine.history
    if not lineage or lineage[-1][0] in history.eras or not _is_own(engine, backup, lineage):
        return is_known(engine, backup, lineage)
    forgotten = [era for era in eras_under(backup.history, lineage) if era.id not in history.eras]
    body = {
        "op": REMEMBERED,
        "eras": [era.to_json() for era in forgotten],
        "catalog": changes_to_json(backup.history.catalog_at(lineage).entities),
        "expired": _written(engine, forgotten, lineage),
    }
    with engine.exclusive():
        engine.check_writable()
        engine.write(RecordKind.DATABASE, NO_DATABASE, body, apply_database)
    return is_known(engine, backup, lineage)


def _is_own(engine: Engine, backup: Engine, lineage: Lineage) -> bool:
    """Whether the commits that a lineage names were made here, in eras that are not others here."""
    if not lineage or backup.control.instance_id != engine.control.instance_id:
        return False
    for era, lsn in lineage:
        ours, theirs = engine.history.eras.get(era), backup.history.eras[era]
        made = backup.log.time_of(lsn)
        if ours not in (None, theirs) or (made is not None and made != engine.log.time_of(lsn)):
            return False
        if engine.log.last_at_or_below(era, lsn) != lsn and not _put_back_alone(theirs, lsn):
            return False
    return True


def _put_back_alone(era: Era, lsn: int) -> bool:
    """Whether an era stands, without a commit of its own, where tables were put back to what they were."""
    return bool(era.table_bases) and era.start_lsn == lsn


def _definitions(catalog: DatabaseCatalog) -> dict[str, object]:
    """All but what was merged in, which names eras that one side may not know."""
    return changes_to_json({key: value for key, value in catalog.entities.items() if key[0] != "ancestry"})


def _written(engine: Engine, forgotten: list[Era], lineage: Lineage) -> list[tuple[EraId, int, int]]:
    """(era, table, LSN reached) of the tables that forgotten eras of a lineage changed; the log of commits knows."""
    numbers = {era.id for era in forgotten}
    spans = [(era, -1, lsn) for era, lsn in lineage if era in numbers]
    reached = {EraId(era): lsn for era, _, lsn in spans}
    tables = {(EraId(entry.era), each[0]) for entry in engine.log.entries(spans) for each in entry.tables}
    return [(era, table, reached[era]) for era, table in sorted(tables)]
