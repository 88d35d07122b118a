"""A shell of IPython in this process, and kernels of their own, with the extension loaded."""

from __future__ import annotations

import os
import time
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from traitlets.config import Config

import absdb

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60


@dataclass(frozen=True)
class Ran:
    """A cell that was run: its value, what it printed, what it displayed as HTML, and its error."""

    value: Any
    out: str
    err: str
    html: list[str]
    error: BaseException | None


Run = Callable[[str], Ran]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A fresh shell whose current directory is empty."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    made = InteractiveShell.instance(config=config, user_module=types.ModuleType("cells"))
    yield made
    made.run_line_magic("unload_ext", "absdb")
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell: InteractiveShell) -> Run:
    """Runs a cell as Jupyter does."""

    def run_cell(text: str) -> Ran:
        with capture_output() as captured:
            result = shell.run_cell(text, store_history=True)
        html = [shown.data["text/html"] for shown in captured.outputs if "text/html" in (shown.data or {})]
        error = result.error_in_exec or result.error_before_exec
        return Ran(result.result, captured.stdout, captured.stderr, html, error)

    assert run_cell("%load_ext absdb").error is None
    return run_cell


@pytest.fixture
def shop(shell: InteractiveShell) -> Iterator[absdb.Instance]:
    """An instance of the program's, in the variable shop, with a clock that is moved by hand."""
    with absdb.connect("shop", clock=absdb.ManualClock("2026-04-04T12:00:00Z")) as instance:
        rows = {"id": [1, 2, 3], "status": ["new", "paid", "new"], "total": [10.0, 20.0, 30.0]}
        instance["main"].create_table("orders", rows, key="id")
        instance["main"].snapshot("before")
        shell.push({"shop": instance, "main": instance["main"]})
        yield instance


@pytest.fixture
def cells(run: Run, shop: absdb.Instance) -> Run:
    """Runs cells that are attached to the shop."""
    assert run("%absdb shop").out == "shop: database main\n"
    return run


class Kernel:
    """One kernel in a process of its own, and a client that waits for its answers."""

    def __init__(self, place: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(
            cwd=str(place), env={**os.environ, "PYTHONPATH": str(ROOT), "PLOOMBER_STATS_ENABLED": "false"}
        )
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=TIMEOUT_S)

    def run(self, text: str, *, interrupt_when: str = "") -> tuple[str, list[dict[str, Any]]]:
        """(the status of a cell, what it showed); interrupted when it has printed that."""
        shown: list[dict[str, Any]] = []

        def show(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] in ("stream", "display_data", "execute_result", "error"):
                shown.append({"type": message["msg_type"], **content})
            if interrupt_when and interrupt_when in content.get("text", ""):
                time.sleep(0.2)  # let the query begin; one that has not yet is stopped as well
                self.manager.interrupt_kernel()

        reply = self.client.execute_interactive(text, allow_stdin=False, output_hook=show, timeout=TIMEOUT_S)
        return reply["content"]["status"], shown

    def told(self, text: str) -> str:
        """What a cell that succeeds shows as text."""
        status, shown = self.run(text)
        assert status == "ok", shown
        return "".join(each.get("text") or each["data"]["text/plain"] for each in shown).strip()

    def complete(self, text: str) -> tuple[list[str], int]:
        """(what may come at the end of a text, where it begins)."""
        content = self.client.complete(text, reply=True, timeout=TIMEOUT_S)["content"]
        return content["matches"], content["cursor_start"]

    def end(self) -> None:
        """Shut it down as Jupyter does, and wait for it."""
        self.client.shutdown(reply=True, timeout=TIMEOUT_S)
        self.client.stop_channels()
        self.manager.finish_shutdown()
        self.manager.cleanup_resources()


@pytest.fixture
def kernels(tmp_path: Path) -> Iterator[Callable[..., Kernel]]:
    """Starts kernels in one directory, and ends them."""
    started: list[Kernel] = []

    def start(extensions: Sequence[str] = ("absdb",)) -> Kernel:
        started.append(Kernel(tmp_path))
        for name in extensions:
            started[-1].told(f"%load_ext {name}")
        return started[-1]

    yield start
    for kernel in started:
        if kernel.manager.is_alive():
            kernel.end()
