"""The Instance page, driven without a browser."""

from __future__ import annotations

import absdb
from absdb.panels import instance, workbench


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
