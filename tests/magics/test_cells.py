"""SQL in cells: what a cell gives, what it binds, where it reads, and how it fails."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pyarrow as pa
import pytest

import absdb
from absdb.sql.query.result import Result

MISSPELT = """\
UnknownNameError: there is no table 'oders' in database 'main'
  LINE 3: FROM oders
               ^
  hint: did you mean 'orders'?
"""


def test_a_query_gives_a_frame_as_the_value_of_the_cell(cells):
    ran = cells("%%absdb\nSELECT status, sum(total) AS total\nFROM orders GROUP BY ALL ORDER BY ALL")
    assert isinstance(ran.value, pd.DataFrame)
    assert ran.value.to_dict("list") == {"status": ["new", "paid"], "total": [40.0, 20.0]}
    assert cells("_").value is ran.value


def test_other_statements_show_what_their_result_says(cells):
    changed = cells("%%sql\nUPDATE orders SET total = 0 WHERE id < 3")
    assert isinstance(changed.value, Result)
    assert changed.value.rowcount == 2
    assert "CREATE TABLE" in repr(cells("%sql CREATE TABLE t (a INTEGER)").value)
    returned = cells("%sql DELETE FROM orders WHERE id = 3 RETURNING id").value
    assert returned["id"].tolist() == [3]


def test_a_cell_of_several_statements_gives_the_last(cells):
    ran = cells("%%sql\nDELETE FROM orders WHERE id = 1;\n-- SELECT 1;\nSELECT count(*) AS n FROM orders;\n")
    assert ran.value["n"].tolist() == [2]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("%%absdb found <<\nFROM orders WHERE id = 2", False),
        ("%%absdb --database main found << --pandas\nFROM orders WHERE id = 2", False),
        ("%%sql\nfound << FROM orders WHERE id = 2", False),
        ("%%sql\n\nfound <<\nFROM orders\nWHERE id = 2", False),
        ("%%sql found = <<\nFROM orders WHERE id = 2", True),
        ("%sql found << FROM orders WHERE id = 2", False),
        ("found = %sql FROM orders WHERE id = 2", False),
        ("%%sql found << FROM orders\nWHERE id = 2", False),
    ],
)
def test_a_result_is_bound_to_a_name(cells, shell, text, shown):
    ran = cells(text)
    assert ran.error is None
    assert shell.user_ns["found"]["total"].tolist() == [20.0]
    assert (ran.value is not None) == shown


def test_a_word_of_python_names_no_result(cells):
    assert "class" in str(cells("%sql class << SELECT 1").error)


# --- variables


def test_variables_are_bound_and_never_pasted(cells, shell):
    shell.push(
        {
            "wanted": "new' OR 'x' = 'x",
            "limits": {"total": [15.0]},
            "ids": pd.Series([2, 3]),
            "row": pd.Series({"id": 3}),
            "when": dt.date(2026, 4, 4),
        }
    )
    assert cells("%sql FROM orders WHERE status = $wanted").value.empty
    assert cells("%sql FROM orders WHERE status = {{wanted}}").value.empty
    text = "%%sql\nFROM orders WHERE total > {{ limits['total'][0] }} AND id IN $ids AND id >= {{row.id}}"
    assert cells(text).value["id"].tolist() == [3]
    assert cells("%sql SELECT $when AS d, {{limits['total'][-1]}} AS x, $when AS e").value["x"].tolist() == [
        15
    ]


def test_statements_of_one_cell_have_parameters_of_their_own(cells, shell):
    shell.push({"one": 1, "two": 2})
    cells("%%sql\nDELETE FROM orders WHERE id = $one;\nUPDATE orders SET total = $two WHERE id = {{two}}")
    assert cells("%sql FROM orders ORDER BY id").value["total"].tolist() == [2.0, 30.0]


def test_statements_that_define_and_copy_take_variables_too(cells, shell):
    shell.push({"least": 15, "more": pd.DataFrame({"id": [9], "status": ["new"], "total": [90.0]})})
    cells("%sql CREATE TABLE dear AS SELECT * FROM orders WHERE total > $least")
    cells("%sql INSERT INTO dear SELECT * FROM more WHERE total > {{least}}")
    assert cells("%sql FROM dear ORDER BY id").value["id"].tolist() == [2, 3, 9]


def test_text_stays_text(cells, shell):
    shell.push({"one": 1})
    ran = cells("%%sql\nSELECT '$one' AS a, $$ $one $$ AS b, $t$ {{one}} $t$ AS c -- $one {{one}}")
    assert ran.value.iloc[0].tolist() == ["$one", " $one ", " {{one}} "]
    assert ran.err == "{{one}} stands in a text here; outside of quotes it is the variable\n"


def test_braces_of_sql_are_no_variables(cells):
    assert cells("%sql SELECT {'a': {'b': 1}} AS s").value["s"][0] == {"a": {"b": 1}}
    assert cells("%sql SELECT MAP {{'a': 1}: 2} AS m").error is None


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT $wnted",
            "there is no variable 'wnted'\n  LINE 1: SELECT $wnted\n                 ^\n  hint: did you",
        ),
        ("SELECT {{wanted.x}}", "wanted has no attribute 'x'"),
        ("SELECT {{wanted[0]}}", "wanted has no item 0"),
        ("SELECT {{len(wanted)}}", "more than a name"),
        ("SELECT {{}}", "no name of a variable"),
        ("SELECT ?", "without a name"),
        ("SELECT $frame", "FROM frame"),
        ("SELECT {{frame}} FROM", "FROM frame"),
    ],
)
def test_what_cannot_be_bound_is_pointed_at(cells, shell, sql, message):
    shell.push({"wanted": 7, "frame": pd.DataFrame({"a": [1]})})
    error = cells(f"%sql {sql}").error
    assert isinstance(error, absdb.QueryError)
    assert message in str(error)


def test_frames_of_the_notebook_are_tables(cells, shell):
    shell.push({"prices": pd.DataFrame({"id": [1, 2], "factor": [2.0, 3.0]})})
    ran = cells("%sql SELECT id, total * factor AS x FROM orders JOIN prices USING (id) ORDER BY id")
    assert ran.value["x"].tolist() == [20.0, 60.0]


def test_a_line_in_a_function_sees_its_variables(cells, shell):
    cells(
        "import pandas as pd\n"
        "def found(wanted):\n"
        "    ids = pd.DataFrame({'id': [wanted]})\n"
        "    rows = %sql SELECT total FROM orders JOIN ids USING (id) WHERE id = $wanted\n"
        "    return rows['total'].tolist()\n"
    )
    assert cells("found(2)").value == [20.0]


# --- where


def test_at_reads_the_past_by_snapshot_time_and_lsn(cells, shop, shell):
    lsn = shop.lsn
    shop["main"]["orders"].delete(1)
    shell.push({"when": dt.datetime(2026, 4, 4, 12, 0, 1, tzinfo=dt.UTC), "lsn": lsn})
    assert len(cells("%sql FROM orders").value) == 2
    for point in ("before", f"{lsn}", "$lsn", "{{lsn}}"):
        assert len(cells(f"%sql --at {point} FROM orders").value) == 3
        assert len(cells(f"%%absdb --at={point}\nFROM orders").value) == 3
    refused = cells('%%sql --at "2026-04-04 11:00Z"\nFROM orders')
    assert isinstance(refused.error, absdb.HistoryExpiredError)
    assert "future" in str(cells("%sql --at $when FROM orders").error)
    assert isinstance(cells("%sql --at befor FROM orders").error, absdb.NotFoundError)
    assert isinstance(cells("%sql --at before DELETE FROM orders").error, absdb.StateError)


def test_database_is_for_one_cell_and_use_for_all(cells, shop):
    shop["main"].branch("side line")
    cells('%%sql --database "side line"\nTRUNCATE orders')
    assert len(cells("%sql FROM orders").value) == 3
    cells('%sql USE "side line"')
    assert cells("%sql FROM orders").value.empty
    assert cells("%absdb").value["database"].tolist() == ["side line"]
    assert (
        len(cells("%sql --at before FROM orders").value) == 3 if shop["side line"].snapshots().size else True
    )
    assert isinstance(cells("%sql --database sideline FROM orders").error, absdb.NotFoundError)


def test_a_transaction_lasts_over_cells(cells, shop):
    cells("%sql BEGIN")
    cells("%sql DELETE FROM orders")
    assert shop["main"]["orders"].count() == 3
    assert cells("%sql FROM orders").value.empty
    cells("%sql COMMIT")
    assert shop["main"]["orders"].count() == 0
    left_open = cells("%%sql --database main\nBEGIN;\nINSERT INTO orders VALUES (7, 'new', 1)")
    assert "rolled back" in str(left_open.error)
    assert shop["main"]["orders"].count() == 0


# --- forms


def test_other_forms_than_pandas(cells):
    table = cells("%sql --arrow SELECT id FROM orders").value
    assert isinstance(table, pa.Table)
    assert table["id"].to_pylist() == [1, 2, 3]
    assert isinstance(cells("%%sql --arrow --pandas\nSELECT 1").error, absdb.InvalidInputError)


def test_polars_comes_or_is_asked_for(cells):
    ran = cells("%sql --polars SELECT id FROM orders")
    try:
        import polars
    except ImportError:
        assert "pip install polars" in str(ran.error)
    else:
        assert isinstance(ran.value, polars.DataFrame)


# --- errors


def test_an_error_is_a_message_with_its_caret_and_fails_the_cell(cells):
    ran = cells("%%sql\nSELECT 1;\nSELECT *\nFROM oders".replace("SELECT *\n", ""))
    assert ran.out == MISSPELT.replace("LINE 3", "LINE 2")
    assert isinstance(ran.error, absdb.UnknownNameError)
    assert cells("%%sql found <<\nSELECT 1;\n\nFROM oders").out == MISSPELT
    assert cells("%%sql\nfound << SELECT 1;\n\nFROM oders").out == MISSPELT


def test_places_are_those_of_the_cell_behind_variables_and_names(cells, shell):
    shell.push({"a_long_name": {"of": 1}})
    ran = cells("%%sql\nx << SELECT {{a_long_name['of']}}, idd FROM orders")
    assert "  LINE 1: x << SELECT {{a_long_name['of']}}, idd FROM orders\n" in ran.out
    line, caret = ran.out.splitlines()[1:3]
    assert line[caret.index("^") :].startswith("idd")
    ran = cells("%%sql\n\nSELECT 'open")
    assert "LINE 2: SELECT 'open" in ran.out


def test_a_program_can_catch_the_error(cells):
    ran = cells(
        "import absdb\ntry:\n    %sql FROM oders\nexcept absdb.NotFoundError as error:\n    print(error.table)"
    )
    assert (ran.out, ran.error) == ("oders\n", None)


def test_errors_of_the_program_keep_their_traceback(cells):
    assert "Traceback" in cells("main['orders'].insert({'id': 1})").out


@pytest.mark.parametrize("text", ["%sql", "%%sql\n-- nothing", "%sql found <<", "%sql --nowhere SELECT 1"])
def test_a_cell_without_a_statement_or_with_a_wrong_option(cells, text):
    ran = cells(text)
    assert isinstance(ran.error, absdb.InvalidInputError)
    assert "Traceback" not in ran.out


def test_help_shows_examples(cells, shell):
    for magic in ("absdb", "sql", "branch", "undo", "redo"):
        assert f"%{magic}" in shell.find_magic(magic).__doc__
