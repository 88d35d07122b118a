"""SQLAlchemy's tests of dialects. What of them runs is said by requirements.py."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.testing import suite
from sqlalchemy.testing.suite import *  # noqa: F403


class IdentityReflectionTest(suite.IdentityReflectionTest):
    """The same, without an identity that begins again: one is refused."""

    @classmethod
    def define_tables(cls, metadata: sa.MetaData) -> None:
        super().define_tables(metadata)
        identity = metadata.tables["t2"].c.id2.identity
        assert identity is not None
        identity.cycle = None


class QuotedNameArgumentTest(suite.QuotedNameArgumentTest):
    """The same, without a name that ends with a blank: one is refused."""

    @classmethod
    def define_tables(cls, metadata: sa.MetaData) -> None:
        super().define_tables(metadata)
        for table in metadata.tables.values():
            for constraint in table.constraints:
                if isinstance(constraint.name, str):
                    constraint.name = constraint.name.strip()
