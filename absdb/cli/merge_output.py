"""What merges, reverts and their like have to say, and the options that they share."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from absdb.cli.command import Call
from absdb.cli.output import Facts, Listing, Part
from absdb.errors import InvalidInputError, MergeConflictError
from absdb.io.text_files import read_text
from absdb.merge_result import MergeResult
from absdb.versioning.conflicts import COLUMNS, Conflicts
from absdb.versioning.merge_states import CHOICES

F = TypeVar("F", bound=Callable[..., Any])
SHOWN = COLUMNS[:7]


def conflict_options(command: F) -> F:
    """Adds --on-conflict and --resolutions."""
    resolutions = click.option(
        "--resolutions",
        metavar="FILE",
        help="Conflicts as --dry-run --json gives them, with `resolution` filled in: ours, theirs, base, value.",
    )
    choice = click.option(
        "--on-conflict",
        type=click.Choice(list(CHOICES)),
        default="fail",
        show_default=True,
        help="What holds where both sides changed the same thing.",
    )
    return choice(resolutions(command))


def read_resolutions(path: str | None) -> dict[str, list[Any]] | None:
    """The conflicts of a file as columns; keys of several columns become tuples again."""
    if path is None:
        return None
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{path!r} is not JSON: {error}") from error
    rows = data.get("conflicts") if isinstance(data, dict) else data
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInputError(f"{path!r} holds no list of conflicts", hint="--dry-run --json writes one")
    return {name: [row.get(name) for row in rows] for name in COLUMNS}


def listed(conflicts: Conflicts) -> list[dict[str, Any]]:
    """Conflicts as rows."""
    columns = conflicts.columns
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(columns[n] for n in COLUMNS), strict=True)]


def show(call: Call, result: MergeResult, what: str) -> None:
    """Print what was done, or would be."""
    merged = result.merged
    summary = [
        dict(zip(("table_name", "operation", "row_count"), row, strict=True)) for row in merged.summary
    ]
    conflicts = listed(merged.conflicts)
    violations = [
        {"table_name": e.facts.get("table"), "constraint": e.facts.get("constraint"), "message": e.message}
        for e in merged.violations
    ]
    failed = merged.failed_checks.facts["checks"] if merged.failed_checks is not None else []
    facts = {
        "kind": result.kind,
        "dry_run": result.dry_run,
        "lsn": None if result.lsn is None else str(result.lsn),
        "clean": result.clean,
        "failed_checks": failed,
    }
    if call.as_json:
        parts: dict[str, Part] = {"merge": Facts(facts), "summary": Listing(summary)}
        call.output.show_all({**parts, "conflicts": Listing(conflicts), "violations": Listing(violations)})
    else:
        call.output.line(_sentence(result, what))
        call.output.show(Listing(summary, "no rows change"))
        if conflicts:
            call.output.show(Listing([{name: row[name] for name in SHOWN} for row in conflicts]))
        if violations:
            call.output.show(Listing(violations))
        for name in failed:
            call.output.line(f"data check {name} does not hold")
    if not result.clean:
        raise click.exceptions.Exit(1)


def _sentence(result: MergeResult, what: str) -> str:
    if not result:
        return f"{what}: there is nothing new"
    if result.dry_run:
        return f"{what} would be a {result.kind}{'' if result.clean else ', but cannot be done as it is'}:"
    return f"{what}: {result.kind} @ {result.lsn}; `absdb revert {result.lsn}` takes it back"


def show_conflicts(call: Call, error: MergeConflictError) -> None:
    """Print the conflicts that stopped something, for programs and for people; the error itself follows."""
    conflicts = listed(error.facts["conflict_data"])
    if call.as_json:
        call.output.show_all({"conflicts": Listing(conflicts)})
    else:
        call.output.show(Listing([{name: row[name] for name in SHOWN} for row in conflicts]))
