"""Editing, completion and colours of the shell, through prompt_toolkit's own pipe in place of a keyboard."""

from __future__ import annotations

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import absdb
from absdb.cli.command import Call
from absdb.cli.results import Printing
from absdb.cli.session import opened
from absdb.cli.shell_completion import offers
from absdb.cli.shell_history import ENTRIES_KEPT, ShellHistory, history_path
from absdb.cli.shell_prompt import highlighted, prompt_of, prompt_text, ready
from absdb.cli.shell_session import Shell
from absdb.io.user_files import append_entry, last_entries
from absdb.sql.completion.names import Names
from absdb.sql.session import Session


@pytest.fixture
def shell(shop):
    """A shell on the shop, which prints nowhere."""
    with absdb.connect(shop) as instance:
        main = instance["main"]
        main.create_table("Order Lines", {"id": "int64", "select": "string"}, key="id")
        main.create_schema("sales")
        main.create_table("sales.deals", {"id": "int64", "amount": "float64"}, key="id")
    with opened(Call(str(shop)), write=True) as instance, Session(instance.scope("main")) as session:
        yield Shell(instance, session, Call(), Printing(lambda data: None, lambda text: None))


def typed(shell: Shell, keys: str, history: ShellHistory | None = None) -> str:
    """What comes of these keys."""
    with create_pipe_input() as pipe:
        pipe.send_text(keys)
        kept = history or ShellHistory(None, print)
        return prompt_of(shell, kept, colour=False, input=pipe, output=DummyOutput())()


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("SELECT 1;\r", "SELECT 1;"),
        ("SELECT 1\r+ 1\r;\r", "SELECT 1\n+ 1\n;"),
        ("SELECT ';\r';\r", "SELECT ';\n';"),
        ("/* ;\r*/ SELECT 1;\r", "/* ;\n*/ SELECT 1;"),
        ("-- a;\rSELECT 1;\r", "-- a;\nSELECT 1;"),
        ("  SELECT\r1;\r", "  SELECT\n  1;"),
        ("SELECT 1;\x1b\r2;\r", "SELECT 1;\n2;"),
        (".tables\r", ".tables"),
        ("quit\r", "quit"),
        ("\r", ""),
    ],
)
def test_enter_ends_what_is_whole(shell, keys, text):
    assert typed(shell, keys) == text


def test_ctrl_c_and_ctrl_d(shell):
    with pytest.raises(KeyboardInterrupt):
        typed(shell, "SELECT 1\r\x03")
    with pytest.raises(EOFError):
        typed(shell, "\x04")


def test_history_goes_on_in_the_next_session(shell, tmp_path, monkeypatch):
    file = tmp_path / "state" / "absdb" / "history"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ABSDB_HISTORY", raising=False)
    assert history_path() == str(file)
    told: list[str] = []
    first = ShellHistory(history_path(), told.append)
    for keys in ("SELECT 1\r;\r", " SELECT 'secret';\r", "SELECT 2;\r", "SELECT 2;\r"):
        typed(shell, keys, first)
    assert file.read_text() == '"SELECT 1\\n;"\n"SELECT 2;"\n'
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(ShellHistory(history_path(), told.append).load_history_strings()) == [
        "SELECT 2;",
        "SELECT 1\n;",
    ]
    assert told == []


def test_a_history_that_cannot_be_kept_is_told_once(shell, tmp_path):
    (tmp_path / "file").write_text("")
    told: list[str] = []
    history = ShellHistory(str(tmp_path / "file" / "history"), told.append)
    typed(shell, "SELECT 1;\r", history)
    typed(shell, "SELECT 2;\r", history)
    assert len(told) == 1
    assert told[0].startswith("the history is not kept: ")


def test_a_long_history_is_cut(tmp_path, monkeypatch):
    file = tmp_path / "history"
    file.write_text("".join(f'"{number}"\n' for number in range(25)) + "no entry\n")
    assert last_entries(str(file), 20)[-2:] == ["23", "24"]
    assert len(file.read_text().splitlines()) == 26
    assert last_entries(str(file), 10) == [str(number) for number in range(16, 25)]
    append_entry(str(file), "new")
    assert file.read_text().splitlines() == [*(f'"{number}"' for number in range(16, 25)), '"new"']
    assert [path.name for path in tmp_path.iterdir()] == ["history"]
    assert ENTRIES_KEPT > 1000
    monkeypatch.setenv("ABSDB_HISTORY", "")
    assert history_path() is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM ord▮", ['"Order Lines"', "orders"]),
        ("SELECT * FROM ▮", ['"Order Lines"', "customers", "orders", "main", "staging", "sales"]),
        ("SELECT * FROM orders WHERE st▮", ["status"]),
        ("SELECT st▮ FROM orders", ["status"]),
        ("SELECT * FROM orders WHE▮", ["WHEN", "WHERE"]),
        ("SELECT ▮ FROM customers c", ["id", "name", "c", '"Order Lines"', "customers", "orders"]),
        ("SELECT o.▮ FROM orders o", ["id", "status", "total"]),
        ("SELECT orders.t▮ FROM orders", ["total"]),
        ("FROM staging.o▮", ["orders"]),
        ("FROM sales.▮", ["deals"]),
        ("FROM main.sales.▮", ["deals"]),
        ("SELECT d.a▮ FROM main.sales.deals d", ["amount"]),
        ('SELECT l.▮ FROM "Order Lines" AS l', ["id", '"select"']),
        ("USE st▮", ["staging"]),
        ("MERGE DATABASE st▮", ["staging"]),
        ("MERGE DATABASE staging INTO m▮", ["main"]),
        ("MERGE DATABASE staging INTO main DRY RU▮", ["RUN"]),
        ("CREATE DATABASE x BRANCH FROM ▮", ["main", "staging", "sales"]),
        ("FROM orders AT (SNAPSHOT => ▮", ["'before'"]),
        ("FROM orders AT (SNAPSHOT => 'be▮", ["before"]),
        ("DROP SNAPSHOT ▮", ["before"]),
        ("SELECT 'sta▮", []),
        ("SELECT 1 -- sta▮", []),
        ("selec▮", ["select"]),
        ("SELEC▮", ["SELECT"]),
        ("FROM absdb_sn▮", ["absdb_snapshots"]),
        ("SELECT 1; FROM cust▮", ["customers"]),
        (".b▮", [".branch"]),
        (".use ▮", ["main", "staging"]),
        (".diff staging cus▮", ["customers"]),
        (".diff be▮", ["before"]),
        (".at ▮", ["before"]),
        (".mode js▮", ["json", "jsonl"]),
        (".timer o▮", ["on", "off"]),
        (".help us▮", ["use"]),
        (".tables st▮", ["staging"]),
        (".nothing x▮", []),
    ],
)
def test_completion(shell, text, expected):
    before, _, after = text.partition("▮")
    found = [offer.text for offer in offers(before, after, Names(shell.session))]
    assert found[: max(len(expected), 1)] == expected


def test_completion_survives_what_was_dropped_meanwhile(shell):
    names = Names(shell.session)
    shell.run(".use staging")
    shell.opened.instance.drop_database("staging")
    assert offers("SELECT ", "", names) == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'a' AS \"b\" -- c\nFROM x WHERE y = $z + 1.5",
        "SELECT 'open\n;",
        "/* open",
        ".use main",
        "",
        'a "open',
    ],
)
def test_colours_change_no_text(text):
    assert "".join(piece for _, piece in highlighted(text)) == text


def test_colours():
    styles = {piece: style for style, piece in highlighted("SELECT 'a', 1 -- c")}
    assert styles["SELECT"] == "class:keyword"
    assert styles["'a'"] == "class:string"
    assert styles["1"] == "class:number"


def test_prompt(shell):
    def shown() -> str:
        return "".join(part[1] for part in prompt_text(shell))

    assert shown() == "shop/main> "
    shell.run(".use main.sales")
    assert shown() == "shop/main.sales> "
    shell.run("USE staging; BEGIN;")
    assert shown() == "shop/staging*> "
    shell.run("ROLLBACK;")
    shell.run(".use main")
    shell.run(".at before")
    assert shown().startswith("shop/main @ 0/")


def test_what_is_ready():
    assert ready("SELECT 1; -- done")
    assert ready("SELECT 'a\0';")  # which no further line makes right
    assert not ready("SELECT 1")
    assert not ready("SELECT $$;")
