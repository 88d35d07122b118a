"""SET, RESET and PRAGMA: what a session may change, and what it may not.

    SET TimeZone = 'Europe/Paris'        settings of DuckDB that change how it computes, for this session
    RESET TimeZone                       back to ours, which is UTC here
    SET schema = 'sales'                 the same as USE
    SET VARIABLE x = (SELECT 1)          read with getvariable('x')
    PRAGMA table_info('orders')          what DuckDB's own pragmas show of tables

Settings that reach files, load code, or change what absdb rests on are refused; those of the instance are in
absdb.conf. Called by dispatch.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absdb.errors import QueryError
from absdb.sql.query.names import alike
from absdb.sql.query.result import Result
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, literal, quoted

if TYPE_CHECKING:
    from absdb.sql.session import Call

_RESOURCES = """
    threads worker_threads memory_limit max_memory max_temp_directory_size max_execution_time disabled_optimizers
"""
_COMPUTING = """
    TimeZone Calendar default_order default_null_order null_order default_collation integer_division
    ieee_floating_point_ops error_on_division_by_zero scalar_subquery_error_on_multiple_rows
    order_by_non_integer_literal regex_match_operator_semantics lambda_syntax max_expression_depth pivot_limit
    pivot_filter_threshold ordered_aggregate_threshold merge_join_threshold nested_loop_join_threshold
    perfect_ht_threshold dynamic_or_filter_threshold late_materialization_max_rows explain_output
"""
RESOURCES = {name.casefold(): name for name in _RESOURCES.split()}
"""What a session may set that costs others something, so not sessions of strangers."""
COMPUTING = {name.casefold(): name for name in _COMPUTING.split()}
"""What any session may set."""
_REASONS = {
    "enable_external_access": "a session decides when it is made: Session(scope, strangers=True) has none",
    "python_enable_replacements": "frames are found by absdb itself",
    "temp_directory": "it is where DuckDB spills, beside the system's temporary files",
    "preserve_insertion_order": "rows come in key order here",
    "autoload_known_extensions": "extensions are not loaded",
    "autoinstall_known_extensions": "extensions are not loaded",
    "file_search_path": "write paths in full",
}


def execute(call: Call) -> Result:
    """The Result of SET, RESET or PRAGMA."""
    cursor = TokenCursor(call.statement)
    verb = cursor.expect_one(("SET", "RESET", "PRAGMA"))
    if verb == "PRAGMA":
        return _pragma(call, cursor)
    scope = cursor.accept_one(("SESSION", "LOCAL", "GLOBAL")) if not cursor.ahead("SESSION", "=") else None
    if cursor.accept("VARIABLE"):
        return _variable(call, cursor, verb)
    if cursor.ahead("TRANSACTION") or cursor.ahead("CHARACTERISTICS"):
        raise error_at(
            call.text,
            cursor.token.start,
            "a transaction's level is said where it begins",
            hint="BEGIN ISOLATION LEVEL SERIALIZABLE",
        )
    start = cursor.token.start
    zone = verb == "SET" and cursor.accept("TIME", "ZONE")
    name = "TimeZone" if zone else cursor.name("the name of a setting")
    if scope == "GLOBAL":
        hint = "SET without GLOBAL is for this session; settings of the instance are in absdb.conf"
        raise error_at(call.text, start, "settings cannot be changed for all sessions at once", hint=hint)
    if verb == "RESET":
        cursor.end()
        _reset(call, name, start)
    else:
        if not zone:
            cursor.expect_one(("=", "TO"))
        _change(call, cursor, name, start)
    return Result(statement=verb)


def _change(call: Call, cursor: TokenCursor, name: str, start: int) -> None:
    if name.casefold() in ("schema", "search_path"):
        _use(call, cursor)
        return
    known = _allowed(call, name, start)
    value = _value(cursor)
    if value is None:
        _reset(call, name, start)
        return
    settings = {key: each for key, each in call.session.duckdb_settings.items() if key != known}
    try:
        call.session.set_duckdb({**settings, known: value})
    except QueryError as error:
        raise error_at(call.text, start, error.message, hint=error.hint) from error


def _reset(call: Call, name: str, start: int) -> None:
    known = _allowed(call, name, start)
    settings = {key: each for key, each in call.session.duckdb_settings.items() if key != known}
    call.session.set_duckdb(settings)


def _value(cursor: TokenCursor) -> str | None:
    """A value as an SQL literal; None for DEFAULT."""
    token = cursor.token
    if cursor.accept("DEFAULT"):
        value = None
    elif token.kind is Kind.STRING:
        value = literal(cursor.string())
    elif token.is_name:
        value = literal(cursor.name())
    elif token.kind is Kind.NUMBER or token.upper in ("-", "+"):
        value = cursor.until()
    else:
        cursor.refuse("a value")
    cursor.end()
    return value


def _allowed(call: Call, name: str, start: int) -> str:
    """The setting as DuckDB spells it; QueryError with the reason if a session must not change it."""
    folded = name.casefold()
    allowed = COMPUTING if call.session.strangers else {**COMPUTING, **RESOURCES}
    known = allowed.get(folded)
    if known is not None:
        return known
    ours = {row["name"]: row for row in call.session.engine.settings.rows()}
    if alike(ours, name) is not None:
        raise error_at(
            call.text,
            start,
            f"{name} is a setting of the instance, which no session changes",
            hint="write it in absdb.conf, or pass it to absdb.connect()",
        )
    reason = _REASONS.get(folded) or f"these can be set: {', '.join(allowed.values())}"
    raise error_at(call.text, start, f"the setting {name} cannot be changed here", hint=reason)


def _use(call: Call, cursor: TokenCursor) -> None:
    """SET schema = 'staging.sales' is USE."""
    from absdb.sql import use

    token = cursor.token
    text = cursor.string() if token.kind is Kind.STRING else ".".join(cursor.path())
    cursor.end()
    use.change(call, tuple(text.split(",")[0].strip().split(".")), token.start)


def _variable(call: Call, cursor: TokenCursor, verb: str) -> Result:
    name = cursor.name("the name of a variable").casefold()
    if verb == "RESET":
        cursor.end()
        call.session.variables.pop(name, None)
        return Result(statement="RESET VARIABLE")
    cursor.expect_one(("=", "TO"))
    expression = cursor.until()
    cursor.end()
    found = call.table(f"SELECT ({expression}\n) AS value")
    call.session.variables[name] = found
    return Result(statement="SET VARIABLE")


def _pragma(call: Call, cursor: TokenCursor) -> Result:
    """Pragmas that show something; those that set something are SET."""
    from absdb.sql.listings import show

    start = cursor.token.start
    name = cursor.name("a pragma")
    folded = name.casefold()
    if cursor.accept("="):
        _change(call, cursor, name, start)
        return Result(statement="PRAGMA")
    argument = cursor.brackets() if cursor.token.upper == "(" else ""
    cursor.end()
    if folded in ("show_tables", "show_databases", "show_tables_expanded"):
        return Result(table=show.listing(call.moment(), folded), statement="PRAGMA")
    if folded in ("table_info", "show") and argument:
        path = argument.strip("'\"").split(".")
        shown = show.table_info if folded == "table_info" else show.described
        return Result(table=shown(call.moment(), tuple(path)), statement="PRAGMA")
    if folded in ("version", "platform", "collations"):
        return Result(table=call.table(f"FROM pragma_{folded}()"), statement="PRAGMA")
    raise error_at(
        call.text, start, f"there is no pragma {quoted(name)} here", hint="table_info, show_tables, version"
    )
