"""What the panels stand on: widgets of ipywidgets and of anywidget, seen from the page and from the kernel."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

COUNTER = """
import ipywidgets

clicks = []
button = ipywidgets.Button(description="Count")
label = ipywidgets.Label("none yet")


def count(_):
    clicks.append(button.description)
    label.value = f"{len(clicks)} so far"


button.on_click(count)
ipywidgets.VBox([button, label])
"""
DOUBLER = '''
import anywidget


class Doubler(anywidget.AnyWidget):
    _esm = """
    export default {
        render({model, el}) {
            const button = document.createElement("button");
            const answer = document.createElement("p");
            button.textContent = "Double";
            button.onclick = () => model.send({number: 21}, undefined, [new Uint8Array([1, 2, 3]).buffer]);
            model.on("msg:custom", (message, buffers) => {
                answer.textContent = `${message.doubled}, and ${buffers[0].byteLength} bytes`;
            });
            el.append(button, answer);
        },
    };
    """

    def __init__(self):
        super().__init__()
        self.asked = []
        self.on_msg(self.double)

    def double(self, _, message, buffers):
        self.asked.append((message["number"], bytes(buffers[0])))
        self.send({"doubled": 2 * message["number"]}, [bytes(buffers[0]) * 2])


doubler = Doubler()
doubler
'''
SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(100)"


def test_button_reaches_the_kernel_and_the_kernel_the_page(lab):
    notebook = lab.make(COUNTER)
    notebook.run_all()
    expect(notebook.output(0)).to_contain_text("none yet")
    for _ in range(3):
        notebook.cell(0).get_by_role("button", name="Count").click()
    expect(notebook.output(0)).to_contain_text("3 so far")
    assert notebook.ask("clicks") == "['Count', 'Count', 'Count']"


def test_anywidget_exchanges_messages_and_bytes_with_the_kernel(lab):
    notebook = lab.make(DOUBLER)
    notebook.run_all()
    notebook.cell(0).get_by_role("button", name="Double").click()
    expect(notebook.output(0)).to_contain_text("42, and 6 bytes")
    assert notebook.ask("doubler.asked") == r"[(21, b'\x01\x02\x03')]"
    for theme in ("light", "dark"):
        lab.theme(theme)
        lab.screenshot(f"widgets_{theme}")


def test_interrupted_cell_ends_and_widgets_live_on(lab):
    notebook = lab.make(COUNTER, SLEEP)
    notebook.run_cell(0)
    notebook.start_cell(1)
    expect(notebook.output(1)).to_contain_text("asleep")
    notebook.interrupt()
    notebook.wait_idle()
    assert "KeyboardInterrupt" in "".join(notebook.errors())
    notebook.cell(0).get_by_role("button", name="Count").click()
    expect(notebook.output(0)).to_contain_text("1 so far")


def test_restart_forgets_the_kernel_and_not_the_page(lab):
    notebook = lab.make(COUNTER)
    notebook.run_all()
    notebook.restart()
    with pytest.raises(AssertionError, match="name 'clicks' is not defined"):
        notebook.ask("clicks")
    expect(notebook.output(0)).to_contain_text("none yet")
    notebook.run_all()
    notebook.cell(0).get_by_role("button", name="Count").click()
    expect(notebook.output(0)).to_contain_text("1 so far")
