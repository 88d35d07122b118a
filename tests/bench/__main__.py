"""`python -m tests.bench [--rows 1000000,5000000] [--out FILE] [--only PARTS] [--foreign] …`"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.bench import (
    backups,
    change_memory,
    commits,
    memory,
    merges,
    own_environment,
    panels,
    peers,
    sql,
    states,
    tables,
)
from tests.bench.harness import Report
from tests.bench.machine import limits

PARTS = ("backups", "commits", "tables", "changes", "change_memory", "panels", "peers", "sql")


def main() -> None:
    """Run the chosen parts in a temporary directory on the disk of `--folder` and write the JSON report."""
    parser = argparse.ArgumentParser(description="Benchmarks of absdb beside its peers.")
    parser.add_argument("--rows", default="1000000,5000000", help="table sizes, comma-separated")
    parser.add_argument("--out", default="bench.json", type=Path, help="where the JSON goes")
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)}, comma-separated"
    )
    parser.add_argument("--scale", default=1.0, type=float, help="scale factor of TPC-H")
    parser.add_argument(
        "--foreign", action="store_true", help="also ArcticDB, Delta Lake, doltlite (from PyPI)"
    )
    parser.add_argument(
        "--memory", type=int, metavar="ROWS", help="also peak memory; 50000000 takes minutes and 25 GB"
    )
    parser.add_argument("--folder", default=None, help="where the data goes while it runs")
    chosen = parser.parse_args()
    parts = chosen.only.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    report = Report()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        report.machine = limits(folder)
        print(report.machine, flush=True)
        if "commits" in parts:
            commits.run(report, folder)
        if "panels" in parts:
            panels.run(report, folder)
        if "peers" in parts:
            peers.run_commits(report, folder)
        if "sql" in parts:
            sql.run_tpch(report, folder, chosen.scale)
        for rows in map(int, chosen.rows.split(",")):
            if "backups" in parts:
                backups.run(report, folder, rows)
            if "tables" in parts:
                tables.run(report, folder, rows)
            if "changes" in parts:
                states.run(report, folder, rows)
                merges.run(report, folder, rows)
            if "change_memory" in parts:
                change_memory.run(report, folder, rows)
            if "peers" in parts:
                peers.run_tables(report, folder, rows)
                peers.run_comparisons(report, folder, rows)
            if "sql" in parts:
                sql.run(report, folder, rows)
            if chosen.foreign:
                own_environment.run(report, folder, rows)
        if chosen.memory:
            memory.run(report, folder, chosen.memory)
    report.write(chosen.out)
    print(f"written to {chosen.out}")


if __name__ == "__main__":
    main()
