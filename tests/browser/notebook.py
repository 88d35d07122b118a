"""An open notebook: runs its cells, finds what they show, and asks its kernel."""

from __future__ import annotations

from playwright.sync_api import Locator, Page

WAIT_MS = 120_000

# The panel that shows the notebook, in front of the others, so that commands act on it.
PANEL = """const app = window.jupyterapp;
    const panel = [...app.shell.widgets('main')].find(each => each.id === of.id);
    const kernel = panel.sessionContext.session.kernel;"""
RUN_ALL = "app.shell.activateById(of.id); return app.commands.execute('notebook:run-all-cells');"
RUN_CELL = """app.shell.activateById(of.id);
    panel.content.activeCellIndex = of.index;
    const ran = app.commands.execute('notebook:run-cell');
    return of.wait ? ran : null;"""
ERRORS = """return [...panel.content.model.cells].flatMap(cell =>
        (cell.toJSON().outputs ?? []).filter(output => output.output_type === 'error'))
        .map(error => error.traceback.join('\\n') || error.ename + ': ' + error.evalue);"""
CLEAR = "app.shell.activateById(of.id); return app.commands.execute('notebook:clear-all-cell-outputs');"
STORED = "return panel.content.model.toJSON().cells;"
ASK = """const future = kernel.requestExecute({code: of.code, store_history: false});
    let text = '', result = '', error = null;
    future.onIOPub = ({header, content}) => {
        if (header.msg_type === 'stream') { text += content.text; }
        if (header.msg_type === 'execute_result') { result = content.data['text/plain']; }
        if (header.msg_type === 'error') { error = content.traceback.join('\\n'); }
    };
    await future.done;
    return {text: text + result, error};"""
IDLE = f"""of => {{
    {PANEL}
    const cells = [...panel.content.model.cells];
    return kernel.status === 'idle' && !cells.some(cell => cell.executionState === 'running');
}}"""


class Notebook:
    """A notebook that is open in the page. Cells are counted from 0, those of text too."""

    def __init__(self, page: Page, panel_id: str) -> None:
        self.page = page
        self.id = panel_id
        self.panel = page.locator(f"[id='{panel_id}']")

    def run_all(self) -> None:
        """Run all cells and wait until the last one has ended; a cell that raises fails the test."""
        if not self._panel(RUN_ALL):
            raise AssertionError("a cell raised:\n" + "\n".join(self.errors()))

    def run_cell(self, index: int) -> None:
        """Run one cell and wait until it has ended; it fails the test if it raises."""
        if not self._panel(RUN_CELL, index=index, wait=True):
            raise AssertionError("the cell raised:\n" + "\n".join(self.errors()))

    def start_cell(self, index: int) -> None:
        """Run one cell and do not wait for it."""
        self._panel(RUN_CELL, index=index, wait=False)

    def clear(self) -> None:
        """Remove all outputs."""
        self._panel(CLEAR)

    def errors(self) -> list[str]:
        """The tracebacks that the cells show."""
        return list(self._panel(ERRORS))

    def cells(self) -> list[dict[str, object]]:
        """The cells as they would be saved now, outputs included."""
        return list(self._panel(STORED))

    def cell(self, index: int) -> Locator:
        """A cell on the page: its source and its outputs."""
        return self.panel.locator(".jp-Notebook-cell").nth(index)

    def output(self, index: int) -> Locator:
        """What a cell shows below its source."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def shown(self, index: int) -> str:
        """The text of what a cell shows, as it is read on the page."""
        return "\n".join(self.cell(index).locator(".jp-OutputArea-output").all_inner_texts())

    def ask(self, code: str) -> str:
        """Run code in the kernel without a cell; what it prints, then the repr of its last expression.

        It waits its turn behind the cells that run. After a cell that ends with a semicolon IPython shows no result
        here either. AssertionError: the code raised.
        """
        answer = self._panel(ASK, code=code)
        assert answer["error"] is None, answer["error"]
        return str(answer["text"])

    def wait_idle(self) -> None:
        """Wait until no cell runs and the kernel has nothing to do."""
        self.page.wait_for_function(IDLE, arg={"id": self.id}, timeout=WAIT_MS)

    def interrupt(self) -> None:
        """Interrupt what the kernel runs, as the button with the square does."""
        self._panel("return kernel.interrupt();")

    def restart(self) -> None:
        """Restart the kernel and wait until it is back. What the cells show stays."""
        self._panel("await kernel.restart(); await kernel.info;")
        self.wait_idle()

    def _panel(self, script: str, **arguments: object) -> object:
        """What a script gives that may name the `app`, its `panel`, the `kernel`, and arguments as `of`."""
        late = f"new Promise((_, no) => setTimeout(() => no(new Error('late: {WAIT_MS} ms')), {WAIT_MS}))"
        whole = f"of => Promise.race([(async () => {{ {PANEL}\n{script} }})(), {late}])"
        return self.page.evaluate(whole, {"id": self.id, **arguments})
