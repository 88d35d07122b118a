"""The Instance page, driven without a browser."""

from __future__ import annotations

import absdb
from absdb.panels import instance, workbench
from absdb.panels.model.instance import instance_facts


def test_figures_follow_the_instance(shop):
    page = instance(shop)
    assert "2" in page.facts.value
    page.checkpoint_button.click()
    assert page.hub.work.wait(5)
    assert "page files" in page.message.text
    page.check_button.click()
    assert page.hub.work.wait(5)
    assert "Every page is as it was written" in page.message.text
    page.close()


def test_a_workbench_opens_a_path_and_closes_what_it_opened(tmp_path):
    with absdb.connect(tmp_path / "shop"):
        pass
    bench = workbench(tmp_path / "shop")
    assert bench.instance.path == str(tmp_path / "shop")
    bench.close()
    assert bench.instance.closed


def test_figures_tell_of_the_archive_where_there_is_one(shop, tmp_path):
    assert "Archive of the log" not in instance_facts(shop).groups
    target = str(tmp_path / "archive")
    with absdb.connect(tmp_path / "shop", wal_archive_enabled=True, wal_archive_target=target) as archived:
        archived["main"].create_table("t", [{"id": 1}], key="id")
    with absdb.connect(tmp_path / "shop") as archived:
        told = dict(instance_facts(archived).groups["Archive of the log"])
        assert told["archived up to"] == str(archived.lsn)
        assert told["behind"] == "0.0 s"
