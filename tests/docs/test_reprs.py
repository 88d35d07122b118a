"""What a notebook shows when a cell ends with an instance, a database, a table or a diff."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import absdb
from absdb.reprs import cell


@pytest.fixture
def main() -> Iterator[absdb.Database]:
    with absdb.connect(":memory:") as shop:
        yield shop["main"]


def test_a_table_says_how_many_rows_it_has_and_how_many_are_not_shown(main: absdb.Database) -> None:
    orders = main.create_table("orders", [{"id": i, "status": "new"} for i in range(1234)], key="id")
    html = orders._repr_html_()
    assert "1,234 rows" in html
    assert "… and 1,224 more" in html


def test_a_table_without_rows_shows_its_columns_and_types(main: absdb.Database) -> None:
    html = main.create_table("orders", {"id": "int64", "status": "string"}, key="id")._repr_html_()
    for text in ("id", "int64", "status", "string", "0 rows"):
        assert text in html


def test_numbers_stand_on_the_right_and_text_on_the_left(main: absdb.Database) -> None:
    html = main.create_table(
        "orders", [{"id": 1, "status": None}, {"id": 2, "status": "a"}], key="id"
    )._repr_html_()
    assert html.count("text-align:right") == html.count("text-align:left") == 3


def test_a_database_shows_comments_only_if_there_are_some(main: absdb.Database) -> None:
    main.create_table("orders", {"id": "int64"}, key="id")
    assert "comment" not in main._repr_html_()
    main.create_table("users", {"id": "int64"}, key="id", comment="who <buys>")
    assert "who &lt;buys&gt;" in main._repr_html_()


def test_plain_texts_are_one_line_that_says_enough_for_a_log(main: absdb.Database) -> None:
    orders = main.create_table("orders", [{"id": 1}], key="id")
    assert repr(main) == f"<Database main @ {main.lsn}, 1 table>"
    assert repr(orders) == f"<Table orders of main @ {main.lsn}, 1 column, key id>"


def test_floats_are_shown_without_the_noise_of_binary_fractions() -> None:
    assert [cell(x) for x in (10.357019999999999, 0.1 + 0.2, 41.0, 1e-9, float("nan"), 1e300)] == [
        "10.35702",
        "0.3",
        "41.0",
        "1e-09",
        "nan",
        "1e+300",
    ]
