"""The magics in kernels, spoken to as JupyterLab does: errors, completion, interrupts, two kernels, the end."""

from __future__ import annotations

import absdb


def test_a_kernel_runs_fails_completes_and_is_interrupted(kernels, tmp_path):
    kernel = kernels()
    assert kernel.run("%absdb shop") == (
        "ok",
        [{"type": "stream", "name": "stdout", "text": "shop: database main, a new instance\n"}],
    )
    kernel.run("%%sql\nCREATE TABLE orders (id INTEGER PRIMARY KEY, status VARCHAR);\nCREATE SNAPSHOT before")
    kernel.run("%sql INSERT INTO orders VALUES (1, 'new')")
    status, shown = kernel.run("%%sql\nFROM orders")
    assert status == "ok"
    assert "dataframe" in shown[0]["data"]["text/html"]

    status, shown = kernel.run("%%sql\nSELECT *\nFROM oders")
    assert status == "error", "so that Run All stops there"
    assert [each["ename"] for each in shown] == ["UnknownNameError"]
    assert "".join(shown[0]["traceback"]).endswith(
        "there is no table 'oders' in database 'main'"
        "  LINE 2: FROM oders               ^  hint: did you mean 'orders'?"
    )

    status, shown = kernel.run("%%branch\n%sql DELETE FROM orders\n'done'")
    assert [each["type"] for each in shown] == ["execute_result", "display_data", "stream"]
    assert "removed" in shown[1]["data"]["text/html"]
    status, shown = kernel.run("%%branch\nhere = 1\nhere / 0")
    assert (status, shown[-1]["ename"]) == ("error", "ZeroDivisionError")
    assert "here" in shown[-1]["traceback"][-2]

    matches, start = kernel.complete("%%sql\nSELECT * FROM ord")
    assert (matches[0], start) == ("orders", len("%%sql\nSELECT * FROM "))
    assert kernel.complete("%%sql --at be")[0] == ["before"]
    assert "orders" not in kernel.complete("ord")[0]

    slow = "SELECT count(*) FROM range(100000000000) a, range(1000) b WHERE a.range * b.range % 7 = 3"
    status, shown = kernel.run(f"print('begun', flush=True)\n%sql {slow}", interrupt_when="begun")
    assert (status, shown[-1]["ename"]) == ("error", "KeyboardInterrupt")
    assert len(shown[-1]["traceback"]) == 1
    assert kernel.run("%undo")[0] == "ok"
    kernel.end()
    with absdb.connect(tmp_path / "shop") as shop:
        assert shop["main"]["orders"].count() == 0


def test_a_second_kernel_reads_and_the_end_of_the_first_frees_the_instance(kernels, tmp_path):
    first, second = kernels(), kernels()
    first.run("%absdb shop\n%sql CREATE TABLE t (id INTEGER PRIMARY KEY)")
    status, shown = second.run("%absdb shop")
    assert status == "ok"
    assert shown[0]["text"].startswith("shop: database main, read-only, for ")
    first.run("%sql INSERT INTO t VALUES (7)")
    assert "7" in second.run("%sql FROM t")[1][0]["data"]["text/plain"]
    first.end()
    assert second.run("%absdb shop")[1][0]["text"] == "shop: database main\n"
    assert second.run("%sql INSERT INTO t VALUES (8)")[0] == "ok"
    second.end()
    with absdb.connect(tmp_path / "shop", read_only=True) as shop:
        assert shop["main"]["t"].count() == 2
        checkpoint = shop.wal_stats()["last_checkpoint_lsn"][0]
        assert checkpoint == shop["main"].log(limit=1)["lsn"][0], "the end of the kernel has closed it"
