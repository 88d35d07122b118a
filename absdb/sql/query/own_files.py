"""Which files SQL may touch: those of the user, never those of an instance, and none where strangers ask.

    read_csv('data/*.csv')      every file that matches is looked at; the path is computed once and put in its place
    FROM 'x.parquet'            the same
    COPY … TO 'x.parquet'       may not lead into the instance's directory

DuckDB's table functions are those listed here; what runs SQL from text, follows pointers, or shows DuckDB's own
affairs is not among them. Called by rewrite.py for every query, by copy.py for where it reads and writes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from absdb.engine.engine import Engine
from absdb.errors import AbsdbError, QueryError
from absdb.io.inside import is_inside
from absdb.sql.query.evaluate import evaluate
from absdb.sql.text.calls import arguments_of
from absdb.sql.text.edits import Edit
from absdb.sql.text.source import error_at
from absdb.sql.text.tokens import Kind, literal, quoted, tokenize

if TYPE_CHECKING:
    from absdb.sql.duck.connection import Backend
    from absdb.sql.query.rewrite import Rewriter
    from absdb.sql.text.parsed import Query
    from absdb.sql.text.syntax import Call

_READING = """
    glob parquet_bloom_probe parquet_file_metadata parquet_full_metadata parquet_kv_metadata parquet_metadata
    parquet_scan parquet_schema read_blob read_csv read_csv_auto read_duckdb read_json read_json_auto
    read_json_objects read_json_objects_auto read_ndjson read_ndjson_auto read_ndjson_objects read_parquet
    read_text sniff_csv
"""
READING = frozenset(_READING.split())
"""Table functions whose first argument names files."""
_HARMLESS = """
    generate_series histogram histogram_values icu_calendar_names json_each json_tree pg_timezone_names range repeat
    repeat_row summary test_all_types test_vector_types unnest
    duckdb_coordinate_systems duckdb_functions duckdb_keywords duckdb_optimizers duckdb_types pragma_collations
    pragma_platform pragma_version
"""
_PLAIN = frozenset(_HARMLESS.split())
"""Table functions that see nothing but their arguments and what DuckDB can do."""
_LOCAL_ONLY = frozenset(("duckdb_memory", "duckdb_settings", "duckdb_temporary_files"))
_RESOLVED = frozenset(("query", "query_table"))
_REASONS = {
    "json_execute_serialized_sql": "it would run SQL that nobody has looked at",
    "arrow_scan": "it follows a pointer",
    "arrow_scan_dumb": "it follows a pointer",
    "pandas_scan": "it follows a pointer",
    "python_arrow_scan": "it follows a pointer",
    "duckdb_secrets": "there are no secrets",
    "which_secret": "there are no secrets",
}
_PATTERN = "*?["
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def refuse_path(engine: Engine, path: str, what: str = "read") -> None:
    """QueryError if a path, or something it matches as a pattern, lies in the instance's own directory."""
    for spelt in _spellings(path):
        if is_inside(spelt, engine.fs.root):
            raise QueryError(
                f"{path!r} lies in the directory of the instance, whose files SQL does not {what}",
                hint="tables are read by their names",
                path=path,
            )


def _spellings(path: str) -> Iterator[str]:
    """The path, and what it means if it is a URL of a file."""
    yield path
    if path[:5].casefold() == "file:":
        plain = path[5:]
        if plain.startswith("//"):
            plain = plain[2:]
            plain = plain if plain.startswith("/") else plain.partition("/")[1] + plain.partition("/")[2]
        yield plain
        yield unquote(plain)


def file_edits(rewriter: Rewriter, query: Query) -> list[Edit]:
    """Paths that are computed, as the values they have; QueryError for what SQL must not touch or call."""
    _refuse_names(rewriter, query)
    edits = []
    for call in query.syntax.table_calls:
        name = call.path[-1].casefold()
        if name in READING:
            edits += _path_edits(rewriter, query, call)
        elif name not in _PLAIN | _RESOLVED and not rewriter.knows_function(call.path):
            allowed = name in _LOCAL_ONLY and not rewriter.strangers
            if not allowed:
                raise _not_available(query, call)
    return edits


def query_of(function: str, arguments: Mapping[str, Any]) -> str:
    """The query that `query('…')` or `query_table(…)` stands for."""
    first = arguments.get("arg0")
    names = first if isinstance(first, list) else [first]
    if not names or not all(isinstance(name, str) for name in names):
        raise QueryError(f"{function}() takes text, not {first!r}")
    if function == "query":
        return str(names[0])
    by_name = " BY NAME" if arguments.get("arg1", arguments.get("by_name")) else ""
    paths = [".".join(map(quoted, str(name).split("."))) for name in names]
    return f" UNION ALL{by_name} ".join(f"(FROM {path})" for path in paths)


def _not_available(query: Query, call: Call) -> QueryError:
    name = call.path[-1]
    start, _, _ = arguments_of(query, call)
    reason = _REASONS.get(name.casefold())
    near = difflib.get_close_matches(name.casefold(), READING | _PLAIN, n=1)
    hint = reason or (f"did you mean {near[0]}?" if near else "")
    return error_at(query.text, start, f"there is no table function {name} here", hint=hint)


def _refuse_names(rewriter: Rewriter, query: Query) -> None:
    """Names in double quotes can be files to DuckDB, where it finds nothing else of that name."""
    for token in query.tokens:
        if token.kind is Kind.NAME and ("." in token.value or "/" in token.value):
            _checked(rewriter, query, token.value, token.start)


def refuse_file(rewriter: Rewriter, query: Query, path: str, start: int) -> None:
    """QueryError if `FROM 'path'` must not be read."""
    if rewriter.strangers:
        raise error_at(query.text, start, "files cannot be read here", hint="insert their rows into a table")
    _checked(rewriter, query, path, start)


def _path_edits(rewriter: Rewriter, query: Query, call: Call) -> list[Edit]:
    start, _, spans = arguments_of(query, call)
    if rewriter.strangers:
        raise error_at(query.text, start, "files cannot be read here", hint="insert their rows into a table")
    positional = [(first, last) for name, first, last in spans if not name]
    if not positional:
        return []  # DuckDB says what is missing
    first, last = positional[0]
    try:
        value = evaluate(rewriter, query.text, first, last)
    except AbsdbError as error:
        message = "the path of a file must not depend on rows"
        raise error_at(query.text, first, message, hint=error.message.split("\n")[0]) from error
    paths = value if isinstance(value, list) else [value]
    for path in paths:
        if isinstance(path, str):
            _checked(rewriter, query, path, first)
    tokens = tokenize(query.text[first:last])
    if len(tokens) == 2 and tokens[0].kind in (Kind.STRING, Kind.PARAMETER):
        return []
    return [Edit(first, last, _written(value))]


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return "NULL" if value is None else literal(str(value))


def _checked(rewriter: Rewriter, query: Query, path: str, at: int) -> None:
    check_read(rewriter.moment.engine, rewriter.backend, query.text, at, path)


def check_read(engine: Engine, backend: Backend, text: str, at: int, path: str) -> None:
    """QueryError, pointing at `at` of `text`, for a path that must not be read, or that matches a file of that kind."""
    if _REMOTE.match(path) and path[:5].casefold() != "file:":
        hint = "fetch it first; extensions are not loaded"
        raise error_at(text, at, f"only local files can be read, not {path!r}", hint=hint)
    found = [path]
    if any(char in path for char in _PATTERN):
        with backend.registered({}) as connection:
            try:
                rows = connection.execute("SELECT file FROM glob($1)", [path]).fetchall()
            except Exception as error:
                raise error_at(text, at, f"{path!r} cannot be followed: {error}") from error
        found += [row[0] for row in rows]
    for each in found:
        check_path(engine, text, at, each, path)


def check_path(engine: Engine, text: str, at: int, path: str, written: str = "", what: str = "read") -> None:
    """QueryError, pointing at `at` of `text`, for a path into the instance's directory."""
    try:
        refuse_path(engine, path, what)
    except QueryError as error:
        raise error_at(text, at, error.message, hint=error.hint, path=written or path) from error
