"""What merges, reverts and their like have to say, and the options that they share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from absdb.cli.command import Call
from absdb.cli.output import Facts, Listing, Part, Rows, items
from absdb.errors import DataCheckError, InvalidInputError, MergeConflictError, MergeConstraintError
from absdb.io.text_files import read_text
from absdb.merge_result import MergeResult
from absdb.reprs import counted
from absdb.versioning.conflicts import COLUMNS, Conflicts, Violations
from absdb.versioning.merge_states import CHOICES

F = TypeVar("F", bound=Callable[..., Any])
SHOWN = COLUMNS[:7]
REQUIRED = ("table_name", "kind", "key", "column_name", "resolution")
IN_THE_WAY = (MergeConflictError, MergeConstraintError, DataCheckError)
"""What stops a merge and has rows to show."""


def conflict_options(command: F) -> F:
    """Adds --on-conflict and --resolutions."""
    resolutions = click.option(
        "--resolutions",
        metavar="FILE",
        help="Conflicts as --json gives them, with `resolution` filled in: ours, theirs, base, value.",
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
    for number, row in enumerate(rows, 1):
        lacking = [name for name in REQUIRED if name not in row]
        if lacking:
            raise InvalidInputError(
                f"conflict {number} in {path!r} has no {lacking[0]!r}",
                hint="fill in the resolution of what --dry-run --json writes, and leave the rest as it is",
            )
    return {name: [row.get(name) for row in rows] for name in COLUMNS}


def listed(conflicts: Conflicts) -> list[dict[str, Any]]:
    """Conflicts as rows."""
    columns = conflicts.columns
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(columns[n] for n in COLUMNS), strict=True)]


def show(call: Call, result: MergeResult, what: str, nothing: str = "there is nothing new") -> None:
    """Print what was done, or would be; `nothing` where there was nothing to do."""
    merged = result.merged
    summary = [
        dict(zip(("table_name", "operation", "row_count"), row, strict=True)) for row in merged.summary
    ]
    conflicts = listed(merged.conflicts)
    violations = _violations(Violations(tuple(merged.violations)))
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
        call.output.line(_sentence(result, what, nothing))
        if result:
            call.output.show(Listing(summary, "no rows change"))
        if conflicts:
            call.output.line(f"\n{counted(len(conflicts), 'conflict')}:")
            call.output.show(_seen(conflicts))
        if violations:
            call.output.line("\nrows that would break constraints:")
            call.output.show(Listing(violations))
        for name in failed:
            call.output.line(f"data check {name} does not hold")
    if not result.clean:
        raise click.exceptions.Exit(1)


def _sentence(result: MergeResult, what: str, nothing: str) -> str:
    if not result:
        return f"{what}: {nothing}"
    if result.dry_run:
        if not result.clean:
            return f"{what} cannot be done as it is; it would bring:"
        how = "be a fast-forward" if result.kind == "fast-forward" else "bring"
        return f"{what} would {how}:"
    how = " (a fast-forward)" if result.kind == "fast-forward" else ""
    return f"{what}: committed at {result.lsn}{how}; `absdb revert {result.lsn}` takes it back"


@contextmanager
def rows_shown(call: Call) -> Iterator[None]:
    """What stops the work inside is raised on, after the rows that it names have been printed."""
    try:
        yield
    except IN_THE_WAY as error:
        _show_in_the_way(call, error)
        raise


def _show_in_the_way(call: Call, error: MergeConflictError | MergeConstraintError | DataCheckError) -> None:
    """Print the rows that stopped something, for programs and for people; the error itself follows, with advice."""
    parts: dict[str, Part]
    match error:
        case MergeConflictError():
            conflicts = listed(error.facts["conflict_data"])
            parts = {"conflicts": Listing(conflicts) if call.as_json else _seen(conflicts)}
            error.hint = "decide all with --on-conflict, or each: --json > FILE, fill in resolution, --resolutions FILE"
        case MergeConstraintError():
            parts = {"violations": Listing(_violations(error.facts["violation_data"]))}
            error.hint = "mend the rows on one of the sides, then try again"
        case _:
            parts = {name: Rows(items(rows)) for name, rows in error.facts["rows"].items()}
            error.hint = "mend the rows first; those shown are the first that offend"
    call.output.show_all(parts)


def _seen(conflicts: list[dict[str, Any]]) -> Listing:
    return Listing([{name: row[name] for name in SHOWN} for row in conflicts])


def _violations(found: Violations) -> list[dict[str, Any]]:
    return [dict(row) for row in found.frame().to_dict("records")]
