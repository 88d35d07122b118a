"""Runs `foreign.py` in an environment of its own and brings its results into the report.

The environment is a virtual environment in `.bench-env`, made on first use from PyPI. A system that cannot be
installed or fails is named in the report with the reason, and the run goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pyarrow.parquet as pq

from absdb.testing.orders import changed, orders
from tests.bench.harness import Report

ENVIRONMENT = Path(__file__).parents[2] / ".bench-env"
SYSTEMS = {"delta": "deltalake", "arctic": "arcticdb", "doltlite": "doltlite"}
MINUTES_MAX = 10


def run(report: Report, folder: Path, rows: int) -> None:
    """Every system on `rows` orders."""
    frame, few = folder / "frame.parquet", folder / "few.parquet"
    made = orders(rows)
    pq.write_table(made, frame)
    pq.write_table(changed(made, 1200, seed=1), few)
    del made
    for system, package in SYSTEMS.items():
        python = _ready(package)
        if python is None:
            report.machine[f"without {system}"] = f"{package} could not be installed"
            continue
        place = folder / f"{system}-{rows}"
        place.mkdir()
        command = [
            str(python),
            str(Path(__file__).with_name("foreign.py")),
            system,
            str(frame),
            str(few),
            str(place),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES_MAX, check=False)
        for line in done.stdout.splitlines():
            found = json.loads(line)
            report.add(found["work"], system, rows, found["runs"], unit=found["unit"])
        if done.returncode:
            report.machine[f"{system} at {rows} rows"] = done.stderr.strip().splitlines()[-1]
            print(report.machine[f"{system} at {rows} rows"], flush=True)


def _ready(package: str) -> Path | None:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
        _install(python, "pyarrow", "pandas<3", "numpy")
    if subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0:
        return python
    return python if _install(python, package) else None


def _install(python: Path, *packages: str) -> bool:
    command = [str(python), "-m", "pip", "install", "--quiet", *packages]
    return subprocess.run(command, stdout=sys.stderr, check=False).returncode == 0
