"""`absdb check`: read everything there is, and report what does not fit."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from absdb.cli.command import FAILED, Call, Verb
from absdb.cli.output import Listing
from absdb.cli.session import opened
from absdb.engine.check import check
from absdb.errors import CorruptionError
from absdb.progress import reporting


@click.command("check", cls=Verb, examples=["absdb check", "absdb check --json"])
@click.pass_obj
def command(call: Call) -> None:
    """Read everything there is, and report what does not fit. Changes nothing.

    Exit code 1 if there is an error; a remark is none.
    """
    output = call.output
    findings: list[dict[str, Any]] = []
    with reporting(output.bars, "check", unit="files") as report:

        def progress(done: int, total: int) -> None:
            if report is not None:
                report(done)

        try:
            with opened(call) as session:
                for finding in check(session.engine, progress=progress):
                    findings.append(dataclasses.asdict(finding))
        except CorruptionError as error:
            # So much is damaged that it could not be opened, or read to the end.
            where = str(error.facts.get("path", "instance"))
            findings.append({"severity": "error", "where": where, "problem": error.message})
    output.show(Listing(findings, "all is well"))
    if any(finding["severity"] == "error" for finding in findings):
        raise click.exceptions.Exit(FAILED)
