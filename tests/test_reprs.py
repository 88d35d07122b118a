"""What instances, databases, tables and the rest show of themselves, in a log and in a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

import absdb
from absdb import reprs

MINUS = "\N{MINUS SIGN}"
EVIL = "<script>alert('&\"')</script>"


class Shown(HTMLParser):
    """The text of some HTML, and whether its tags are balanced and harmless."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.cells: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in {
            "div",
            "span",
            "b",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "br",
            "del",
            "code",
            "p",
        }
        assert {name for name, _ in attributes} <= {"style", "class"}
        if tag == "td":
            self.cells.append("")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "td" in self.open:
            self.cells[-1] += data


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[absdb.Instance]:
    clock = absdb.ManualClock(tick_us=1)
    with absdb.connect(tmp_path / "shop", clock=clock) as shop:
        yield shop


@pytest.fixture
def main(shop: absdb.Instance) -> absdb.Database:
    main = shop["main"]
    main.create_table("orders", [{"id": n, "status": "new"} for n in range(12)], key="id", comment="bought")
    return main


def test_plain_reprs_say_enough_for_a_log(shop, main):
    lsn = shop.lsn
    assert repr(shop) == f"<Instance {shop.path} @ {lsn}, 1 database>"
    assert repr(main) == f"<Database main @ {lsn}, 1 table>"
    assert repr(main["orders"]) == f"<Table orders of main @ {lsn}, 2 columns, key id>"
    past = main.at(lsn=lsn)
    assert repr(past) == f"<Database main as of {lsn}, 1 table, read-only>"
    assert repr(past["orders"]) == f"<Table orders of main as of {lsn}, 2 columns, key id>"
    assert repr(past.diff(main)) == f"<Diff main @ {lsn} against main @ {lsn}>"
    with main.transaction() as tx:
        tx["orders"].delete(1)
        assert repr(tx) == f"<Transaction on main in a transaction begun at {lsn}, 1 table written>"
    assert repr(tx) == f"<Transaction committed @ {tx.lsn}>"
    with main.transaction() as nothing:
        pass
    assert repr(nothing) == "<Transaction ended>"


def test_reprs_of_what_is_gone(shop, main):
    table, branch = main["orders"], main.branch("b")
    main.drop_table("orders")
    branch.drop()
    assert repr(table) == "<Table: there is no table 'orders'>"
    assert repr(branch) == "<Database: database 'b' was dropped>"
    assert table._repr_html_() is None
    assert branch._repr_html_() is None
    shop.close()
    assert repr(shop) == f"<Instance {shop.path}, closed>"
    assert repr(main) == "<Database: the instance is closed>"
    assert main._repr_html_() is None
    assert "closed" in shop._repr_html_()


def test_html_shows_what_matters(shop, main):
    shown = Shown(main["orders"]._repr_html_())
    assert {"Table", "orders", "id", "int64", "status", "string"} <= set(shown.text)
    assert "key id · 12 rows" in "".join(shown.text)
    assert shown.cells[:4] == ["0", "new", "1", "new"]
    assert len(shown.cells) == 2 * reprs.ROWS_SHOWN
    assert "… and 2 more" in shown.text
    main.create_table("plain", {"s": "string"})
    assert Shown(main._repr_html_()).cells == ["orders", "2", "id", "bought", "plain", "1", "NULL", ""]
    assert Shown(shop._repr_html_()).cells == ["● main", "2", f"{shop.lsn} · just now", "NULL"]
    branch = main.branch("b")
    branch["orders"].delete([1, 2])
    cells = Shown(branch.diff(main)._repr_html_()).cells
    assert cells == ["orders", f"{MINUS} removed", "2", "NULL", *(MINUS, "1", "new"), *(MINUS, "2", "new")]
    assert "no difference" in "".join(Shown(main.diff(main)._repr_html_()).text)


def test_html_of_a_diff_marks_what_changed(main):
    branch = main.branch("b")
    branch["orders"].add_column("n", "int64", default=1)
    branch["orders"].update([{"id": 1, "status": EVIL}, {"id": 2, "n": None}])
    branch["orders"].delete(3)
    branch["orders"].insert({"id": 99, "status": None, "n": 5})
    html = branch.diff(main)["orders"]._repr_html_()
    assert "<script" not in html
    assert Shown(html).cells == [
        *("~", "1", f"new {EVIL}", "1"),
        *("~", "2", "new", "1 NULL"),
        *(MINUS, "3", "new", "1"),
        *("+", "99", "NULL", "5"),
    ]
    assert re.findall("<del[^>]*>(.*?)</del> <b>(.*?)</b>", html) == [
        ("new", escape(EVIL)),
        ("1", re.findall("<span[^>]*>NULL</span>", html)[0]),
    ]
    assert "1 added, 2 modified, 1 removed" in "".join(Shown(html).text)
    modified = Shown(branch.diff(main)["orders"].where(kinds="modified", ignore="n")._repr_html_())
    assert modified.cells == ["~", "1", f"new {EVIL}"]


def test_html_of_a_diff_says_what_it_leaves_out(main):
    names = [f"c{n}" for n in range(40)]
    for table in range(7):
        rows = pa.table({"id": range(30), **{name: ["x" * 500] * 30 for name in names}})
        main.create_table(f"wide{table}", rows, key="id")
    branch = main.branch("b")
    for table in range(7):
        rows = [{"id": n, "c35": "x" * 400 + "y" + "x" * 99} for n in range(30)]
        branch[f"wide{table}"].update(rows)
    html = branch.diff(main)["wide0"]._repr_html_()
    shown = Shown(html)
    assert "… and 20 more, 21 more columns" in shown.text
    assert "c35" in shown.text
    assert {cell for cell in shown.cells if "y" in cell} == {f"…{'x' * 58}… …{'x' * 20}y{'x' * 37}…"}
    whole = branch.diff(main)._repr_html_()
    assert len(whole) < 200_000
    assert "… and 2 more tables" in "".join(Shown(whole).text)
    assert "wide4" in Shown(whole).text


def test_html_of_rows_by_content_shows_both_counts(main):
    main.create_table("events", [{"what": "a"}] * 3 + [{"what": "b"}])
    branch = main.branch("b")
    branch.sql("DELETE FROM events WHERE what = 'b'")
    branch["events"].insert({"what": "a"})
    assert Shown(branch.diff(main).by_content("events")._repr_html_()).cells == [
        *("+", "a", "3 4"),
        *(MINUS, "b", "1 0"),
    ]
    assert Shown(branch.query_diff("FROM orders", main, key="id")._repr_html_()).cells == []


def test_html_of_an_empty_table_shows_its_columns(main):
    main["orders"].truncate()
    shown = Shown(main["orders"]._repr_html_())
    assert shown.cells == []
    assert {"id", "int64", "status", "string"} <= set(shown.text)
    assert "There are no rows yet. insert(rows)" in "".join(shown.text)
    assert "no rows yet" not in "".join(Shown(main.at()["orders"]._repr_html_()).text)


def test_html_is_escaped(shop, main):
    name = EVIL.replace("/", "")
    main.create_table(name, [{name: EVIL, "id": 1}], key="id", comment=EVIL)
    main.branch(name)
    for shown in (main[name], main, shop, main.diff(main.at(lsn=0))):
        html = shown._repr_html_()
        assert "<script" not in html
        Shown(html)
    assert EVIL in Shown(main[name]._repr_html_()).cells


def test_html_stays_small(main):
    wide = pa.table({f"column{n}": ["x" * 1_000] * 50 for n in range(60)})
    main.create_table("wide", wide)
    html = main["wide"]._repr_html_()
    shown = Shown(html)
    assert len(html) < 60_000
    assert "… and 40 more, 40 more columns" in shown.text
    assert all(len(cell) <= reprs.CELL_CHARACTERS_MAX for cell in shown.cells)


def test_html_has_no_side_effects(shop, main):
    before = (shop.lsn, list(shop.pins()["kind"]), len(main.log()))
    for shown in (shop, main, main["orders"], main.at()["orders"], main.diff(main)):
        assert shown._repr_html_()
        assert repr(shown)
    assert (shop.lsn, list(shop.pins()["kind"]), len(main.log())) == before


def test_html_of_values_that_python_has_no_type_for(main):
    table = main.create_table(
        "t", {"id": "int64", "at": "timestamp[ns]", "n": "float64", "b": "binary"}, key="id"
    )
    table.insert(
        pa.table({"id": [1], "at": pa.array([1], pa.timestamp("ns")), "n": [0.1 + 0.2], "b": [b"\0"]})
    )
    table.insert(pa.table({"id": [2], "at": pa.array([None], pa.timestamp("ns")), "n": [None], "b": [None]}))
    cells = Shown(table._repr_html_()).cells
    assert cells[0] == "1"
    assert cells[1].startswith("1970-01-01 00:00:00.000000001")
    assert cells[2:] == ["0.3", "b'\\x00'", "2", "NULL", "NULL", "NULL"]


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "row", "0 rows"), (1, "row", "1 row"), (1_200, "row", "1,200 rows"), (2, "branch", "2 branches")],
)
def test_counted(number, noun, text):
    assert reprs.counted(number, noun) == text


def test_key_completion(shop, main):
    main.branch("staging")
    assert shop._ipython_key_completions_() == ["main", "staging"]
    assert main._ipython_key_completions_() == ["orders"]


def test_a_past_shows_the_same_whenever_it_is_made(main):
    main["orders"].insert({"id": 100, "status": "late"})
    assert (
        main.at(time=main.log()["time"][0])["orders"]._repr_html_()
        == main.at(lsn=main.lsn)["orders"]._repr_html_()
    )


def test_a_merge_shows_what_is_in_its_way(main):
    branch = main.branch("b")
    branch["orders"].update([{"id": 1, "status": EVIL}, {"id": 2, "status": "bad"}])
    main["orders"].update({"id": 1, "status": "sold"})
    tried = main.merge(branch, dry_run=True)
    assert repr(tried) == "<MergeResult merge, dry run, 1 change, 1 conflict>"
    shown = Shown(tried._repr_html_())
    assert "".join(shown.text).startswith("Merge  dry run · 1 change · 1 conflict")
    assert shown.cells[3:] == ["orders", "1", "status", "new", "sold", EVIL]
    main.add_check("none is bad", "SELECT * FROM orders WHERE status = 'bad'")
    tried = main.merge(branch, dry_run=True, on_conflict="ours")
    assert repr(tried) == "<MergeResult merge, dry run, 2 changes, check 'none is bad' fails>"
    main.drop_check("none is bad")
    main.sql("ALTER TABLE orders ADD CONSTRAINT good CHECK (status <> 'bad')")
    tried = main.merge(branch, dry_run=True, on_conflict="ours")
    assert Shown(tried._repr_html_()).cells[3:] == ["orders", "2", tried.violations["message"][0][:59] + "…"]
    branch["orders"].update({"id": 2, "status": "fine"})
    done = main.merge(branch, on_conflict="ours")
    assert repr(done) == f"<MergeResult merge @ {done.lsn}, 2 changes>"
    assert "".join(Shown(main.merge(branch)._repr_html_()).text).strip() == "Merge nothing new"
    assert "".join(Shown(done.undo()._repr_html_()).text).startswith("Undo 0/")
    found = main.bisect("SELECT count(*) = 0 FROM orders WHERE status = 'sold'", bad=done.lsn)
    assert "text-align:right" in found._repr_html_()


IMG = "<img onerror=alert(1) src=x>"


def public_objects(shop: absdb.Instance) -> dict[str, object]:
    """One object of each class in absdb.__all__, and of those that they give; with HTML wherever data may have some."""
    main = shop["main"]
    table = main.create_table(IMG, [{"id": 1, IMG: IMG}, {"id": 2, IMG: None}], key="id", comment=IMG)
    branch = main.branch(IMG)
    branch[IMG].update({"id": 1, IMG: IMG * 2}, message=IMG)
    main[IMG].update({"id": 1, IMG: "ours"}, message=IMG)
    with pytest.raises(absdb.MergeConflictError) as conflict:
        main.merge(branch)
    bad = main.bisect(f'SELECT count(*) = 0 FROM "{IMG}" WHERE "{IMG}" = \'ours\'', good=table_lsn(main))
    diff = branch.diff(main)
    with main.transaction(message=IMG) as tx:
        tx[IMG].delete(2)
        open_transaction = (repr(tx), tx._repr_html_())
    assert all(open_transaction)
    errors = {name: getattr(absdb, name)(IMG, hint=IMG) for name in absdb.__all__ if name.endswith("Error")}
    return {
        **errors,
        "Bisection": bad,
        "Check": absdb.Check(IMG),
        "Column": absdb.Column(IMG, "int64", comment=IMG),
        "Database": main,
        "Diff": diff,
        "ForeignKey": absdb.ForeignKey(IMG, IMG),
        "Instance": shop,
        "Lsn": main.lsn,
        "ManualClock": absdb.ManualClock(),
        "MergeConflictError": conflict.value,
        "MergeResult": main.merge(branch, dry_run=True),
        "Provenance": absdb.provenance(main.sql(f"SELECT '{IMG}' AS x").to_arrow()),
        "SystemClock": absdb.SystemClock(),
        "Table": table,
        "TableDiff": diff[IMG],
        "TransactionHandle": tx,
        "Unique": absdb.Unique(IMG),
        "a diff by content": diff.by_content(IMG),
        "a diff of queries": branch.query_diff(f'FROM "{IMG}"', main, key="id"),
        "a rehearsal": main.rehearse([f'UPDATE "{IMG}" SET "{IMG}" = \'{IMG}\'']),
        "a result": main.sql(f"SELECT '{IMG}' AS \"{IMG}\""),
        "a session": branch.session(),
        "a state of the past": main.at(lsn=main.lsn),
    }


def table_lsn(main: absdb.Database) -> str:
    return str(main.log()["lsn"].iloc[-1])


def test_every_public_object_shows_itself_in_a_notebook_and_in_a_log(shop):
    objects = public_objects(shop)
    classes = {name for name in absdb.__all__ if isinstance(getattr(absdb, name), type)}
    assert classes <= objects.keys()
    for name, value in objects.items():
        html, text = value._repr_html_(), repr(value)
        assert len(html) < 100_000, name
        assert "<img" not in html, name
        assert text, name
        assert " object at 0x" not in text, name
        assert len(text) < 1_000, name
        if name != "a result":
            assert "\n" not in text, name


def test_an_instance_without_tables_says_how_to_make_one(shop):
    assert 'instance["main"].create_table("name", frame, key="id")' in "".join(Shown(shop._repr_html_()).text)
    assert 'create_table("name", frame, key="id")' in "".join(Shown(shop["main"]._repr_html_()).text)
    past = shop["main"].at()
    assert "create_table" not in past._repr_html_()


def test_an_lsn_stands_beside_how_long_ago_it_was(tmp_path):
    clock = absdb.ManualClock()
    with absdb.connect(tmp_path / "shop", clock=clock) as shop:
        main = shop["main"]
        main.create_table("t", [{"id": 1}], key="id")
        lsn = main.lsn
        clock.advance(minutes=3, seconds=10)
        for shown in (shop, main, main["t"], main.diff(main), main.session()):
            assert f"{lsn} · 3 minutes ago" in shown._repr_html_()
            assert shown._repr_html_() == shown._repr_html_()


def test_operations_have_their_sign_wherever_they_are_listed(main):
    branch = main.branch("b")
    branch["orders"].update({"id": 1, "status": "sold"})
    branch["orders"].delete(2)
    branch["orders"].add_column("n", "int64")
    branch.create_table("extra", {"id": "int64"}, key="id")
    shown = "".join(Shown(branch.diff(main)._repr_html_()).text)
    for sign in ("~ schema", "~ modified", f"{MINUS} removed", "+ table added"):
        assert sign in shown
    merged = "".join(Shown(main.merge(branch, dry_run=True)._repr_html_()).text)
    assert f"{MINUS} removed" in merged
    rehearsal = main.rehearse(["DELETE FROM orders WHERE id = 3"])
    assert f"{MINUS} removed" in "".join(Shown(rehearsal._repr_html_()).text)
    assert f"{MINUS} removed" in rehearsal.to_text()
