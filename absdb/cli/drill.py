"""`absdb drill`: restore a backup elsewhere, recover, check and compare it, and report."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from absdb.backup.drill import Drill, drill, source_at
from absdb.backup.drill_report import DrillReport
from absdb.cli.command import FAILED, INSTANCE_VARIABLE, Call, Verb
from absdb.cli.output import Done, Facts, Listing
from absdb.cli.session import is_instance
from absdb.cli.store_options import StoreOptions, store_options
from absdb.engine.engine import Engine
from absdb.sizes import size


@click.command(
    "drill",
    cls=Verb,
    examples=["absdb drill /backup/shop", "absdb -i shop drill s3://bucket/shop --label full-base --json"],
)
@click.argument("url")
@click.option("--label", metavar="NAME", help="Which backup. [default: the newest]")
@click.option("--archive", metavar="URL", help="Where the log was archived. [default: what the backup says]")
@click.option("--keep", is_flag=True, help="Leave the recovered instance where it is, and say where.")
@click.option(
    "--jobs", type=click.IntRange(1, 256), metavar="N", help="Files, and parts of files, at a time."
)
@store_options
@click.pass_obj
def command(
    call: Call,
    url: str,
    label: str | None,
    archive: str | None,
    keep: bool,
    jobs: int | None,
    options: StoreOptions,
) -> None:
    """Restore a backup elsewhere, recover it, check it, and compare it with the instance it was made of.

    The instance is the one of --instance, or in the current directory; without one nothing is compared. Needs room for
    the backup among the temporary files ($TMPDIR). Exit code 0 only if all is well.
    """
    with _source(call) as (source, left_out):
        what = Drill(
            url=url,
            label=label,
            source=source,
            left_out=left_out,
            archive_url=archive,
            key=options.key(),
            jobs=jobs,
            progress=call.output.bars,
            store_options=options.named,
        )
        report = drill(what, keep=keep)
    _show(call, report)
    if not report:
        raise click.exceptions.Exit(FAILED)


def _source(call: Call) -> AbstractContextManager[tuple[Engine | None, str]]:
    """The instance to compare with, or why there is none."""
    here = os.getcwd()
    path = call.instance or os.environ.get(INSTANCE_VARIABLE, "") or (here if is_instance(here) else "")
    return source_at(path) if path else nullcontext((None, "no instance was named with --instance"))


def _show(call: Call, report: DrillReport) -> None:
    if call.as_json:
        call.output.show(Facts(report.as_dict()))
        return
    call.output.show(Listing([_step(step) for step in report.as_dict()["steps"]]))
    kept = f"; it is kept in {report.path}" if report.path is not None else ""
    call.output.show(Done(f"{report.verdict}{kept}"))


def _step(step: dict[str, Any]) -> dict[str, Any]:
    said = "" if step["bytes"] is None else size(step["bytes"])
    return {
        "step": step["step"],
        "outcome": step["outcome"],
        "seconds": step["seconds"],
        "size": said,
        "what": step["detail"],
    }
