"""`absdb restore --from URL --to DIR`: an instance out of its backups, as it was at a target. Called by restore.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from absdb.cli.command import Call, Checked, confirm
from absdb.cli.output import Done
from absdb.cli.store_options import StoreOptions, store_options
from absdb.clock import parse_time
from absdb.ids import Lsn

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = {
    "from_url": "--from",
    "to": "--to",
    "label": "--label",
    "target_time": "--target-time",
    "target_lsn": "--target-lsn",
    "target_name": "--target-name",
    "target_timeline": "--target-timeline",
    "target_action": "--target-action",
    "exclusive": "--exclusive",
    "immediate": "--immediate",
    "archive": "--archive",
    "in_place": "--in-place",
    "check": "--check",
    "jobs": "--jobs",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said about backups and the target."""

    options: dict[str, Any]
    store: StoreOptions

    def is_given(self, ctx: click.Context) -> bool:
        """Whether it is backups that are to be restored; UsageError if it is not and something of that was said."""
        if self.options["from_url"] is not None and self.options["to"] is not None:
            return True
        said = [flag for name, flag in _NAMES.items() if is_given(ctx, name)]
        if said:
            raise click.UsageError(
                f"{said[0]} is for restoring backups, which takes both --from URL and --to DIR"
            )
        return False

    def run(self, call: Call, database: str | None, *, dry_run: bool, yes: bool) -> None:
        """Restore, and say what was done."""
        from absdb.backup.recovery.restore import restore

        asked = self.options
        targets = [name for name in ("target_time", "target_lsn", "target_name", "immediate") if asked[name]]
        if len(targets) > 1:
            raise click.UsageError(f"{' and '.join(_NAMES[name] for name in targets)}: give one target")
        if asked["in_place"] and not dry_run:
            confirm(f"replace the instance in {asked['to']}, whose state is lost?", yes=yes)
        found = restore(
            asked["from_url"],
            asked["to"],
            label=asked["label"],
            database=database,
            target_time=asked["target_time"],
            target_lsn=asked["target_lsn"],
            target_name=asked["target_name"],
            target="immediate" if asked["immediate"] else None,
            target_timeline=asked["target_timeline"],
            inclusive=not asked["exclusive"],
            action=asked["target_action"],
            archive_url=asked["archive"],
            in_place=asked["in_place"],
            dry_run=dry_run,
            check=asked["check"],
            key=self.store.key(),
            jobs=asked["jobs"],
            progress=call.output.bars,
            store_options=self.store.named,
        )
        call.output.show(Done(str(found), found.facts()))
        if not found.well:
            for problem in found.problems or ():
                call.output.note(problem)
            raise click.exceptions.Exit(1)


def is_given(ctx: click.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    return ctx.get_parameter_source(name) not in (None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP)


def only_one(ctx: click.Context, what: str, others: Iterable[str]) -> None:
    """UsageError if an option was given that does not go with `what`."""
    for param in ctx.command.params:
        if param.name in others and is_given(ctx, param.name):
            raise click.UsageError(f"{param.opts[-1]} does not go with {what}")


def backup_options(function: F) -> F:
    """Adds what is said about backups and the target to a command, which gets it as `asked`."""

    @functools.wraps(function)
    def wrapper(*args: Any, options: StoreOptions, **more: Any) -> Any:
        asked = Asked({name: more.pop(name) for name in _NAMES}, options)
        return function(*args, asked=asked, **more)

    decorators = [
        click.option(
            "--from", "from_url", metavar="URL", help="Backups: the URL of a repository, or URL#LABEL."
        ),
        click.option("--to", metavar="DIR", help="The directory to restore backups into."),
        click.option(
            "--label", metavar="NAME", help="Which backup. [default: the newest not after the target]"
        ),
        click.option(
            "--target-time",
            type=Checked("time", parse_time),
            metavar="TIME",
            help="Recover to the last commit until then; without a zone it is UTC.",
        ),
        click.option(
            "--target-lsn", type=Checked("lsn", Lsn.parse), metavar="LSN", help="Recover to an LSN."
        ),
        click.option("--target-name", metavar="NAME", help="Recover to a restore point or snapshot."),
        click.option("--immediate", is_flag=True, help="Recover to the end of the backup."),
        click.option("--exclusive", is_flag=True, help="Stop before the target time or LSN."),
        click.option(
            "--target-timeline",
            default="latest",
            metavar="T",
            help="Along which timeline: latest, current (the backup's) or a number. [default: latest]",
        ),
        click.option(
            "--target-action",
            type=click.Choice(["promote", "pause", "shutdown"]),
            default="promote",
            show_default=True,
            help="Go on from the target, look at it first, or leave it there.",
        ),
        click.option("--archive", metavar="URL", help="The archive of the log. [default: the backup's]"),
        click.option("--in-place", is_flag=True, help="Replace the instance that is in the directory."),
        click.option(
            "--check", is_flag=True, help="Read everything afterwards, and report what does not fit."
        ),
        click.option(
            "--jobs", type=click.IntRange(1, 256), metavar="N", help="Files, and parts of files, at a time."
        ),
    ]
    decorated = store_options(wrapper)
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return decorated  # type: ignore[return-value]  # click only needs something to call
