"""SQLAlchemy 2 for absdb: `create_engine("absdb:///shop?database=staging")`.

    absdb:///shop                       the directory shop, from where the program runs
    absdb:////srv/shop                  an absolute path
    absdb://                            an instance in memory, which lasts as long as the engine has connections
    …?database=staging&schema=sales     database and schema that names mean; `main` and `main` if not given
    …?at_snapshot=before                a state of the past, to be read; also at_lsn, at_time
    …?read_only=true&author=ann         the other arguments of absdb.dbapi.connect

An Instance that is open already is used with `creator=lambda: absdb.dbapi.connect(instance)`. ON CONFLICT comes with
`insert` of this module, which is PostgreSQL's. Needs the extra `absdb[sqlalchemy]`.
"""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert

from absdb.sqlalchemy.dialect import AbsdbDialect
from absdb.sqlalchemy.types import OtherInteger, OtherType

dialect = AbsdbDialect

__all__ = ["AbsdbDialect", "OtherInteger", "OtherType", "dialect", "insert"]
