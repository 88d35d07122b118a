"""The plugin for pytest, in runs of pytest: a branch a test, sources, markers, workers, and what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import absdb
from absdb.instance import connect
from absdb.pytest_plugin.prepared import key_of

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("imports_stay")

ROOT = Path(__file__).parents[1]
PLUGIN = ("-p", "absdb.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers")
QUICK = ("-p", "no:nbval", "-p", "no:hypothesispytest", "-p", "no:anyio")  # no time for other plugins
SOURCE = """
import pytest

@pytest.fixture(scope="session")
def absdb_source():
    def fill(shop):
        main = shop["main"]
        main.create_table("orders", [{"id": 1, "total": 10.0}, {"id": 2, "total": 20.0}], key="id")
        main.snapshot("two")
        main["orders"].insert({"id": 3, "total": 30.0})
        main.branch("staging", snapshot="two")
    return fill
"""


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Runs tests given as text, with SOURCE as conftest.py unless there is one, and gives the result."""

    def run(text: str, *arguments: str, conftest: str = SOURCE) -> pytest.RunResult:
        pytester.makeconftest(conftest)
        pytester.makepyfile(text)
        return pytester.runpytest_inprocess(*PLUGIN, *arguments)

    return run


def said(result: pytest.RunResult) -> str:
    return result.stdout.str()


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Another process has the instance open for writing; its id."""
    code = f"import absdb\nwith absdb.connect({str(path)!r}): print('open', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield holder.pid
        holder.communicate("\n")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The directory of an instance, closed."""
    with connect(tmp_path / "shop") as shop:
        shop["main"].create_table("goods", [{"id": 1}], key="id")
    return tmp_path / "shop"


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


# -- a branch of one's own


def test_what_a_test_does_to_its_branch_no_other_test_sees(run) -> None:
    run("""
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        def test_all_are_there(absdb_branch, absdb_instance, time):
            assert absdb_branch["orders"].count() == 3
            assert sorted(absdb_instance) == ["main", "staging", absdb_branch.name]
            absdb_branch["orders"].truncate()
            absdb_branch.branch("beside").protect()
            absdb_branch.rename("renamed")
            absdb_branch.protect()

        def test_nothing_is_left(absdb_instance):
            assert sorted(absdb_instance) == ["main", "staging"]
            assert absdb_instance["main"]["orders"].count() == 3

        def test_a_branch_that_a_test_dropped_is_gone(absdb_branch):
            absdb_branch.drop()
        """).assert_outcomes(passed=4)


def test_the_branch_starts_as_prepared_whatever_was_written_to_the_instance(run) -> None:
    run("""
        def test_one(absdb_instance):
            absdb_instance["main"]["orders"].delete(1)

        def test_two(absdb_branch, absdb_instance):
            assert absdb_branch["orders"].count() == 3
            change = absdb_branch.diff(absdb_instance["main"].at(snapshot="prepared"))
            assert change.summary().empty
        """).assert_outcomes(passed=2)


def test_the_branch_is_named_after_the_test_as_far_as_databases_can_be(run) -> None:
    run("""
        import pytest

        def test_plain(absdb_branch):
            assert absdb_branch.name == "test_plain"

        @pytest.mark.parametrize("text", ["a/b@c\\n"], ids=["a/b@c "])
        def test_odd(absdb_branch, text):
            assert absdb_branch.name == "test_odd[a-b-c-]"

        class Test:
            def test_taken(self, absdb_branch, absdb_instance):
                assert absdb_branch.name == "test_taken-2"

        @pytest.fixture(scope="module", autouse=True)
        def taken(absdb_instance):
            absdb_instance.create_database("test_taken")
        """).assert_outcomes(passed=3)


def test_without_a_source_the_instance_is_empty(run) -> None:
    run(
        """
        def test_empty(absdb_branch, absdb_instance):
            assert list(absdb_instance) == ["main", "test_empty"]
            absdb_branch.create_table("orders", {"id": "int64"}, key="id")
        """,
        conftest="",
    ).assert_outcomes(passed=1)


def test_an_instance_of_the_users_own_is_branched_as_well(run) -> None:
    conftest = """
        import absdb, pytest

        @pytest.fixture(scope="session")
        def absdb_instance():
            with absdb.connect(":memory:") as shop:
                shop["main"].create_table("mine", {"id": "int64"}, key="id")
                yield shop
        """
    run("def test_mine(absdb_branch): assert 'mine' in absdb_branch", conftest=conftest).assert_outcomes(
        passed=1
    )


def test_settings_and_clock_are_the_users(run) -> None:
    conftest = SOURCE + (
        "import absdb\n\n"
        "@pytest.fixture(scope='session')\n"
        "def absdb_settings():\n"
        "    return {'clock': absdb.ManualClock('2026-04-04 08:00Z'), 'author': 'ada'}\n"
    )
    run(
        """
        def test_clock(absdb_branch):
            absdb_branch["orders"].truncate()
            newest = absdb_branch.log(limit=1)
            assert (str(newest["time"][0])[:19], newest["author"][0]) == ("2026-04-04 08:00:00", "ada")
        """,
        conftest=conftest,
    ).assert_outcomes(passed=1)


# -- what a test asks for


def test_markers_choose_source_database_and_point(run, shop: Path) -> None:
    conftest = SOURCE + (
        "@pytest.fixture(scope='session')\n"
        "def users():\n"
        "    return lambda shop: shop['main'].create_table('users', {'id': 'int64'}, key='id')\n\n"
        f"@pytest.fixture(scope='session')\ndef goods():\n    return {str(shop)!r}\n"
    )
    run(
        f"""
        import datetime as dt
        import pytest

        @pytest.mark.absdb(at="two")
        class Test:
            def test_snapshot(self, absdb_branch):
                assert absdb_branch["orders"].count() == 2

            @pytest.mark.absdb(database="staging")
            def test_snapshot_of_another_database(self, absdb_branch):
                absdb_branch["orders"].count()

            @pytest.mark.absdb(database="staging", at="prepared")
            def test_the_nearest_wins(self, absdb_branch):
                assert absdb_branch["orders"].count() == 2

        @pytest.mark.absdb(at=dt.datetime(2125, 1, 1))
        def test_future(absdb_branch): pass

        @pytest.mark.absdb(source="users")
        def test_fixture(absdb_branch, absdb_instance):
            assert "users" in absdb_branch and "orders" not in absdb_branch
            absdb_branch.drop()

        @pytest.mark.absdb(source="users")
        def test_the_instance_is_shared(absdb_instance):
            assert list(absdb_instance) == ["main"]

        @pytest.mark.absdb(source="goods")
        def test_fixture_of_a_directory(absdb_branch):
            assert "goods" in absdb_branch

        @pytest.mark.absdb(source={str(shop)!r})
        def test_directory(absdb_branch):
            assert "goods" in absdb_branch

        def test_none(absdb_branch):
            assert absdb_branch["orders"].count() == 3
        """,
        conftest=conftest,
    ).assert_outcomes(passed=7, errors=2)


def test_option_and_ini_file_choose_for_tests_that_do_not(pytester: pytest.Pytester, shop: Path) -> None:
    with connect(shop) as instance:
        instance["main"].snapshot("one")
        instance["main"].branch("sales")["goods"].insert({"id": 2})
    pytester.makeini("[pytest]\nabsdb_source = shop\nabsdb_database = sales\nabsdb_at = prepared")
    pytester.makepyfile("def test_two(absdb_branch): assert absdb_branch['goods'].count() == 2")
    (pytester.path / "shop").symlink_to(shop)
    pytester.runpytest_inprocess(*PLUGIN).assert_outcomes(passed=1)

    pytester.makeini("[pytest]\nabsdb_source = nowhere\nabsdb_at = one")
    pytester.makepyfile("def test_one(absdb_branch): assert absdb_branch['goods'].count() == 1")
    pytester.runpytest_inprocess(*PLUGIN, "--absdb-source", str(shop)).assert_outcomes(passed=1)


def test_a_source_that_is_a_directory_stays_as_it_is(run, shop: Path) -> None:
    before = files_of(shop)
    run(
        f"""
        import os
        from pathlib import Path

        def test_change(absdb_branch, absdb_instance):
            absdb_branch["goods"].insert([{{"id": n}} for n in range(2, 1000)])
            absdb_instance["main"]["goods"].truncate()
            absdb_instance.checkpoint()
            page = next(Path({str(shop)!r}, "pages").glob("*.arrow"))
            assert os.path.samefile(page, Path(absdb_instance.path, "pages", page.name))
        """,
        "--absdb-source",
        str(shop),
        conftest="",
    ).assert_outcomes(passed=1)
    assert files_of(shop) == before
    with connect(shop) as instance:
        assert instance["main"]["goods"].count() == 1
        assert instance.check().empty


# -- what it says


def test_a_source_that_another_process_has_open_names_the_process(run, shop: Path) -> None:
    with held(shop) as pid:
        result = run("def test_x(absdb_branch): pass", "--absdb-source", str(shop), conftest="")
    result.assert_outcomes(errors=1)
    assert f"absdb: {shop} is locked by process {pid} on " in said(result)
    assert "tests work on a copy" in said(result)
    assert "Traceback" not in said(result)
    assert "During handling" not in said(result)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ('source="nothing"', "there is no source 'nothing': no fixture has that name, and"),
        ('source="no/thing"', r"there is no source 'no/thing': \S+/no/thing is not the directory of an"),
        ('source="number"', "a source is a function that fills an instance, or a directory, but not 5"),
        ('at="never"', "'never' is no LSN, no time and no snapshot of database 'main'"),
        ('at="0/99999999"', "InvalidInputError|LSN"),
        ('database="mian"', r"there is no database 'mian'\n  hint: did you mean 'main'"),
    ],
)
def test_what_is_not_there_is_named_without_a_traceback(run, marker: str, message: str) -> None:
    conftest = SOURCE + "\n@pytest.fixture(scope='session')\ndef number(): return 5\n"
    result = run(
        f"import pytest\n@pytest.mark.absdb({marker})\ndef test_x(absdb_branch): pass", conftest=conftest
    )
    result.assert_outcomes(errors=1)
    assert re.search(f"absdb: .*{message}", said(result))
    assert "Traceback" not in said(result)


def test_a_marker_that_says_something_else_is_refused(run) -> None:
    result = run("import pytest\n@pytest.mark.absdb('shop', sauce=1)\ndef test_x(absdb_branch): pass")
    result.assert_outcomes(errors=1)
    assert "test_x: @pytest.mark.absdb does not take 'shop', sauce" in said(result)


def test_what_goes_wrong_while_preparing_is_told_in_full(run) -> None:
    conftest = SOURCE.replace("return fill", "return lambda shop: shop['main']['orders']")
    result = run("def test_x(absdb_branch): pass", conftest=conftest)
    result.assert_outcomes(errors=1)
    assert "NotFoundError" in said(result)
    assert "shop['main']['orders']" in said(result)


def test_a_second_absdb_source_is_refused_rather_than_left_out(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SOURCE)
    below = pytester.mkpydir("below")
    (below / "conftest.py").write_text(
        SOURCE.replace("orders", "invoices").replace("absdb_source", "absdb_source", 1)
    )
    for directory, argument in ((pytester.path, "absdb_branch"), (below, "absdb_instance")):
        (directory / f"test_{directory.name}.py").write_text(f"def test_x({argument}): pass")
    result = pytester.runpytest_inprocess(*PLUGIN)
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] == 1
    assert "this test asks for the source absdb_source.<locals>.fill, but its instance is of" in said(result)


def test_a_marker_that_comes_too_late_is_refused(run) -> None:
    result = run("""
        import pytest

        @pytest.mark.absdb(source="elsewhere")
        def test_x(request):
            request.getfixturevalue("absdb_branch")
        """)
    result.assert_outcomes(failed=1)
    assert "this test asks for the source 'elsewhere'" in said(result)


# -- branches that are kept

FAILS = """
import pytest

def test_fails(absdb_branch):
    absdb_branch["orders"].delete(1)
    assert absdb_branch["orders"].count() == 3

def test_passes(absdb_branch): pass

@pytest.mark.xfail
def test_is_known_to_fail(absdb_branch): assert False

@pytest.fixture
def broken(absdb_branch): raise RuntimeError

def test_has_no_fixture(broken): pass
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_the_branch_of_a_failed_test_is_kept_on_request_and_can_be_opened(
    run, pytester: pytest.Pytester, workers: int
) -> None:
    if workers:
        pytester.makeconftest(SOURCE)
        pytester.makepyfile(FAILS)
        result = pytester.runpytest_subprocess(*PLUGIN, *QUICK, "--absdb-keep-failed", "-n", str(workers))
    else:
        result = run(FAILS, "--absdb-keep-failed")
    result.assert_outcomes(failed=1, passed=1, xfailed=1, errors=1)
    commands = re.findall(r"absdb\.connect\('(.+)'\)\['(.+)'\]", said(result))
    assert sorted(name for _, name in commands) == ["test_fails", "test_has_no_fixture"]
    for path, name in commands:
        with absdb.connect(path, create=False) as kept:
            assert kept[name]["orders"].count() == (2 if name == "test_fails" else 3)
            assert not {"test_passes", "test_is_known_to_fail"} & set(kept)


def test_the_branch_of_a_failed_test_goes_if_nobody_asked_for_it(run, pytester: pytest.Pytester) -> None:
    result = run(FAILS, "--basetemp", "kept")
    assert "branch kept" not in said(result)
    with absdb.connect(pytester.path / "kept/absdb0/instance-0", create=False) as left:
        assert list(left) == ["main", "staging"]


# -- several processes


def test_workers_prepare_once_and_work_apart(pytester: pytest.Pytester) -> None:
    told = pytester.path / "told"
    conftest = SOURCE.replace(
        "    def fill(shop):\n",
        f"    def fill(shop):\n        with open({str(told)!r}, 'a') as told: print(shop.path, file=told)\n",
    )
    pytester.makeconftest(conftest)
    pytester.makepyfile("""
        import os, time
        import pytest

        @pytest.mark.parametrize("n", range(20))
        def test_many(absdb_branch, absdb_instance, n):
            time.sleep(0.02)
            assert os.environ["PYTEST_XDIST_WORKER"] in absdb_instance.path
            assert absdb_branch["orders"].count() == 3
            absdb_branch["orders"].truncate()
            absdb_instance["main"]["orders"].upsert({"id": 10 + n})
        """)
    result = pytester.runpytest_subprocess(*PLUGIN, *QUICK, "-n", "2")
    result.assert_outcomes(passed=20)
    assert len(told.read_text().splitlines()) == 1


def test_functions_that_may_prepare_something_else_are_told_apart() -> None:
    def filling(value: object):
        return lambda shop: value

    assert key_of("a", filling(1)) == key_of("a", filling(1))
    keys = [
        key_of("a", filling(1)),
        key_of("b", filling(1)),
        key_of("a", filling(2)),
        key_of("a", lambda shop: 1),
    ]
    assert len({*keys}) == 4
    assert None not in keys
    assert key_of("a", filling([1])) is None
    assert key_of("a", filling) is not None
    assert key_of("a", "text".strip) is None


# -- what pytest loads


def in_a_process(code: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    return run.stdout


def test_loading_it_imports_pytest_and_the_standard_library_only() -> None:
    printed = in_a_process(
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import absdb.pytest_plugin.entry_point, absdb.pytest_plugin.fixtures, absdb.pytest_plugin.hooks\n"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('absdb.')))"
    )
    libraries, modules = (line.split() for line in printed.splitlines())
    assert set(libraries) - sys.stdlib_module_names - {"_pytest"} == {"absdb"}
    ours = {name for name in modules if not name.startswith("absdb.pytest_plugin")}
    assert ours == {"absdb.clock", "absdb.errors", "absdb.ids"}


def test_unused_it_does_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import sys\ndef test_x(): assert not {'absdb.instance', 'pyarrow'} & set(sys.modules)"
    )
    result = pytester.runpytest_subprocess(*PLUGIN, *QUICK, "--basetemp", "base")
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "base").exists()


@pytest.mark.parametrize("named", [(), PLUGIN[:2]], ids=["found", "named as well"])
def test_the_installed_package_brings_it_and_naming_it_again_is_harmless(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, named: tuple[str, ...]
) -> None:
    section = (ROOT / "pyproject.toml").read_text().partition("[project.entry-points.pytest11]\n")[2]
    installed = pytester.mkdir("site") / "absdb_as_installed-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: absdb-as-installed\nVersion: 1\n")
    entry = section.partition("\n\n")[0].replace('"', "")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{entry}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed.parent), str(ROOT)]))
    pytester.makeconftest('pytest_plugins = ["absdb.pytest_plugin"]' if named else "")
    pytester.makepyfile("def test_x(absdb_source, absdb_settings): assert absdb_source is None")
    pytester.runpytest_subprocess(*QUICK, *named).assert_outcomes(passed=1)
    if not named:
        result = pytester.runpytest_subprocess(*QUICK, "-p", "no:absdb")
        result.assert_outcomes(errors=1)
        assert "fixture 'absdb_source' not found" in said(result)
