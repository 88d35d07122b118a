"""The rules of the house, held by walking the syntax trees of the package.

Each rule is a function from a module to findings, and RULES lists them all. One test runs every rule over
every module of the package; another one runs it over small samples that break it (BREAKS) or only look as if
they did (KEEPS), so that a rule that has gone blind fails as well.

A new top-level module or folder must be given a floor in FLOORS. It sees only what is on lower floors.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    (
        "ids",
        "clock",
        "settings",
        "setting_kinds",
        "setting_table",
        "paths",
        "object_names",
        "progress",
        "reprs",
        "sizes",
        "diff_reprs",
        "marks",
        "branch_colours",
        "frame_origin",
    ),
    ("io",),
    ("wal", "pages", "objectstore"),
    ("catalog", "frame_digest"),
    ("engine",),
    ("versioning",),
    ("sql",),
    ("rehearsal", "backup", "tenants", "cdc", "replication"),
    (
        "instance",
        "instance_opening",
        "stored_backups",
        "restoring",
        "frame_refresh",
        "database",
        "database_tables",
        "transaction",
        "table",
        "table_columns",
        "row_diff",
        "diff",
        "database_merges",
        "merge_result",
        "rehearsal_result",
        "database_commits",
        "bisection",
    ),
    ("cli", "server", "remote", "panels", "magics", "demo", "dbapi", "sqlalchemy", "pytest_plugin"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SQL_FLOORS: tuple[tuple[str, ...], ...] = (
    ("text",),
    ("duck",),
    ("", "query", "listings", "compare", "completion"),
    ("change",),
    ("define",),
)
"""The folders of sql/, lowest first; "" stands for the modules beside them, which hold sessions together."""
SQL_FLOOR_OF = {folder: floor for floor, folders in enumerate(SQL_FLOORS) for folder in folders}
DOORS = frozenset(FLOORS[-1])

# Who may know whom on one floor: (the one who knows, the one who is known).
ACQUAINTED = {
    ("instance", "instance_opening"),
    ("settings", "paths"),
    ("settings", "setting_kinds"),
    ("settings", "setting_table"),
    ("setting_table", "setting_kinds"),
    ("object_names", "paths"),
    ("diff_reprs", "reprs"),
    ("diff_reprs", "marks"),
    ("frame_origin", "clock"),
    ("frame_origin", "ids"),
    ("frame_origin", "reprs"),
    ("frame_refresh", "database"),
    ("frame_refresh", "instance"),
    ("table", "table_columns"),
    ("database_tables", "table"),
    ("transaction", "database_tables"),
    ("database", "database_merges"),
    ("database_merges", "database_tables"),
    ("database_merges", "merge_result"),
    ("database_merges", "rehearsal_result"),
    ("rehearsal_result", "merge_result"),
    ("database", "database_commits"),
    ("database_commits", "database_tables"),
    ("database_commits", "bisection"),
    ("database_commits", "diff"),
    ("bisection", "diff"),
    ("database", "transaction"),
    ("database", "diff"),
    ("database", "row_diff"),
    ("diff", "row_diff"),
    ("instance", "database"),
    ("instance", "table"),
    ("sqlalchemy", "dbapi"),
    ("magics", "dbapi"),
}

# Doors that may open files themselves, each with the reason.
OPENS_FILES: dict[str, str] = {
    "absdb/cli/demo.py": "makes a temporary directory for its instance, and removes it",
}

KNOWN_ONLY_TO = {
    "duckdb": {"sql"},
    "sqlglot": {"sql"},
    "sqlalchemy": {"sqlalchemy"},
    "IPython": {"magics", "panels"},
    "ipywidgets": {"panels"},
    "anywidget": {"panels"},
    "httpx": {"objectstore", *DOORS},
}

FILE_MODULES = {"mmap", "shutil", "tempfile", "fcntl"}
FILE_FUNCTIONS = {
    "builtins.open",
    "codecs.open",
    "io.FileIO",
    "io.open",
    "os.fdatasync",
    "os.fdopen",
    "os.fsync",
    "os.ftruncate",
    "os.link",
    "os.makedirs",
    "os.mkdir",
    "os.open",
    "os.pread",
    "os.pwrite",
    "os.remove",
    "os.removedirs",
    "os.rename",
    "os.renames",
    "os.replace",
    "os.rmdir",
    "os.symlink",
    "os.sync",
    "os.truncate",
    "os.unlink",
    "pyarrow.OSFile",
    "pyarrow.create_memory_map",
    "pyarrow.memory_map",
}
PATH_METHODS = {
    "hardlink_to",
    "mkdir",
    "open",
    "read_bytes",
    "read_text",
    "rename",
    "replace",
    "rmdir",
    "symlink_to",
    "touch",
    "unlink",
    "write_bytes",
    "write_text",
}
PATH_TO_PATH = {
    "absolute",
    "expanduser",
    "joinpath",
    "relative_to",
    "resolve",
    "with_name",
    "with_stem",
    "with_suffix",
}

TIME_FUNCTIONS = {
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "pandas.Timestamp.now",
    "pandas.Timestamp.today",
    "pandas.Timestamp.utcnow",
    "time.clock_gettime",
    "time.clock_gettime_ns",
    "time.time",
    "time.time_ns",
}

NAMELESS = {"common", "core", "misc", "util", "utils"}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80
HEAVY = {
    "IPython",
    "anywidget",
    "cryptography",
    "duckdb",
    "httpx",
    "ipywidgets",
    "pandas",
    "sqlalchemy",
    "sqlglot",
}


# --- what a module is, and what it mentions -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Module:
    """One source file: its path from the directory above the package, its text and its tree."""

    path: str
    source: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder or module on the top level of the package; "" for the package's own __init__."""
        first = self.path.split("/")[1].removesuffix(".py")
        return "" if first == "__init__" else first

    @property
    def package(self) -> str:
        """The dotted name that one leading dot of a relative import stands for."""
        return ".".join(self.path.split("/")[:-1])


@dataclass(frozen=True, slots=True)
class Finding:
    """A line that breaks a rule."""

    module: Module
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.module.path}:{self.line}: {self.what}"


Rule = Callable[[Module], Iterator[Finding]]


def parse(path: str, source: str) -> Module:
    """A module from its text."""
    return Module(path, source, ast.parse(source, path))


@cache
def package_modules() -> list[Module]:
    """Every module of the package."""
    files = sorted((ROOT / "absdb").rglob("*.py"))
    return [parse(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that is imported anywhere in a module, also by name at run time."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=base, names=names, level=level):
                above = module.package.split(".")[: max(0, len(module.package.split(".")) - level + 1)]
                parents = [*above, *([base] if base else [])] if level else [base or ""]
                for alias in names:
                    yield node.lineno, ".".join([*parents, alias.name])
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def aliases(module: Module) -> dict[str, str]:
    """What a name that an import binds stands for: {"dt": "datetime", "Path": "pathlib.Path"}."""
    bound = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return bound


def dotted(node: ast.expr, bound: dict[str, str]) -> str | None:
    """The full name an expression like `dt.datetime.now` stands for; None if it starts at no import."""
    match node:
        case ast.Name(id=name):
            return bound.get(name)
        case ast.Attribute(value=value, attr=attribute):
            base = dotted(value, bound)
            return base and f"{base}.{attribute}"
    return None


def mentions(module: Module, names: set[str]) -> Iterator[tuple[int, str]]:
    """(line, name) wherever one of these dotted names is imported or reached through an imported module."""
    bound = aliases(module)
    for line, name in imports(module):
        if name in names:
            yield line, name
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and (name := dotted(node, bound)) in names:
            yield node.lineno, str(name)


# --- the rules ------------------------------------------------------------------------------------


def every_room_has_a_floor(module: Module) -> Iterator[Finding]:
    """A top-level module or folder that no floor lists."""
    if module.room not in {"", "testing", *FLOOR_OF}:
        yield Finding(module, 1, f"{module.room} has no floor; give it one in FLOORS of tests/test_house.py")


def imports_point_downstairs(module: Module) -> Iterator[Finding]:
    """A room that knows its own floor, a higher one, the facade or the testing room; a relative import."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield Finding(module, node.lineno, "relative import; write the absolute one")
    own = FLOOR_OF.get(module.room, len(FLOORS))
    for line, name in imports(module):
        top, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if top != "absdb" or other == module.room or module.room == "testing":
            continue
        if other == "testing":
            yield Finding(module, line, "imports absdb.testing, which is for tests only")
        elif module.room == "":
            continue
        elif other not in FLOOR_OF:
            yield Finding(
                module, line, f"imports {name}; neither the facade nor a room without a floor is below"
            )
        elif FLOOR_OF[other] >= own and (module.room, other) not in ACQUAINTED:
            where = "on the same floor" if FLOOR_OF[other] == own else f"upstairs on floor {FLOOR_OF[other]}"
            yield Finding(module, line, f"{module.room} (floor {own}) imports {other}, {where}")


def sql_imports_point_downstairs(module: Module) -> Iterator[Finding]:
    """A folder of sql/ without a floor, or one that knows a folder above its own."""
    parts = module.path.split("/")
    if module.room != "sql":
        return
    own = parts[2] if len(parts) > 3 else ""
    if own not in SQL_FLOOR_OF:
        yield Finding(module, 1, f"sql/{own} has no floor; give it one in SQL_FLOORS of tests/test_house.py")
        return
    for line, name in imports(module):
        *above, other = name.split(".")[:3]
        if above == ["absdb", "sql"] and SQL_FLOOR_OF.get(other, SQL_FLOOR_OF[""]) > SQL_FLOOR_OF[own]:
            yield Finding(module, line, f"sql/{own} imports sql/{other}, which is above it")


def panel_models_have_no_widgets(module: Module) -> Iterator[Finding]:
    """What a page knows and does, that knows how it is shown."""
    if not module.path.startswith("absdb/panels/model/"):
        return
    for line, name in imports(module):
        foreign = name.split(".")[0] in {"ipywidgets", "anywidget", "traitlets", "IPython"}
        if foreign or (name.startswith("absdb.panels.") and not name.startswith("absdb.panels.model.")):
            yield Finding(module, line, f"imports {name}; panels/model/ is tested without widgets")


def facade_only_forwards(module: Module) -> Iterator[Finding]:
    """Anything in the package's __init__ but imports, constants, one-line forwards and lazy attributes."""
    if module.room == "":
        for node in module.tree.body:
            if not _forwards(node):
                yield Finding(module, node.lineno, "the facade only forwards; put this into a room")


def _forwards(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return not any(
                isinstance(part, (ast.Call, ast.Lambda, ast.comprehension)) for part in ast.walk(value)
            )
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=[]):
            return all(_forwards(inner) for inner in node.body)
        case ast.FunctionDef(name="__getattr__" | "__dir__"):
            return True
        case ast.FunctionDef(body=[*before, ast.Return(value=ast.Call())]):
            return all(isinstance(inner, (ast.Import, ast.ImportFrom, ast.Expr)) for inner in before)
    return False


def modules_say_what_they_are(module: Module) -> Iterator[Finding]:
    """A module without a sentence of docstring."""
    text = ast.get_docstring(module.tree) or ""
    if len(text.split()) < 4 or not re.search(r"\w[.!?:]", text):
        yield Finding(module, 1, "the module's docstring is missing, or is no sentence")


def modules_have_names_of_the_field(module: Module) -> Iterator[Finding]:
    """A module or folder whose name says nothing."""
    for part in module.path.removesuffix(".py").split("/"):
        if part in NAMELESS:
            yield Finding(module, 1, f"{part!r} names nothing; say what is in it")


def only_io_touches_files(module: Module) -> Iterator[Finding]:
    """A call that opens, syncs, maps, renames or removes a file, outside io and testing."""
    if module.room in ("io", "testing") or module.path in OPENS_FILES:
        return
    for line, name in imports(module):
        if name.split(".")[0] in FILE_MODULES:
            yield Finding(module, line, f"imports {name}; only absdb.io touches files")
    for line, name in mentions(module, FILE_FUNCTIONS):
        yield Finding(module, line, f"{name}: only absdb.io touches files")
    bound = aliases(module)
    own = {node.name for node in module.tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and node.id == "open" and "open" not in {*bound, *own}:
            yield Finding(module, node.lineno, "open: only absdb.io touches files")
    for line, name in _Paths(bound).uses(module.tree):
        yield Finding(module, line, f"Path.{name}: only absdb.io touches files")


class _Paths(ast.NodeVisitor):
    """Finds methods that touch files, called on what looks like a pathlib.Path within its function.

    A Path is: what is annotated as one, made by Path(…), by `/` on a Path or by a method of one that gives a
    Path, and what any of these was assigned to or iterated from. Attributes go by their name.
    """

    def __init__(self, bound: dict[str, str]) -> None:
        self.bound = bound
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.found: list[tuple[int, str]] = []

    def uses(self, tree: ast.Module) -> list[tuple[int, str]]:
        """(line, method) of each such call, in order."""
        self.visit(tree)  # once to learn the attributes, once to judge
        self.found.clear()
        self.visit(tree)
        return self.found

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outside = set(self.names)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        for argument in arguments:
            self._bind(ast.Name(argument.arg), argument.annotation and self._annotates(argument.annotation))
        self.generic_visit(node)
        self.names = outside

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, self._is_path(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        is_path = self._annotates(node.annotation)
        self._bind(node.target, is_path)
        if is_path and isinstance(node.target, ast.Name):  # perhaps a field of a dataclass
            self.attributes.add(node.target.id)

    def visit_For(self, node: ast.For) -> None:
        match node.iter:
            case ast.Call(func=ast.Attribute(value=value, attr="iterdir" | "glob" | "rglob")):
                self._bind(node.target, self._is_path(value))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        if node.attr in PATH_METHODS and self._is_path(node.value):
            self.found.append((node.lineno, node.attr))

    def _bind(self, target: ast.expr, is_path: bool | None) -> None:
        match target:
            case ast.Name(id=name):
                self.names = self.names | {name} if is_path else self.names - {name}
            case ast.Attribute(attr=name) if is_path:
                self.attributes.add(name)

    def _annotates(self, annotation: ast.expr) -> bool:
        return any(
            dotted(part, self.bound) == "pathlib.Path" for part in ast.walk(annotation) if _named(part)
        )

    def _is_path(self, value: ast.expr) -> bool:
        if dotted(value, self.bound) == "pathlib.Path":
            return True
        match value:
            case ast.Name(id=name):
                return name in self.names
            case ast.Attribute(value=inner, attr=name):
                return name in self.attributes or (name == "parent" and self._is_path(inner))
            case ast.Call(func=ast.Attribute(value=inner, attr=name)) if name in PATH_TO_PATH:
                return self._is_path(inner)
            case ast.Call(func=function):
                return dotted(function, self.bound) in (
                    "pathlib.Path",
                    "pathlib.Path.cwd",
                    "pathlib.Path.home",
                )
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self._is_path(left) or self._is_path(right)
            case ast.IfExp(body=body, orelse=orelse):
                return self._is_path(body) or self._is_path(orelse)
        return False


def _named(node: ast.AST) -> bool:
    return isinstance(node, (ast.Name, ast.Attribute))


def libraries_stay_in_their_rooms(module: Module) -> Iterator[Finding]:
    """An import of a library that only certain rooms know."""
    for line, name in imports(module):
        library = name.split(".")[0]
        if module.room not in KNOWN_ONLY_TO.get(library, {module.room}):
            rooms = ", ".join(sorted(KNOWN_ONLY_TO[library]))
            yield Finding(module, line, f"imports {library}, which only these rooms know: {rooms}")


def only_the_clock_reads_the_time(module: Module) -> Iterator[Finding]:
    """A reading of the wall clock outside clock.py; stop watches and sleeping are free."""
    if module.room != "clock":
        for line, name in mentions(module, TIME_FUNCTIONS):
            yield Finding(module, line, f"{name}: only absdb.clock reads the time; take a Clock")


def modules_and_functions_are_short(module: Module) -> Iterator[Finding]:
    """A module or a function that has grown too long."""
    lines = len(module.source.splitlines())
    if lines > MODULE_LINES_MAX:
        yield Finding(module, 1, f"{lines} lines, at most {MODULE_LINES_MAX}")
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield Finding(
                    module, node.lineno, f"{node.name}: {lines} lines, at most {FUNCTION_LINES_MAX}"
                )


def nothing_is_hidden(module: Module) -> Iterator[Finding]:
    """Star imports, bare excepts, and errors that are caught all alike and dropped."""
    for node in ast.walk(module.tree):
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                yield Finding(module, node.lineno, "star import; name what is used")
            case ast.ExceptHandler(type=None):
                yield Finding(module, node.lineno, "bare except; name what is expected")
            case ast.ExceptHandler(type=ast.expr() as caught, body=body):
                broad = any(
                    isinstance(part, ast.Name) and part.id in ("Exception", "BaseException")
                    for part in ast.walk(caught)
                )
                dropped = all(
                    isinstance(inner, (ast.Pass, ast.Continue))
                    or (isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant))
                    for inner in body
                )
                if broad and dropped:
                    yield Finding(module, node.lineno, "every error swallowed; name what is expected")


RULES: tuple[Rule, ...] = (
    every_room_has_a_floor,
    imports_point_downstairs,
    sql_imports_point_downstairs,
    panel_models_have_no_widgets,
    facade_only_forwards,
    modules_say_what_they_are,
    modules_have_names_of_the_field,
    only_io_touches_files,
    libraries_stay_in_their_rooms,
    only_the_clock_reads_the_time,
    modules_and_functions_are_short,
    nothing_is_hidden,
)


# --- the rules on the package ---------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_package_keeps(rule):
    modules = package_modules()
    assert len(modules) > 10, "the walk over the package does not find it"
    findings = [str(finding) for module in modules for finding in rule(module)]
    assert not findings, "\n".join([f"{rule.__name__}:", *findings])


def test_every_exception_is_still_needed():
    modules = {module.path for module in package_modules()}
    assert set(OPENS_FILES) <= modules
    assert all(len(reason.split()) > 3 for reason in OPENS_FILES.values())
    assert all(path.split("/")[1].removesuffix(".py") in DOORS for path in OPENS_FILES)


def imported_by(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter imports for a statement."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    return set(re.findall(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", run.stderr, re.MULTILINE))


def test_import_is_light():
    imported = imported_by("import absdb")
    assert "absdb" in imported
    assert not imported & HEAVY


def test_imports_of_an_interpreter_are_seen():
    assert {"decimal", "json.decoder"} <= imported_by("import decimal, json")
    assert not imported_by("import decimal") & {"json", *HEAVY}


# --- the rules on samples -------------------------------------------------------------------------

FACADE = '''
"""It forwards, and does nothing else."""
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

__all__ = ["f"]
_HOME: dict[str, str] = {"f": "absdb.table"}

def __getattr__(name):
    return g(name)

def f(x):
    """It gives f."""
    from absdb.table import f as real
    return real(x)
'''
LONG = "x = 1\n" * (MODULE_LINES_MAX + 1)
LONG_FUNCTION = "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX

BREAKS: tuple[tuple[Rule, str, str, str], ...] = (
    (panel_models_have_no_widgets, "absdb/panels/model/x.py", "import ipywidgets", "imports ipywidgets"),
    (
        panel_models_have_no_widgets,
        "absdb/panels/model/x.py",
        "from absdb.panels.page import Page",
        "imports absdb.panels.page",
    ),
    (every_room_has_a_floor, "absdb/tools.py", "", "tools has no floor"),
    (every_room_has_a_floor, "absdb/tools/x.py", "", "tools has no floor"),
    (imports_point_downstairs, "absdb/wal/x.py", "import absdb.engine.commit", "imports engine, upstairs"),
    (
        imports_point_downstairs,
        "absdb/wal/x.py",
        "from absdb.engine import commit",
        "imports engine, upstairs",
    ),
    (imports_point_downstairs, "absdb/wal/x.py", "from absdb import engine", "imports engine, upstairs"),
    (
        imports_point_downstairs,
        "absdb/wal/x.py",
        "def f():\n    import absdb.sql.ddl",
        "x.py:2: wal (floor 3)",
    ),
    (imports_point_downstairs, "absdb/wal/x.py", "from absdb.pages import key", "pages, on the same floor"),
    (imports_point_downstairs, "absdb/errors.py", "from absdb.ids import Lsn", "imports ids, upstairs"),
    (
        imports_point_downstairs,
        "absdb/table.py",
        "from absdb.instance import I",
        "instance, on the same floor",
    ),
    (imports_point_downstairs, "absdb/sql/x.py", "import absdb", "imports absdb; neither the facade"),
    (imports_point_downstairs, "absdb/sql/x.py", "from absdb import connection", "imports absdb.connection"),
    (imports_point_downstairs, "absdb/sql/x.py", "from absdb.tools import y", "a room without a floor"),
    (
        imports_point_downstairs,
        "absdb/sql/x.py",
        "from absdb.testing import y",
        "absdb.testing, which is for tests",
    ),
    (imports_point_downstairs, "absdb/__init__.py", "from absdb.testing import y", "absdb.testing, which is"),
    (imports_point_downstairs, "absdb/sql/x.py", "from . import ddl", "relative import"),
    (imports_point_downstairs, "absdb/wal/x.py", "from ..engine import commit", "imports engine, upstairs"),
    (imports_point_downstairs, "absdb/wal/x.py", "import_module('absdb.sql')", "imports sql, upstairs"),
    (imports_point_downstairs, "absdb/cli/x.py", "import absdb.server.app", "server, on the same floor"),
    (sql_imports_point_downstairs, "absdb/sql/odd/x.py", "", "sql/odd has no floor"),
    (
        sql_imports_point_downstairs,
        "absdb/sql/text/x.py",
        "from absdb.sql.duck.run import y",
        "text imports sql/duck",
    ),
    (sql_imports_point_downstairs, "absdb/sql/x.py", "from absdb.sql.define import y", "imports sql/define"),
    (
        sql_imports_point_downstairs,
        "absdb/sql/duck/x.py",
        "from absdb.sql.session import y",
        "imports sql/session",
    ),
    (
        facade_only_forwards,
        "absdb/__init__.py",
        "def f(x):\n    y = x + 1\n    return y",
        "__init__.py:1: the",
    ),
    (facade_only_forwards, "absdb/__init__.py", "import os\nclass A: pass", "__init__.py:2: the facade"),
    (facade_only_forwards, "absdb/__init__.py", "x = f()", "the facade only forwards"),
    (facade_only_forwards, "absdb/__init__.py", "for x in y: pass", "the facade only forwards"),
    (modules_say_what_they_are, "absdb/wal/x.py", "x = 1", "docstring is missing"),
    (modules_say_what_they_are, "absdb/wal/x.py", '"""Writer."""', "no sentence"),
    (modules_say_what_they_are, "absdb/wal/__init__.py", "", "docstring is missing"),
    (modules_have_names_of_the_field, "absdb/wal/utils.py", "", "'utils' names nothing"),
    (modules_have_names_of_the_field, "absdb/core/wal.py", "", "'core' names nothing"),
    (only_io_touches_files, "absdb/wal/x.py", "x = open('f')", "x.py:1: open: only absdb.io"),
    (only_io_touches_files, "absdb/wal/x.py", "f(opener=open)", "open: only absdb.io"),
    (only_io_touches_files, "absdb/wal/x.py", "import os\nos.fsync(3)", "x.py:2: os.fsync"),
    (only_io_touches_files, "absdb/wal/x.py", "import os as o\no.replace('a', 'b')", "x.py:2: os.replace"),
    (only_io_touches_files, "absdb/wal/x.py", "from os import rename", "os.rename"),
    (only_io_touches_files, "absdb/wal/x.py", "import mmap", "imports mmap"),
    (only_io_touches_files, "absdb/wal/x.py", "from shutil import copy", "imports shutil.copy"),
    (only_io_touches_files, "absdb/wal/x.py", "import io\nio.open('f')", "io.open"),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "import pyarrow as pa\npa.memory_map('f')",
        "pyarrow.memory_map",
    ),
    (only_io_touches_files, "absdb/cli/x.py", "open('f')", "open: only"),
    (only_io_touches_files, "absdb/wal/x.py", "from pathlib import Path\nPath('a').unlink()", "Path.unlink"),
    (only_io_touches_files, "absdb/wal/x.py", "import pathlib\npathlib.Path('a').open()", "Path.open"),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "from pathlib import Path\ndef f(a: Path | None):\n    a.write_text('')",
        "x.py:3: Path.write_text",
    ),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "from pathlib import Path\nb = (Path('a') / 'b').resolve()\nc = b.parent\nc.rename('d')",
        "x.py:4: Path.rename",
    ),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "from pathlib import Path\nfor a in Path('a').glob('*'):\n    a.read_bytes()",
        "Path.read_bytes",
    ),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "from pathlib import Path\nclass A:\n    def f(self): self.a.replace('b')\n    a: Path",
        "x.py:3: Path.replace",
    ),
    (libraries_stay_in_their_rooms, "absdb/engine/x.py", "import duckdb", "imports duckdb, which only"),
    (libraries_stay_in_their_rooms, "absdb/table.py", "def f():\n    from duckdb import sql", "table.py:2: "),
    (libraries_stay_in_their_rooms, "absdb/versioning/x.py", "from sqlglot import exp", "imports sqlglot"),
    (libraries_stay_in_their_rooms, "absdb/table.py", "import ipywidgets as w", "these rooms know: panels"),
    (libraries_stay_in_their_rooms, "absdb/cli/x.py", "import anywidget", "imports anywidget"),
    (libraries_stay_in_their_rooms, "absdb/backup/x.py", "import httpx", "imports httpx"),
    (only_the_clock_reads_the_time, "absdb/wal/x.py", "import time\ntime.time()", "x.py:2: time.time: only"),
    (only_the_clock_reads_the_time, "absdb/wal/x.py", "from time import time_ns as n", "time.time_ns"),
    (only_the_clock_reads_the_time, "absdb/wal/x.py", "import time\nf(key=time.time_ns)", "time.time_ns"),
    (
        only_the_clock_reads_the_time,
        "absdb/wal/x.py",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "x.py:2: datetime.datetime.now",
    ),
    (
        only_the_clock_reads_the_time,
        "absdb/wal/x.py",
        "import datetime as dt\ndt.datetime.utcnow()",
        "datetime.datetime.utcnow",
    ),
    (modules_and_functions_are_short, "absdb/wal/x.py", LONG, "401 lines, at most 400"),
    (modules_and_functions_are_short, "absdb/wal/x.py", LONG_FUNCTION, "x.py:1: f: 81 lines, at most 80"),
    (nothing_is_hidden, "absdb/wal/x.py", "from os import *", "star import"),
    (nothing_is_hidden, "absdb/wal/x.py", "try:\n    f()\nexcept:\n    raise", "x.py:3: bare except"),
    (
        nothing_is_hidden,
        "absdb/wal/x.py",
        "try:\n    f()\nexcept Exception:\n    pass",
        "every error swallowed",
    ),
    (
        nothing_is_hidden,
        "absdb/wal/x.py",
        "try:\n    f()\nexcept (A, BaseException) as e:\n    ...",
        "every error",
    ),
    (
        nothing_is_hidden,
        "absdb/wal/x.py",
        "for x in y:\n  try: f()\n  except Exception: continue",
        "every error",
    ),
)

KEEPS: tuple[tuple[Rule, str, str], ...] = (
    (panel_models_have_no_widgets, "absdb/panels/model/x.py", "from absdb.panels.model.work import Job"),
    (panel_models_have_no_widgets, "absdb/panels/page.py", "import ipywidgets"),
    (every_room_has_a_floor, "absdb/wal/x.py", ""),
    (every_room_has_a_floor, "absdb/__init__.py", ""),
    (every_room_has_a_floor, "absdb/testing/x.py", ""),
    (imports_point_downstairs, "absdb/wal/x.py", "from absdb.wal.format import Record\nimport absdb.io.base"),
    (
        imports_point_downstairs,
        "absdb/instance.py",
        "from absdb.database import D\nfrom absdb.table import T",
    ),
    (imports_point_downstairs, "absdb/__init__.py", "from absdb.instance import connect"),
    (imports_point_downstairs, "absdb/testing/x.py", "from absdb.instance import connect"),
    (imports_point_downstairs, "absdb/wal/x.py", "import absdbx.engine"),
    (sql_imports_point_downstairs, "absdb/sql/define/x.py", "from absdb.sql.change.insert import y"),
    (sql_imports_point_downstairs, "absdb/sql/query/x.py", "from absdb.sql.session import y"),
    (sql_imports_point_downstairs, "absdb/cli/x.py", "from absdb.sql.define import y"),
    (
        facade_only_forwards,
        "absdb/__init__.py",
        FACADE,
    ),
    (facade_only_forwards, "absdb/wal/__init__.py", "x = f()"),
    (modules_say_what_they_are, "absdb/wal/x.py", '"""Writes records, and syncs them in groups."""'),
    (modules_have_names_of_the_field, "absdb/wal/score.py", ""),
    (only_io_touches_files, "absdb/io/x.py", "import mmap, os\nopen('f')\nos.fsync(3)"),
    (only_io_touches_files, "absdb/testing/x.py", "open('f')"),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "import os\nfs.open('f')\nos.path.join('a', 'b')\nfs.rename('a', 'b')",
    ),
    (only_io_touches_files, "absdb/wal/x.py", "from absdb import io\nio.open('f')"),
    (only_io_touches_files, "absdb/wal/x.py", "frame.rename(columns=x)\n'a'.replace('b', 'c')"),
    (
        only_io_touches_files,
        "absdb/wal/x.py",
        "from pathlib import Path\ndef f(a: Path): a.exists()\ndef g(a: str): a.replace('b', '')",
    ),
    (libraries_stay_in_their_rooms, "absdb/sql/x.py", "import duckdb, sqlglot"),
    (libraries_stay_in_their_rooms, "absdb/panels/x.py", "import anywidget, ipywidgets"),
    (libraries_stay_in_their_rooms, "absdb/objectstore/x.py", "import httpx"),
    (libraries_stay_in_their_rooms, "absdb/remote/x.py", "import httpx"),
    (only_the_clock_reads_the_time, "absdb/clock.py", "import time\ntime.time_ns()"),
    (
        only_the_clock_reads_the_time,
        "absdb/wal/x.py",
        "import time\nfrom datetime import datetime\ntime.monotonic()\ntime.perf_counter()\ntime.sleep(1)\n"
        "datetime.fromisoformat(x)\nclock.now()\nrecord.time.time()",
    ),
    (modules_and_functions_are_short, "absdb/wal/x.py", "x = 1\n" * MODULE_LINES_MAX),
    (nothing_is_hidden, "absdb/wal/x.py", "from os import path\ntry:\n    f()\nexcept KeyError:\n    pass"),
    (nothing_is_hidden, "absdb/wal/x.py", "try:\n    f()\nexcept Exception:\n    g()\n    raise"),
)


@pytest.mark.parametrize(("rule", "path", "source", "message"), BREAKS)
def test_rule_sees_a_break(rule, path, source, message):
    findings = [str(finding) for finding in rule(parse(path, source))]
    assert any(message in finding for finding in findings), findings


@pytest.mark.parametrize(("rule", "path", "source"), KEEPS)
def test_rule_lets_pass_what_keeps_it(rule, path, source):
    assert [str(finding) for finding in rule(parse(path, source))] == []


def test_every_rule_has_samples_of_both_kinds():
    assert {rule for rule, *_ in BREAKS} == {rule for rule, *_ in KEEPS} == set(RULES)
