"""A small shop to run commands on, and a way to run them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

import absdb
from absdb.cli.main import program


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch):
    """Run `absdb …` in this process, without an instance from the surroundings."""
    monkeypatch.delenv("ABSDB_INSTANCE", raising=False)

    def run_command(*args: object, input: str | None = None) -> Ran:
        found = CliRunner().invoke(program, [str(arg) for arg in args], input=input)
        assert "Traceback" not in found.stderr
        return Ran(found.exit_code, found.stdout, found.stderr)

    return run_command


@pytest.fixture(scope="session")
def shop_template(tmp_path_factory):
    """Orders and customers, a snapshot `before`, and a branch `staging` that differs from main."""
    place = tmp_path_factory.mktemp("cli") / "shop"
    with absdb.connect(place, author="kim") as instance:
        main = instance["main"]
        orders = pa.table(
            {"id": [1, 2, 3, 4], "status": ["new", "paid", "paid", None], "total": [1.5, 2, 3, 4]}
        )
        main.create_table("orders", orders, key="id", comment="what was ordered", message="load orders")
        main.create_table("customers", {"id": "int64", "name": "string"}, key="id")
        main.snapshot("before", comment="as loaded")
        staging = main.branch("staging", comment="to try things")
        staging["orders"].update({"id": 1, "status": "paid"}, message="pay the first")
        staging["orders"].delete([4])
        staging["orders"].insert({"id": 9, "status": "new", "total": 9.0})
    return place


@pytest.fixture
def shop(shop_template, tmp_path):
    """A copy of it to change."""
    return shutil.copytree(shop_template, tmp_path / "shop")


@pytest.fixture
def on_shop(run, shop):
    """Run `absdb -i shop …`."""

    def run_command(*args: object, input: str | None = None) -> Ran:
        return run("-i", shop, *args, input=input)

    return run_command


@pytest.fixture
def rows_of(shop):
    """The rows of a table now, from the disk."""

    def rows(table: str = "orders", database: str = "main") -> list[dict[str, Any]]:
        with absdb.connect(shop, read_only=True) as instance:
            return instance[database][table].to_arrow().to_pylist()

    return rows
