"""JupySQL in the same kernel, on the same open instance: loaded before and after, it keeps %sql."""

from __future__ import annotations

import importlib.metadata

import pytest

pytestmark = pytest.mark.skipif(
    not list(importlib.metadata.distributions(name="jupysql")), reason="JupySQL is not installed"
)

SHOP = """
import absdb
shop = absdb.connect("shop")
rows = {"id": [1, 2, 3], "total": [10.0, 20.0, 30.0]}
orders = shop["main"].create_table("orders", rows, key="id")
"""
QUIET = (
    "%config SqlMagic.displaycon = False\n%config SqlMagic.autopandas = True\n%config SqlMagic.feedback = 0"
)


@pytest.mark.parametrize("order", [("absdb", "sql"), ("sql", "absdb")], ids=" then ".join)
def test_both_work_on_one_open_instance(kernels, order):
    kernel = kernels(order)
    kernel.told(SHOP)
    assert kernel.told("%absdb shop") == "shop: database main"
    kernel.told(QUIET)
    kernel.told("%sql absdb:///shop")
    assert kernel.told("%sql SELECT sum(total) AS s FROM orders").split() == ["s", "0", "60.0"]
    kernel.told("%%sql\nUPDATE orders SET total = 0 WHERE id = 1")
    assert kernel.told("%%absdb\nSELECT sum(total) AS s FROM orders").split() == ["s", "0", "50.0"]
    kernel.told("%%absdb\nDELETE FROM orders WHERE id = 2")
    assert kernel.told("%sql SELECT count(*) AS n FROM orders").split() == ["n", "0", "2"]
    assert kernel.told("%undo").startswith("main is as it was before cell ")
    kernel.told("%undo")
    assert kernel.told("orders.to_pandas()['total'].tolist()") == "[10.0, 20.0, 30.0]"
    assert kernel.told("from absdb.instance import open_instances\nlen(open_instances())") == "1"

    kernel.told("%sql mine << SELECT id FROM orders WHERE total > 15")
    found = kernel.told("%%absdb\nSELECT count(*) AS n FROM mine JOIN orders USING (id)")
    assert found.split() == ["n", "0", "2"], "a result of JupySQL is a table for ours"

    kernel.told("%unload_ext absdb")
    assert kernel.run("%absdb")[0] == "error"
    assert kernel.told("%sql SELECT 7 AS seven").split() == ["seven", "0", "7"]
    kernel.told("%load_ext absdb")
    assert "sql.magic" in kernel.told("get_ipython().find_cell_magic('sql').__self__")


def test_cells_join_what_jupysql_has_opened_and_outlive_it(kernels):
    kernel = kernels(["sql", "absdb"])
    kernel.told(QUIET)
    kernel.told("%sql absdb:///late")
    assert kernel.told("%absdb late") == "late: database main"
    kernel.told("%%absdb\nCREATE TABLE t AS SELECT 1 AS a")
    assert kernel.told("%sql FROM t").split() == ["a", "0", "1"]
    kernel.told("from sql.connection import ConnectionManager\nConnectionManager.close_all()")
    assert kernel.told("%%absdb\nFROM t").split() == ["a", "0", "1"]
