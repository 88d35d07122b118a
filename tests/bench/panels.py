"""The workbench on the flights: its first view after the import, and a step of its slider; also in JupyterLab."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import absdb
from absdb.panels import time_travel
from tests.bench.harness import Report, timed
from tests.browser.presence import what_is_missing

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "absdb"
KEYS = {"airlines": "carrier", "flights": ["time_hour", "carrier", "flight"]}
COMMITS, RUNS = 60, 5
FIRST_VIEW = """
import sys, time
import absdb
nyc = absdb.connect(sys.argv[1])
nyc["main"]["flights"].head()
begin = time.perf_counter()
absdb.workbench(nyc)
print((time.perf_counter() - begin) * 1e3)
"""
SHOWN = """() => new Promise(done => {
    const look = () => document.querySelector('.absdb-history [role=button]')
        ? done(performance.now() - window.begin) : requestAnimationFrame(look);
    look();
})"""
STEP = """() => new Promise(done => {
    const input = document.querySelector('.absdb-slider input');
    const grid = input.closest('.absdb-page').querySelectorAll('.absdb-grid');
    const rows = () => [...grid].map(one => one.textContent).join();
    const before = rows(), begin = performance.now();
    input.value = Number(input.value) - 1;
    input.dispatchEvent(new Event('input', {bubbles: true}));
    const look = () => rows() === before ? requestAnimationFrame(look) : done(performance.now() - begin);
    requestAnimationFrame(look);
})"""


def run(report: Report, folder: Path) -> None:
    """First view and slider step, each in Python alone and in JupyterLab if there is a browser."""
    path = folder / "nyc"
    rows = _flights(path)
    report.add("workbench, first view", SYSTEM, rows, _first_views(path))
    with absdb.connect(path) as nyc:
        report.add("slider step", SYSTEM, rows, _steps(nyc))
    if why := what_is_missing():
        print(f"nothing measured in JupyterLab: {why}", flush=True)
        return
    first, steps = _in_jupyterlab(path)
    report.add("workbench, first view in JupyterLab", SYSTEM, rows, first)
    report.add("slider step in JupyterLab", SYSTEM, rows, steps)


def _flights(path: Path) -> int:
    """The flights with a history: commits that change a few rows of the large table each. How many rows it has."""
    with absdb.connect(path) as nyc:
        main = nyc["main"]
        for name, key in KEYS.items():
            main.create_table(name, pq.read_table(ROOT / "data" / f"{name}.parquet"), key=key)
        flights = main["flights"].to_arrow()
        for number in range(COMMITS):
            change = flights.slice(number * 1000, 20)
            column = change.column_names.index("dep_delay")
            delay = pa.array([number] * change.num_rows, change.schema.field(column).type)
            main["flights"].update(change.set_column(column, "dep_delay", delay))
        return int(flights.num_rows)


def _first_views(path: Path) -> list[float]:
    """Until the widget has its content, in a process that has looked at the flights and has no widgets yet."""
    command = [sys.executable, "-c", FIRST_VIEW, str(path)]
    return [
        float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
        for _ in range(RUNS)
    ]


def _steps(nyc: absdb.Instance) -> list[float]:
    """From the slider's value until everything on the page is that of the commit."""
    page = time_travel(nyc)
    page.hub.work.wait()
    page.table.value = "flights"
    page.hub.work.wait()

    def step() -> None:
        page.slider.value -= 1
        page.hub.work.wait()

    runs = timed(step, runs=RUNS * 4)
    page.close()
    return runs


def _in_jupyterlab(path: Path) -> tuple[list[float], list[float]]:
    """The same from the cell that is run until the history is drawn, and from the input until the rows changed."""
    from tests.browser.chromium import lab_in_chromium
    from tests.browser.server import JupyterServer

    with tempfile.TemporaryDirectory() as name:
        server = JupyterServer(Path(name))
        try:
            with lab_in_chromium(server) as lab:
                first = []
                for _ in range(RUNS):
                    lab.close_all()
                    load = f"import absdb\nnyc = absdb.connect({str(path)!r})\nnyc['main']['flights'].head()"
                    notebook = lab.make(load, "bench = absdb.workbench(nyc)\nbench")
                    notebook.run_cell(0)
                    lab.page.evaluate("window.begin = performance.now()")
                    notebook.start_cell(1)
                    first.append(float(lab.page.evaluate(SHOWN)))
                    notebook.wait_idle()
                notebook.ask("page = bench.turn('Time travel'); bench.hub.work.wait()")
                notebook.ask("page.table.value = 'flights'; bench.hub.work.wait()")
                return first, [float(lab.page.evaluate(STEP)) for _ in range(RUNS * 4)]
        finally:
            server.stop()
