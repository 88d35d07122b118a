"""The SQLAlchemy dialect: definitions, reflection, the ORM, transactions, pandas."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import registry

import absdb
from absdb import dbapi
from absdb.sqlalchemy import OtherInteger, OtherType, insert

ENTRY_POINT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
    "entry-points"
]["sqlalchemy.dialects"]["absdb"]
registry.register("absdb", *ENTRY_POINT.split(":"))


class Base(orm.DeclarativeBase):
    pass


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Author(Base):
    __tablename__ = "author"
    __table_args__ = (sa.CheckConstraint("money >= 0", name="solvent"), {"comment": "who writes"})

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(30), comment="full name", unique=True)
    born: orm.Mapped[dt.date | None]
    seen: orm.Mapped[dt.datetime] = orm.mapped_column(
        sa.DateTime(timezone=True), server_default=sa.func.now()
    )
    money: orm.Mapped[Decimal] = orm.mapped_column(sa.Numeric(12, 2), default=Decimal("1.5"))
    ratio: orm.Mapped[float | None]
    twice: orm.Mapped[float | None] = orm.mapped_column(sa.Computed("ratio * 2"))
    color: orm.Mapped[Color | None]
    uid: orm.Mapped[uuid.UUID] = orm.mapped_column(default=uuid.uuid4)
    data: orm.Mapped[dict[str, Any] | None] = orm.mapped_column(sa.JSON)
    raw: orm.Mapped[bytes | None]
    tags: orm.Mapped[list[str] | None] = orm.mapped_column(sa.ARRAY(sa.String))
    span: orm.Mapped[dt.timedelta | None]
    active: orm.Mapped[bool] = orm.mapped_column(server_default=sa.true())
    books: orm.Mapped[list[Book]] = orm.relationship(back_populates="author", order_by="Book.id")


class Book(Base):
    __tablename__ = "book"

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("author.id"))
    title: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default="untitled")
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    made = sa.create_engine("absdb://")
    yield made
    made.dispose()


@pytest.fixture
def library(engine: sa.Engine) -> sa.Engine:
    Base.metadata.create_all(engine)
    return engine


# --- connecting -----------------------------------------------------------------------------------


def test_url_names_directory_database_and_settings(tmp_path):
    with absdb.connect(tmp_path / "shop") as instance:
        instance["main"].create_table("t", {"id": [1]}, key="id")
        instance["main"].snapshot("before")
        instance["main"].branch("staging")["t"].insert({"id": 2})
        instance["main"]["t"].insert({"id": 3})
    seen = []
    for query in ("", "?database=staging", "?at_snapshot=before", "?read_only=true&author=ann&create=false"):
        engine = sa.create_engine(f"absdb:///{tmp_path}/shop{query}")
        with engine.connect() as connection:
            seen.append(connection.scalars(sa.text("SELECT id FROM t ORDER BY id")).all())
        engine.dispose()
    assert seen == [[1, 3], [1, 2], [1], [1, 3]]
    absdb.connect(tmp_path / "shop").close()


def test_wrong_urls_are_refused(tmp_path):
    with pytest.raises(sa.exc.ArgumentError, match="four slashes"):
        sa.create_engine("absdb://shop/x").connect()
    engine = sa.create_engine(f"absdb:///{tmp_path}/none?create=false")
    with pytest.raises(sa.exc.ProgrammingError) as caught:
        engine.connect()
    assert isinstance(caught.value.orig, absdb.NotFoundError)


def test_a_program_may_end_without_letting_go_of_its_engine(tmp_path):
    program = (
        "import sqlalchemy as sa; from sqlalchemy.dialects import registry;"
        " registry.register('absdb', 'absdb.sqlalchemy', 'AbsdbDialect');"
        f" engine = sa.create_engine('absdb:///{tmp_path}/shop'); connection = engine.connect();"
        " connection.execute(sa.text('CREATE TABLE t (a INTEGER)')); connection.commit()"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stderr) == (0, "")
    with absdb.connect(tmp_path / "shop") as instance:
        assert instance["main"]["t"].count() == 0


def test_an_open_instance_is_used_as_it_is():
    with absdb.connect(":memory:") as instance:
        engine = sa.create_engine("absdb://", creator=lambda: dbapi.connect(instance))
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE t (a INTEGER)"))
        assert instance["main"]["t"].count() == 0
        engine.dispose()


def test_engines_in_memory_are_apart_and_connections_of_one_are_not(library):
    other = sa.create_engine("absdb:///:memory:")
    assert sa.inspect(other).get_table_names() == []
    other.dispose()
    with library.connect() as one, library.connect() as two:
        one.execute(sa.insert(Author), {"name": "ann"})
        one.commit()
        assert two.scalar(sa.select(Author.name)) == "ann"


# --- the ORM --------------------------------------------------------------------------------------


def test_orm_round_trip_of_every_type(library):
    uid, span = uuid.uuid4(), dt.timedelta(hours=1, microseconds=5)
    given = {
        "name": "ann",
        "born": dt.date(2000, 1, 2),
        "ratio": 0.5,
        "color": Color.RED,
        "uid": uid,
        "data": {"a": [1, {"b": None}]},
        "raw": b"\0x",
        "tags": ["x", "y"],
        "span": span,
    }
    with orm.Session(library) as session:
        session.add(Author(**given, books=[Book(title="one"), Book()]))
        session.commit()
    with orm.Session(library) as session:
        found = session.scalars(sa.select(Author)).one()
        assert {name: getattr(found, name) for name in given} == given
        assert (found.id, found.twice, found.money, found.active) == (1, 1.0, Decimal("1.50"), True)
        assert found.seen.utcoffset() == dt.timedelta(0)
        assert [book.title for book in found.books] == ["one", "untitled"]
        found.name = "bob"
        session.delete(found.books[0])
        session.commit()
    with orm.Session(library) as session:
        assert session.scalars(sa.select(Author.name)).all() == ["bob"]
        assert session.scalar(sa.select(sa.func.count()).select_from(Book)) == 1


def test_keys_of_many_rows_come_back_in_order(library):
    with orm.Session(library) as session:
        authors = [Author(name=f"n{n}", books=[Book(title=f"t{n}")]) for n in range(150)]
        session.add_all(authors)
        session.commit()
        wrong = sa.select(sa.func.count()).select_from(Author).join(Book)
        assert session.scalar(wrong.where(Author.name != "n" + sa.func.substr(Book.title, 2))) == 0
        assert session.scalar(wrong) == 150
        ids = session.scalars(
            sa.insert(Author).returning(Author.id, sort_by_parameter_order=True),
            [{"name": f"m{n}"} for n in range(50)],
        ).all()
        names = {row.id: row.name for row in session.execute(sa.select(Author.id, Author.name))}
        assert [names[each] for each in ids] == [f"m{n}" for n in range(50)]


def test_update_and_delete_return_rows(library):
    with orm.Session(library) as session:
        session.execute(sa.insert(Author), [{"name": name, "ratio": 1.0} for name in "abc"])
        changed = session.execute(
            sa.update(Author).where(Author.name > "a").values(ratio=Author.ratio + 1).returning(Author.ratio)
        )
        assert changed.scalars().all() == [2.0, 2.0]
        assert session.execute(sa.delete(Author).where(Author.name == "c")).rowcount == 1


def test_on_conflict(library):
    table = Author.__table__
    with library.begin() as connection:
        for ratio in (1.0, 2.0):
            statement = insert(table).values(id=1, name="ann", uid=uuid.UUID(int=1), ratio=ratio, money=1)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["id"], set_={"ratio": statement.excluded.ratio + 10}
                )
            )
            connection.execute(statement.on_conflict_do_nothing())
        assert connection.execute(sa.select(table.c.ratio)).scalars().all() == [12.0]


def test_expressions(library):
    with orm.Session(library) as session:
        session.add(Author(name="Ann", data={"a": [1, {"b": 2}], "s": "text"}, tags=["x"]))
        session.flush()
        for expression, wanted in (
            (Author.data["a"][1]["b"].as_integer(), 2),
            (Author.data["s"].as_string(), "text"),
            (Author.data["a"], [1, {"b": 2}]),
            (Author.data[("a", 1, "b")].as_integer(), 2),
            (sa.literal(7) // 2, 3),
            (sa.literal(7) / 2, 3.5),
            (Author.name.regexp_match("^A"), True),
            (Author.name.regexp_match("^a", flags="i"), True),
            (~Author.name.regexp_match("^A"), False),
            (Author.name.ilike("a%"), True),
            (Author.name.in_(["Ann", "Bob"]), True),
            (sa.tuple_(Author.id, Author.name).in_([(1, "Ann")]), True),
            (sa.func.string_agg(Author.name, ","), "Ann"),
            (sa.cast("7", sa.Integer), 7),
            (sa.extract("year", sa.cast("2026-01-02", sa.Date)), 2026),
        ):
            assert session.scalar(sa.select(expression)) == wanted, str(expression)
        assert session.scalars(sa.select(Author.name).with_for_update().limit(1).offset(0)).all() == ["Ann"]


# --- transactions ---------------------------------------------------------------------------------


def test_transactions_and_savepoints(library):
    with library.connect() as connection:
        with connection.begin():
            connection.execute(sa.insert(Author), {"name": "ann"})
            with connection.begin_nested() as nested:
                connection.execute(sa.insert(Author), {"name": "bob"})
                nested.rollback()
        connection.execute(sa.insert(Author), {"name": "cleo"})
        connection.rollback()
        assert connection.scalars(sa.select(Author.name)).all() == ["ann"]


def test_errors_are_sqlalchemys_and_absdbs(library):
    with library.connect() as connection:
        connection.execute(sa.insert(Author), {"id": 1, "name": "ann"})
        with pytest.raises(sa.exc.IntegrityError) as caught:
            connection.execute(sa.insert(Author), {"id": 1, "name": "bob"})
        assert isinstance(caught.value.orig, absdb.ConstraintError)
        with pytest.raises(sa.exc.ProgrammingError, match="did you mean 'author'"):
            connection.execute(sa.text("SELECT * FROM auhtor"))
        with pytest.raises(sa.exc.DataError):
            connection.execute(sa.text("SELECT CAST('x' AS INTEGER)")).all()


def test_conflicts_are_operational_errors(library):
    with library.begin() as connection:
        connection.execute(sa.insert(Author), {"name": "ann"})
    with library.connect() as one, library.connect() as two:
        one.execute(sa.update(Author).values(ratio=1))
        two.execute(sa.update(Author).values(ratio=2))
        one.commit()
        with pytest.raises(sa.exc.OperationalError) as caught:
            two.commit()
        assert isinstance(caught.value.orig, absdb.WriteConflictError)


def test_isolation_levels(library):
    with library.connect() as connection:
        assert connection.get_isolation_level() == "SNAPSHOT"
        assert connection.default_isolation_level == "SNAPSHOT"
    with library.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        assert connection.get_isolation_level() == "SERIALIZABLE"
        connection.execute(sa.select(Author.id)).all()
    automatic = library.execution_options(isolation_level="AUTOCOMMIT")
    with automatic.connect() as connection, library.connect() as other:
        connection.execute(sa.insert(Author), {"name": "ann"})
        assert other.scalar(sa.select(Author.name)) == "ann"
        assert connection.get_isolation_level() == "AUTOCOMMIT"
    with library.connect() as connection:
        assert connection.get_isolation_level() == "SNAPSHOT"


def test_intervals_and_quotients_come_as_python_has_them(engine):
    with engine.connect() as connection:
        month = sa.literal_column("INTERVAL '1 month 2 hours'", sa.Interval())
        assert connection.scalar(sa.select(month)) == dt.timedelta(30, hours=2)
        third = sa.cast(1, sa.Numeric(4, 2)) / sa.cast(3, sa.Numeric(4, 2))
        assert connection.scalar(sa.select(third)) == Decimal("0.3333333333333333")


# --- definitions and reflection -------------------------------------------------------------------


def test_reflection_says_what_was_defined(library):
    inspector = sa.inspect(library)
    assert inspector.get_table_names() == ["author", "book"]
    assert (inspector.has_table("author"), inspector.has_table("Author"), inspector.has_table("x")) == (
        True,
        True,
        False,
    )
    columns = {column["name"]: column for column in inspector.get_columns("author")}
    assert list(columns) == [column.name for column in Author.__table__.columns]
    assert isinstance(columns["id"]["type"], sa.INTEGER)
    assert columns["id"]["identity"] == {"always": False, "start": 1, "increment": 1}
    assert columns["id"]["autoincrement"] is True
    assert (columns["name"]["nullable"], columns["born"]["nullable"]) == (False, True)
    assert columns["name"]["comment"] == "full name"
    assert columns["seen"]["type"].timezone is True
    assert columns["seen"]["default"] == "now()"
    assert columns["active"]["default"] == "true"
    assert (columns["money"]["type"].precision, columns["money"]["type"].scale) == (12, 2)
    assert columns["twice"]["computed"]["sqltext"] == "ratio * 2"
    assert isinstance(columns["tags"]["type"].item_type, sa.VARCHAR)
    kinds = {name: type(columns[name]["type"]) for name in ("uid", "data", "raw", "ratio", "active")}
    assert kinds == {
        "uid": sa.UUID,
        "data": sa.JSON,
        "raw": sa.BLOB,
        "ratio": sa.DOUBLE,
        "active": sa.BOOLEAN,
    }
    assert inspector.get_pk_constraint("author")["constrained_columns"] == ["id"]
    [unique] = inspector.get_unique_constraints("author")
    assert unique["column_names"] == ["name"]
    [check] = inspector.get_check_constraints("author")
    assert (check["name"], check["sqltext"]) == ("solvent", "money >= 0")
    [foreign] = inspector.get_foreign_keys("book")
    assert (foreign["constrained_columns"], foreign["referred_columns"]) == (["author_id"], ["id"])
    assert (foreign["referred_schema"], foreign["referred_table"]) == (None, "author")
    assert inspector.get_table_comment("author") == {"text": "who writes"}
    assert inspector.get_indexes("author") == []
    for ask in (inspector.get_columns, inspector.get_pk_constraint, inspector.get_indexes):
        with pytest.raises(sa.exc.NoSuchTableError, match="nothing"):
            ask("nothing")


def test_reflected_tables_can_be_made_again(library):
    first, second = sa.MetaData(), sa.MetaData()
    first.reflect(library)
    other = sa.create_engine("absdb://")
    first.create_all(other)
    second.reflect(other)
    for name in ("author", "book"):
        a, b = (sa.inspect(engine).get_columns(name) for engine in (library, other))
        assert [{**column, "type": str(column["type"])} for column in a] == [
            {**column, "type": str(column["type"])} for column in b
        ]
    other.dispose()


def test_schemas_views_and_sequences(engine):
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema("sales"))
        connection.execute(
            sa.text("CREATE TABLE sales.orders (id INT PRIMARY KEY, n UINTEGER, s STRUCT(a INTEGER))")
        )
        connection.execute(sa.text("CREATE TABLE item (order_id INTEGER REFERENCES sales.orders(id))"))
        connection.execute(sa.text("CREATE VIEW paid AS SELECT id FROM sales.orders"))
        connection.execute(sa.schema.CreateSequence(sa.Sequence("numbers", start=5)))
        inspector = sa.inspect(connection)
        assert inspector.get_schema_names() == ["main", "sales"]
        assert (inspector.has_schema("sales"), inspector.has_schema("other")) == (True, False)
        assert inspector.get_table_names() == ["item"]
        assert inspector.get_table_names("sales") == ["orders"]
        assert inspector.get_view_names() == ["paid"]
        assert inspector.get_view_definition("paid") == "SELECT id FROM sales.orders"
        assert inspector.get_sequence_names() == ["numbers"]
        assert inspector.has_sequence("numbers")
        assert connection.scalar(sa.Sequence("numbers")) == 5
        [foreign] = inspector.get_foreign_keys("item")
        assert (foreign["referred_schema"], foreign["referred_table"]) == ("sales", "orders")
        number, struct = (column["type"] for column in inspector.get_columns("orders", "sales")[1:])
        assert isinstance(number, OtherInteger)
        assert (repr(number), repr(struct)) == ("OtherInteger('UINTEGER')", "OtherType('STRUCT(a INTEGER)')")
        assert isinstance(struct, OtherType)
        table = sa.Table("orders", sa.MetaData(), schema="sales", autoload_with=connection)
        connection.execute(sa.insert(table), {"id": 1, "n": 2**31, "s": {"a": 1}})
        assert connection.execute(sa.select(table)).one() == (1, 2**31, {"a": 1})


def test_identities_sequences_and_defaults(engine):
    metadata = sa.MetaData()
    numbers = sa.Sequence("numbers", start=100, metadata=metadata)
    table = sa.Table(
        "t",
        metadata,
        sa.Column("id", sa.BigInteger, sa.Identity(start=10, increment=5), primary_key=True),
        sa.Column("n", sa.Integer, numbers, server_default=numbers.next_value()),
        sa.Column("f", sa.Float),
        sa.Column("r", sa.Float(24)),
        sa.Column("c", sa.CHAR(3)),
        sa.Column("y", sa.LargeBinary),
    )
    metadata.create_all(engine)
    with engine.begin() as connection:
        assert connection.execute(sa.insert(table)).inserted_primary_key == (10,)
        assert connection.execute(sa.insert(table).values(f=0.1, r=0.5)).inserted_primary_key == (15,)
        assert connection.execute(sa.select(table.c.n, table.c.f)).all() == [(100, None), (101, 0.1)]
    [column] = [c for c in sa.inspect(engine).get_columns("t") if c["name"] == "id"]
    assert column["identity"] == {"always": False, "start": 10, "increment": 5}
    metadata.drop_all(engine)
    assert sa.inspect(engine).get_table_names() == []
    assert sa.inspect(engine).get_sequence_names() == []


def test_every_word_of_sql_can_be_a_name(engine):
    words = duckdb.sql(
        "SELECT DISTINCT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
    )
    names = sorted(name for (name,) in words.fetchall())
    wide = sa.Table("wide", sa.MetaData(), *(sa.Column(name, sa.Integer) for name in names))
    with engine.begin() as connection:
        wide.create(connection)
        connection.execute(sa.insert(wide), [dict.fromkeys(names, 1)])
        connection.execute(sa.update(wide).values(dict.fromkeys(names, 2)).where(wide.c[names[0]] == 1))
        assert connection.execute(sa.select(wide)).one() == (2,) * len(names)
        for name in (*names, "snapshot", "database"):
            table = sa.Table(name, sa.MetaData(), sa.Column("a", sa.Integer))
            table.create(connection)
            assert connection.execute(sa.select(table)).all() == []
            table.drop(connection)


def test_reflected_identity_has_its_bounds(engine):
    counting = sa.Identity(start=4, increment=2, minvalue=2, maxvalue=8)
    sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer, counting)).create(engine)
    [column] = sa.inspect(engine).get_columns("t")
    assert column["identity"] == {"always": False, "start": 4, "increment": 2, "minvalue": 2, "maxvalue": 8}


def test_reflected_expressions_are_without_the_cast_to_their_column(engine):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE t (a VARCHAR, half INTEGER AS (length(a) / 2), at TIMESTAMP DEFAULT now(),"
            " sum INTEGER AS (CAST(a AS INTEGER) + CAST(a AS INTEGER)))"
        )
    _, half, at, total = sa.inspect(engine).get_columns("t")
    assert half["computed"]["sqltext"] == "length(a) / 2"
    assert at["default"] == "now()"
    assert total["computed"]["sqltext"] == "CAST(a AS INTEGER) + CAST(a AS INTEGER)"


def test_indexes_are_left_out_with_a_warning_unless_unique(engine):
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), sa.Column("b", sa.Integer))
    table.create(engine)
    plain, unique = sa.Index("plain", table.c.a), sa.Index("alone", table.c.b, unique=True)
    with pytest.warns(sa.exc.SAWarning, match="'plain' is left out"):
        plain.create(engine)
    plain.drop(engine)
    unique.create(engine)
    assert [each["name"] for each in sa.inspect(engine).get_unique_constraints("t")] == ["alone"]
    unique.drop(engine)
    assert sa.inspect(engine).get_unique_constraints("t") == []


# --- pandas ---------------------------------------------------------------------------------------

FRAME = pd.DataFrame(
    {
        "id": [1, 2],
        "s": ["x", None],
        "t": pd.to_datetime(["2026-01-01", None]),
        "z": pd.to_datetime(["2026-01-01", "2026-01-02"], utc=True),
        "f": [0.5, None],
        "b": [True, False],
    }
)


@pytest.mark.parametrize("method", [None, "multi"])
def test_to_sql_and_read_sql(engine, method):
    assert FRAME.to_sql("frame", engine, index=False, method=method) == 2
    FRAME.to_sql("frame", engine, index=False, if_exists="append", method=method)
    with pytest.raises(ValueError, match="already exists"):
        FRAME.to_sql("frame", engine, index=False)
    assert len(pd.read_sql("SELECT * FROM frame WHERE id = 1", engine)) == 2
    FRAME.to_sql("frame", engine, index=False, if_exists="replace", dtype={"id": sa.SmallInteger})
    assert isinstance(sa.inspect(engine).get_columns("frame")[0]["type"], sa.SMALLINT)
    for found in (pd.read_sql("frame", engine), pd.read_sql("SELECT * FROM frame ORDER BY id", engine)):
        pd.testing.assert_frame_equal(found, FRAME, check_dtype=False)
    with engine.connect() as connection:
        chunks = pd.read_sql("SELECT * FROM range(25) t(n)", connection, chunksize=10)
        assert [len(chunk) for chunk in chunks] == [10, 10, 5]
        named = pd.read_sql(sa.text("SELECT * FROM frame WHERE id = :id"), connection, params={"id": 2})
        assert named["id"].tolist() == [2]
