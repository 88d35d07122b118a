"""What Tab offers in cells of our magics, through IPython's own completer."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter

import absdb


def offered(shell, text: str) -> list[str]:
    """What may come in the place of ▮, best first; nothing that the completer of Python finds."""
    at = text.index("▮")
    with provisionalcompleter():
        found = list(shell.Completer.completions(text.replace("▮", ""), at))
    return [each.text for each in found if each._origin == "absdb"]


@pytest.fixture
def catalog(cells, shop: absdb.Instance):
    """A branch with a table of its own, beside what the shop has."""
    side = shop["main"].branch("side")
    side.create_table("only here", {"a column": "int64", "b": "int64"}, key="b")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("%%sql\nSELECT * FROM ord▮", ["orders"]),
        ("%%absdb\nSELECT sta▮ FROM orders", ["status"]),
        ("%%sql\nSELECT o.▮ FROM orders o", ["id", "status", "total"]),
        ("%%sql\nSELECT 1;\nUPDATE ord▮", ["orders"]),
        ("%%sql\nfound << SELECT * FROM ord▮", ["orders"]),
        ("%%sql --database side found <<\nFROM onl▮", ['"only here"']),
        ('%%absdb --database=side\nSELECT a▮ FROM "only here"', ['"a column"']),
        ("%%sql\nFROM side.▮", ['"only here"', "orders"]),
        ("%%sql\nUSE si▮", ["side"]),
        ("%%sql\nFROM orders AT (SNAPSHOT => 'bef▮", ["before"]),
        ("%%sql\nfro▮", ["from"]),
        ("%%sql\nSELECT * FROM orders\nWHE▮", ["WHEN", "WHERE"]),
        ("%sql FROM ord▮", ["orders"]),
        ("found = %sql FROM ord▮", ["orders"]),
        ("%sql --database side FROM onl▮", ['"only here"']),
        ("x = 1\n    %sql SELECT sta▮ FROM orders", ["status"]),
        ("%%branch\n%sql UPDATE ord▮", ["orders"]),
        ("%%branch side\n%%sql\nUPDATE ord▮", ["orders"]),
        ("%%absdb --database ▮", ["main", "side"]),
        ('%%absdb --database "si▮', ["side"]),
        ("%sql --at be▮", ["before"]),
        ("%%sql --at=▮", ["before"]),
        ("%%absdb --p▮", ["pandas", "polars"]),
        ("%absdb --re▮", ["read-only"]),
        ("%%branch try --k▮", ["keep"]),
        ("%%branch try --from ▮", ["main", "side"]),
        ("%absdb sh▮", ["shop"]),
        ("%%sql\nFROM orders WHERE id = $wan▮", ["wanted"]),
        ("%%sql\nFROM orders WHERE id = {{wan▮", ["wanted"]),
    ],
)
def test_what_comes_next_is_offered(catalog, shell, text, first):
    shell.push({"wanted": 1, "wander": len})
    assert offered(shell, text)[: len(first)] == first


@pytest.mark.parametrize(
    "text",
    [
        "ord▮",
        "import ord▮",
        "x = 'FROM ord▮",
        "%%sql\nSELECT 'ord▮",
        "%%sql\nSELECT 1 -- ord▮",
        "%%timeit\nord▮",
        "%%branch\nord▮",
        "%undo ord▮",
        "%%sql --database nowhere\nFROM ord▮",
        "%%sql --nothing\nFROM ord▮",
    ],
)
def test_elsewhere_nothing_is_offered(catalog, shell, text):
    assert offered(shell, text) == []


def test_nothing_is_offered_where_nothing_is_attached_or_loaded(run, shell):
    assert offered(shell, "%%sql\nFROM ▮") == []
    run("%absdb shop")
    run("%sql CREATE TABLE t (a INTEGER)")
    assert offered(shell, "%%sql\nFROM ▮")[0] == "t"
    run("%unload_ext absdb")
    assert offered(shell, "%%sql\nFROM ▮") == []


def test_completion_goes_on_with_other_completers_in_python(cells, shell):
    with provisionalcompleter():
        found = {each.text for each in shell.Completer.completions("%%branch\nprin", 13)}
    assert "print" in found
