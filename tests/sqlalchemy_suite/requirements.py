"""What absdb can do, as SQLAlchemy's suite asks for it: the plugin reads `Requirements`.

    CLOSED    what absdb has not, each with the reason
    FAILS     single tests that no requirement stands for; one of them that passes is an error

Everything else is open, also what SuiteRequirements takes for missing unless it is told.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

NO_INDEXES = "there are no secondary indexes: rows are found by their key"
NO_TEMPORARY = "there are no temporary tables: a branch is the place for work that nobody else sees"
NO_ACTIONS = "a foreign key refuses what would break it, and makes no changes of its own"
NO_LASTROWID = "keys come back with RETURNING"
NO_SECOND_DATETIME = "of a TIMESTAMP that is finer than DATETIME; the two are one here"
CLOSED = {
    **dict.fromkeys(
        (
            "foreign_keys_reflect_as_index",
            "index_ddl_if_exists",
            "index_reflection",
            "index_reflects_included_columns",
            "indexes_check_column_order",
            "indexes_with_ascdesc",
            "indexes_with_expressions",
            "reflect_indexes_with_ascdesc",
            "reflect_indexes_with_ascdesc_as_expression",
            "reflect_indexes_with_expressions",
            "unique_constraints_reflect_as_index",
            "unique_index_reflect_as_unique_constraints",
        ),
        NO_INDEXES,
    ),
    **dict.fromkeys(
        (
            "create_temp_table_as",
            "has_temp_table",
            "temp_table_comment_reflection",
            "temp_table_names",
            "temp_table_reflect_indexes",
            "temp_table_reflection",
            "temporary_tables",
            "temporary_views",
        ),
        NO_TEMPORARY,
    ),
    **dict.fromkeys(
        (
            "fk_constraint_option_reflection_ondelete_restrict",
            "fk_constraint_option_reflection_onupdate_restrict",
            "foreign_key_constraint_option_reflection_ondelete",
            "foreign_key_constraint_option_reflection_onupdate",
            "on_update_cascade",
            "recursive_fk_cascade",
        ),
        NO_ACTIONS,
    ),
    "deferrable_fks": "a foreign key is checked when a transaction commits, and at no other time",
    "repeated_column_foreign_keys": "a foreign key names a column once",
    "repeated_remote_col_foreign_keys": "a foreign key names a column once",
    "reflects_pk_names": "a key has no name of its own",
    "constraint_comment_reflection": "constraints have no comments",
    "column_collation_reflection": "columns have no collation: keys and constraints compare text byte by byte",
    "expression_server_defaults": "a default that is constant is kept as its value",
    "reflect_table_options": "Table has no word for what a table is made WITH",
    "reflect_tables_no_columns": "a table has at least one column",
    "nvarchar_types": "VARCHAR holds all of Unicode",
    "identity_columns_standard": "ALWAYS is read as BY DEFAULT, and identities do not begin again",
    "computed_columns_virtual": "generated columns are stored, whatever the definition says",
    "materialized_views": "views are read as they are",
    "materialized_views_reflect_pk": "views are read as they are",
    "time_timezone": "TIME has no zone",
    "timestamp_microseconds": NO_SECOND_DATETIME,
    "timestamp_microseconds_implicit_bound": NO_SECOND_DATETIME,
    "cast_precision_numerics_many_significant_digits": "DuckDB reads the numbers of JSON as doubles",
    "json_deserializer_binary": "JSON comes as text",
    "window_range": "the test reads rows in an order that it does not ask for",
    "window_range_numeric": "the test reads rows in an order that it does not ask for",
    "fetch_percent": "DuckDB has no FETCH … PERCENT",
    "fetch_ties": "DuckDB has no FETCH … WITH TIES",
    "fetch_offset_with_options": "of FETCH … PERCENT and WITH TIES, which DuckDB has not",
    "ctes_on_dml": "DuckDB has no INSERT, UPDATE or DELETE in WITH",
    "implements_get_lastrowid": NO_LASTROWID,
    "dbapi_lastrowid": NO_LASTROWID,
    "emulated_lastrowid": NO_LASTROWID,
    "emulated_lastrowid_even_with_sequences": NO_LASTROWID,
    "two_phase_transactions": "a transaction writes to one database, and commits in one step",
    "async_dialect": "the engine runs in the process of the program",
    "non_updating_cascade": "for databases that ignore ON UPDATE; it is refused here",
}

NO_LENGTH = "the length of a VARCHAR is read and not kept, as in DuckDB"
BY_DOUBLES = "DuckDB divides decimals as doubles"
ALSO_SNAPSHOT = "the message also names the levels that are taken as SNAPSHOT"
FAILS = {
    "test_invalid_level_engine_param": ALSO_SNAPSHOT,
    "test_invalid_level_execution_option": ALSO_SNAPSHOT,
    "test_string_length_reflection[String": NO_LENGTH,
    "test_string_length_reflection[VARCHAR": NO_LENGTH,
    "test_varchar_reflection": NO_LENGTH,  # in SQLAlchemy 2.0
    "test_string_length_reflection[CHAR": "CHAR is VARCHAR, as in DuckDB",
    "test_round_trip_same_named_column[/slashes/]": "a name has no '/', which separates names from points",
    "test_round_trip_same_named_column[more/slashes]": "a name has no '/', which separates names from points",
    "test_truediv_divisor[numeric_many_decimals": BY_DOUBLES,
    "test_truediv_divisor[numeric_38_digit_divisor": BY_DOUBLES,
    "test_long_convention_name[ix": NO_INDEXES,
    "test_long_convention_name[pk": CLOSED["reflects_pk_names"],
}


class Requirements(SuiteRequirements):
    """Answers for absdb."""

    def get_order_by_collation(self, config: Any) -> str:
        """One that reads `a` and `A` as one."""
        return "NOCASE"

    def get_isolation_levels(self, config: Any) -> dict[str, Any]:
        """Without what is taken as SNAPSHOT and comes back so: READ COMMITTED and the like."""
        return {"default": "SNAPSHOT", "supported": ["AUTOCOMMIT", "SNAPSHOT", "SERIALIZABLE"]}


def _answering(name: str, asked: property) -> property:
    """A question with the answer made anew each time: the suite adds others to the one that it gets."""

    def answer(self: Requirements) -> Any:
        if name in CLOSED:
            return exclusions.skip_if(exclusions.BooleanPredicate(True, CLOSED[name]))
        rule = asked.__get__(self)
        skips = getattr(rule, "skips", ())
        return (
            exclusions.open() if any(isinstance(one, exclusions.BooleanPredicate) for one in skips) else rule
        )

    return property(answer)


for _name, _asked in vars(SuiteRequirements).items():
    if isinstance(_asked, property):
        setattr(Requirements, _name, _answering(_name, _asked))
