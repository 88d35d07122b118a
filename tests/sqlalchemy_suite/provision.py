"""What SQLAlchemy's suite must be told to set up a database of absdb. Called by its plugin."""

from __future__ import annotations

from typing import Any

from sqlalchemy import URL, Engine
from sqlalchemy.schema import CreateSchema
from sqlalchemy.testing import provision

from absdb.sql.text.tokens import quoted


@provision.generate_driver_url.for_db("absdb")
def _generate_driver_url(url: URL, driver: str, query: str) -> URL:
    """As it was given: there is one driver."""
    return url


@provision.post_configure_engine.for_db("absdb")
def _post_configure_engine(url: URL, engine: Engine, follower: str | None) -> None:
    """With the schemas that the tests write to."""
    with engine.begin() as connection:
        for name in ("test_schema", "test_schema_2"):
            connection.execute(CreateSchema(name, if_not_exists=True))


@provision.set_default_schema_on_connection.for_db("absdb")
def _set_default_schema(config: Any, connection: Any, schema: str) -> None:
    connection.cursor().execute(f"USE {quoted(schema)}")
