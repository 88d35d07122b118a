"""The page about tutorials and tests says what is so, and what it needs is shipped: its examples run as shown."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

import absdb
from absdb.testing import sanitizer
from absdb.testing.lsn_placeholders import LsnPlaceholders

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("imports_stay")

ROOT = Path(absdb.__file__).parents[1]
PAGE = (ROOT / "absdb/testing/TUTORIALS.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    language: str
    file: str
    text: str


BLOCKS = [
    Block(*found) for found in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]


def test_python_prints_what_is_shown() -> None:
    namespace: dict[str, object] = {}
    printed = ""
    told = 0
    with pd.option_context("display.width", 100):
        for block in BLOCKS:
            if block.language == "python" and not block.file:
                assert not printed
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile(block.text, "TUTORIALS.md", "exec"), namespace)
                printed = out.getvalue()
            elif block.language == "text":
                assert printed == block.text
                printed, told = "", told + 1
    assert told == 3
    namespace["shop"].close()  # type: ignore[attr-defined]


def test_the_tests_that_it_shows_pass(pytester: pytest.Pytester) -> None:
    files = [block for block in BLOCKS if block.file]
    assert [block.file for block in files] == ["conftest.py", "test_orders.py", "pytest.ini"]
    for block in files:
        (pytester.path / block.file).write_text(block.text)
    result = pytester.runpytest_inprocess("-p", "absdb.pytest_plugin", "--strict-markers")
    result.assert_outcomes(passed=5)


def test_every_option_fixture_and_line_of_the_ini_file_is_described(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("-p", "absdb.pytest_plugin", "--help").stdout.str()
    shown += pytester.runpytest_inprocess("-p", "absdb.pytest_plugin", "--fixtures").stdout.str()
    names = set(re.findall(r"--absdb-[a-z-]+|\babsdb_[a-z]+", shown))
    assert len(names) > 6
    assert {name for name in names if name not in PAGE} == set()


# -- what it tells of


def sanitized(text: str) -> str:
    """The text as nbval compares it."""
    from nbval.plugin import get_sanitize_patterns

    for regex, replace in get_sanitize_patterns(Path(sanitizer.path()).read_text()):
        text = re.sub(regex, replace, text)
    return text


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("<Database main @ 0/3491856, 5 tables>", "<Database main @ LSN, 5 tables>"),
        ("<Instance /tmp/tmpx3_a/shop @ 1/22, 1 database>", "<Instance TEMPORARY @ LSN, 1 database>"),
        ("absdb.connect('/private/var/folders/a/b')", "absdb.connect('TEMPORARY')"),
        ("pages/0000000000000001-03765f1f.arrow", "pages/PAGEFILE"),
        ("locked by process 4711 on host-1.local since", "locked by process ID since"),
        ("this process (pid 12) since", "this process (pid ID) since"),
        ("3 rows, 0.5 s, 2014-01-06 08:00Z, 1/2", "3 rows, 0.5 s, 2014-01-06 08:00Z, 1/2"),
    ],
)
def test_nbval_compares_without_what_may_differ(text: str, compared: str) -> None:
    assert sanitized(text) == compared


def test_the_path_of_the_sanitizer_is_printed() -> None:
    command = [sys.executable, "-m", "absdb.testing.sanitizer"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed == f"{sanitizer.path()}\n"
    assert "python -m absdb.testing.sanitizer" in PAGE


def test_placeholders_tell_lsns_apart_and_leave_values_alone() -> None:
    lsns = LsnPlaceholders()
    frame = pd.DataFrame(
        {"lsn": ["0/20480", "0/4096", "0/20480"], "n": [1, 2, 3], "text": ["0/4096 x", None, "1"]}
    )
    assert lsns(frame)["lsn"].tolist() == ["LSN 1", "LSN 2", "LSN 1"]
    assert lsns(frame.head(0)).empty
    assert lsns(frame).drop(columns="lsn").equals(frame.drop(columns="lsn"))
    assert frame["lsn"].tolist() == ["0/20480", "0/4096", "0/20480"]
    assert lsns("from 0/4096 to 0/8192, in /data/0/4096") == "from LSN 2 to LSN 3, in /data/0/4096"
    shown = lsns(absdb.Lsn(4096))
    assert (str(shown), repr(shown), shown._repr_html_()) == ("LSN 2", "Lsn('LSN 2')", "<code>LSN 2</code>")


def test_placeholders_are_in_the_html_of_a_notebook_too() -> None:
    with absdb.connect(":memory:") as shop:
        shop["main"].create_table("orders", {"id": "int64"}, key="id")
        html = LsnPlaceholders()(shop)._repr_html_()
        assert str(shop.lsn) in shop._repr_html_()
        assert str(shop.lsn) not in html
        assert "@ LSN 1 · just now" in html
