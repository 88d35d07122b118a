"""`absdb import` and `absdb export`: formats, modes, and what happens when a file is not what it seems."""

from __future__ import annotations

import datetime as dt
import decimal
import gzip

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import absdb

ITEMS = pa.table(
    {
        "id": pa.array([1, 2, 3], pa.int64()),
        "name": ["a", None, 'c,\n"c"'],
        "price": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("3.25")], pa.decimal128(9, 2)),
        "at": pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 3, pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_what_was_exported_comes_back(suffix, on_shop, rows_of, tmp_path):
    pq.write_table(ITEMS, tmp_path / "items.parquet")
    loaded = on_shop("import", tmp_path / "items.parquet", "--key", "id")
    assert loaded.code == 0
    assert loaded.out.startswith("3 rows of ")
    file = tmp_path / f"out.{suffix}"
    done = on_shop("export", "items", file, "--json").json
    assert (done["rows"], done["format"], done["bytes"]) == (3, suffix, file.stat().st_size)
    types = ["--type", "price=decimal(9, 2)", "--type", "at=timestamp[us, UTC]"] if suffix == "csv" else []
    again = on_shop("import", file, "-t", "again", "-k", "id", *types)
    assert again.code == 0, again.err
    assert rows_of("again") == ITEMS.to_pylist()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "items.parquet",
        file.name,
    ] or (suffix == "parquet")


def test_arrow_streams_feather_and_compressed_text(on_shop, rows_of, tmp_path):
    small = ITEMS.select(["id", "name"])
    with pa.ipc.new_stream(tmp_path / "s.arrows", small.schema) as writer:
        writer.write_table(small)
    pa.feather.write_feather(small, tmp_path / "f.feather")
    with gzip.open(tmp_path / "z.csv.gz", "wt") as file:
        file.write('id,name\n1,a\n2,\n3,"c,\n""c"""\n')
    (tmp_path / "j.jsonl").write_text('{"id": 1, "name": "a"}\n{"id": 2, "name": null}\n{"id": 3}\n')
    (tmp_path / "t.tsv").write_text("id\tname\n1\ta\n")
    files = [tmp_path / name for name in ("s.arrows", "f.feather", "z.csv.gz", "j.jsonl", "t.tsv")]
    done = on_shop("import", *files, "-k", "id", "--json")
    assert done.code == 0, done.err
    assert [(row["table"], row["rows"]) for row in done.json] == [
        ("s", 3),
        ("f", 3),
        ("z", 3),
        ("j", 3),
        ("t", 1),
    ]
    assert rows_of("s") == rows_of("f") == rows_of("z") == small.to_pylist()
    assert rows_of("j")[2] == {"id": 3, "name": None}


def test_modes(on_shop, rows_of, tmp_path):
    file = tmp_path / "orders.csv"
    file.write_text("id,status,total\n4,paid,4\n5,new,5\n")
    assert "--mode insert, upsert" in on_shop("import", file).err
    clash = on_shop("import", file, "--mode", "insert")
    assert (clash.code, len(rows_of())) == (1, 4)
    assert on_shop("import", file, "--mode", "upsert", "-m", "daily").code == 0
    assert [row["status"] for row in rows_of()] == ["new", "paid", "paid", "paid", "new"]
    synced = on_shop("import", file, "--mode", "sync", "--json").json[0]
    assert (synced["added"], synced["modified"], synced["removed"], synced["rows"]) == (0, 0, 3, 2)
    file.write_text("id,status,total\n8,new,1\n")
    assert on_shop("import", file, "--mode", "replace", "-d", "staging").code == 0
    assert [row["id"] for row in rows_of(database="staging")] == [8]
    assert on_shop("import", file, "--mode", "insert").code == 0
    assert len(rows_of()) == 3
    assert on_shop("log", "--json").json[0]["message"] == f"import {file}"


def test_types_of_the_table_hold_for_text(on_shop, rows_of, tmp_path):
    (tmp_path / "codes.csv").write_text("code\n01234\n")
    assert on_shop("import", tmp_path / "codes.csv", "--type", "code=string").code == 0
    (tmp_path / "codes.csv").write_text("code\n00007\n")
    assert on_shop("import", tmp_path / "codes.csv", "--mode", "insert").code == 0
    assert [row["code"] for row in rows_of("codes")] == ["01234", "00007"]


def test_only_what_is_empty_or_said_is_null(on_shop, rows_of, tmp_path):
    (tmp_path / "codes.csv").write_text('country,size\nNA,1\nnull,NA\n"",3\n,4\n')
    assert on_shop("import", tmp_path / "codes.csv").code == 0
    assert [row["country"] for row in rows_of("codes")] == ["NA", "null", "", None]
    assert [row["size"] for row in rows_of("codes")] == ["1", "NA", "3", "4"]
    assert on_shop("import", tmp_path / "codes.csv", "-t", "codes2", "--null", "NA").code == 0
    assert [row["size"] for row in rows_of("codes2")] == [1, None, 3, 4]


@pytest.mark.parametrize(
    ("content", "args", "code", "said"),
    [
        (b"id,a\n1,2,3\n", ["--key", "id"], 1, "x.csv"),
        (b"", [], 1, "is empty"),
        (b"id\n1\n1\n", ["--key", "id"], 1, "error:"),
        (b"id\n1\n", ["--key", "nope"], 1, "nope"),
        (b"id\n1\n", ["--mode", "insert"], 1, "there is no table 'x'"),
        (b"id\n1\n", ["--type", "id"], 2, "NAME=TYPE"),
        (b"id\n1\n", ["--type", "id=cat"], 2, "cat"),
        (b"id\nabc\n", ["--type", "id=int64"], 1, "--type"),
        (b"id\n1\n", ["--format", "parquet"], 1, "--format"),
        (b"id\n1\n", ["--format", "arrow"], 1, "--format"),
        (b"id\n1\n", ["--format", "word"], 2, "word"),
        (b"id\n1\n", ["-t", "orders", "--mode", "insert", "--key", "total"], 1, "has the key id"),
    ],
)
def test_files_that_do_not_fit_change_nothing(content, args, code, said, on_shop, rows_of, tmp_path):
    (tmp_path / "x.csv").write_bytes(content)
    before = on_shop("log", "--json").out
    ran = on_shop("import", tmp_path / "x.csv", *args)
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert on_shop("log", "--json").out == before


def test_files_that_are_not_there(on_shop, tmp_path):
    assert "there is no file" in on_shop("import", tmp_path / "no.csv").err
    assert "does not tell the format" in on_shop("import", tmp_path / "no.doc").err
    assert "is a directory" in on_shop("import", tmp_path, "--format", "csv").err
    assert on_shop("import").code == 2
    assert on_shop("import", "a.csv", "b.csv", "-t", "one").code == 2


def test_export_replaces_only_when_told(on_shop, tmp_path):
    file = tmp_path / "o.csv"
    assert on_shop("export", "orders", file, "--columns", "id,status").code == 0
    text = '"id","status"\n1,"new"\n2,"paid"\n3,"paid"\n4,\n'
    assert file.read_text() == text
    refused = on_shop("export", "orders", file)
    assert (refused.code, "--force" in refused.err, file.read_text()) == (1, True, text)
    assert on_shop("export", "orders", file, "--force", "-d", "staging", "--lsn", "0/0").code == 1
    assert file.read_text() == text
    assert on_shop("export", "orders", file, "--force", "-d", "staging").code == 0
    assert file.read_text().splitlines()[-1] == '9,"new",9'


def test_export_of_the_past(on_shop, tmp_path):
    on_shop("tables", "drop", "orders", "--yes")
    assert on_shop("export", "orders", tmp_path / "o.parquet").code == 1
    assert on_shop("export", "orders", tmp_path / "o.parquet", "--snapshot", "before").code == 0
    assert pq.read_table(tmp_path / "o.parquet").num_rows == 4


def test_a_failed_export_leaves_nothing_behind(on_shop, tmp_path):
    nested = pa.table({"id": [1], "tags": [["a", "b"]]})
    pq.write_table(nested, tmp_path / "nested.parquet")
    assert on_shop("import", tmp_path / "nested.parquet", "-k", "id").code == 0
    ran = on_shop("export", "nested", tmp_path / "nested.csv")
    assert ran.code == 1
    assert "Parquet and Arrow take every type" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nested.parquet", "shop"]
    assert on_shop("export", "nested", tmp_path / "no" / "n.arrow").code == 1
    assert on_shop("export", "nested", tmp_path, "--format", "csv").code == 1
    assert on_shop("export", "nested", tmp_path / "n.doc").code == 1


def test_a_csv_file_in_another_encoding_is_refused_rather_than_taken_as_bytes(run, shop, tmp_path):
    file = tmp_path / "old.csv"
    file.write_bytes("id,name\n1,Zo\u00eb\n".encode("latin-1"))
    ran = run("-i", shop, "import", file, "--key", "id")
    assert ran.code == 1
    assert "column 'name' holds bytes that are not UTF-8 text" in ran.err
    assert "--type name=binary" in ran.err
    assert run("-i", shop, "import", file, "--key", "id", "--type", "name=binary").code == 0
    with absdb.connect(shop) as instance:
        assert instance["main"]["old"].get(1) == {"id": 1, "name": b"Zo\xeb"}
