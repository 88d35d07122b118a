"""`absdb branch`: create, list, drop, protect and unprotect."""

from __future__ import annotations

from typing import Any

import click

from absdb.cli.command import Call, Noun, When, confirm, dry_run_option, point_options, yes_option
from absdb.cli.output import Done, Listing, items
from absdb.cli.session import Session, opened
from absdb.cli.store_options import StoreOptions, store_options
from absdb.engine.creation import FIRST_DATABASE
from absdb.errors import StateError
from absdb.reprs import counted
from absdb.versioning.listing import branches, snapshots


@click.group(
    "branch",
    cls=Noun,
    examples=["absdb branch create staging", "absdb branch list", "absdb branch drop staging --dry-run"],
)
def command() -> None:
    """Make, list, protect and drop branches."""


@command.command(
    "create",
    examples=[
        "absdb branch create staging",
        'absdb branch create audit --time "2026-04-04 02:00Z" --retain "7 days"',
        "absdb branch create retry --from staging --snapshot before",
        "absdb branch create lost --from-backup /backups/shop#nightly",
    ],
)
@click.argument("name")
@click.option("--from", "source", metavar="DATABASE", help="What it starts as. [default: main]")
@point_options()
@click.option(
    "--from-backup",
    "backup",
    metavar="URL[#LABEL]",
    help="A backup it starts as; without a label the newest.",
)
@click.option(
    "--database", metavar="DATABASE", help="Which database of the backup. [default: main, or its only one]"
)
@click.option("--protected", is_flag=True, help="Accept merges only.")
@click.option("--retain", metavar="DURATION", help='How long it should live, such as "7 days".')
@click.option("--comment", default="", help="What it is for.")
@store_options
@click.pass_obj
def create_branch(
    call: Call,
    name: str,
    source: str | None,
    when: When,
    backup: str | None,
    database: str | None,
    protected: bool,
    retain: str | None,
    comment: str,
    options: StoreOptions,
) -> None:
    """Make a database that starts as another one is, or was at a point, and goes its own way.

    Takes one sync of the disk, whatever the size. From a backup it is what was there then, beside what is here now, and
    takes fetching what the database needs.
    """
    if backup is not None:
        if source is not None or when or protected or retain or comment:
            raise click.UsageError("--from-backup goes with --database and options of stores only")
        return _from_backup(call, name, backup, database, options)
    if database is not None:
        raise click.UsageError("--database is one of a backup; --from names one that is here")
    source = source or FIRST_DATABASE
    with opened(call, write=True) as session:
        point = session.point(source, when)
        session.database(source).branch(
            name, **_arguments(when), protected=protected, retain=retain, comment=comment
        )
        facts = {"branch": name, "created_from": source, "created_lsn": point.lsn, "protected": protected}
    call.output.show(Done(f"made branch {name} from {source} @ {point.lsn}", facts))


def _from_backup(call: Call, name: str, url: str, database: str | None, options: StoreOptions) -> None:
    with opened(call, write=True) as session:
        made = session.instance.restore_branch(
            url,
            database=database,
            name=name,
            key_file=options.key_file or "",
            progress=call.output.bars,
            **options.named,
        )
        listed = next(item for item in items(branches(session.engine)) if item["name"] == made.name)
        tables = len(session.scope(name).catalog().tables)
    facts = {"branch": name, "backup": url, "created_from": listed["created_from"], "tables": tables}
    how = f"a branch of {listed['created_from']}" if listed["created_from"] else "a database of its own"
    call.output.show(Done(f"made {name} from {url} with {counted(tables, 'table')}: {how}", facts))


@command.command("list", examples=["absdb branch list", "absdb branch list --json"])
@click.pass_obj
def list_branches(call: Call) -> None:
    """List all databases as branches: where they come from, and how far they have gone their own way."""
    with opened(call) as session:
        call.output.show(Listing(items(branches(session.engine))))


@command.command("drop", examples=["absdb branch drop staging --dry-run", "absdb branch drop staging --yes"])
@click.argument("name")
@dry_run_option
@yes_option
@click.pass_obj
def drop_branch(call: Call, name: str, dry_run: bool, yes: bool) -> None:
    """Remove a branch and its snapshots. Branches made from it stay whole."""
    with opened(call) as session:
        facts = _losses(session, name)
    what = (
        f"branch {name} with {counted(facts['tables'], 'table')}, {counted(facts['commits'], 'commit')} of its "
        f"own and {counted(len(facts['snapshots']), 'snapshot')}"
    )
    if dry_run:
        call.output.show(Done(f"would drop {what}", {**facts, "dropped": False}))
        return
    confirm(f"drop {what}? It cannot be brought back.", yes=yes)
    with opened(call, write=True) as session:
        session.instance.drop_database(name)
    call.output.show(Done(f"dropped {what}", {**facts, "dropped": True}))


@command.command("protect", examples=["absdb branch protect main"])
@click.argument("name")
@click.pass_obj
def protect_branch(call: Call, name: str) -> None:
    """Accept merges only from now on: no direct commits, no restore, no drop."""
    with opened(call, write=True) as session:
        session.database(name).protect()
    call.output.show(Done(f"{name} is protected", {"branch": name, "protected": True}))


@command.command("unprotect", examples=["absdb branch unprotect main"])
@click.argument("name")
@click.pass_obj
def unprotect_branch(call: Call, name: str) -> None:
    """Accept direct commits again."""
    with opened(call, write=True) as session:
        session.database(name).unprotect()
    call.output.show(Done(f"{name} is no longer protected", {"branch": name, "protected": False}))


def _losses(session: Session, name: str) -> dict[str, Any]:
    """What goes when a branch is dropped; StateError if it must stay."""
    engine = session.engine
    info = engine.history.database(name)
    if info.protected:
        raise StateError(f"database {name!r} is protected", hint=f"`absdb branch unprotect {name}` first")
    if len(engine.history.databases) == 1:
        raise StateError(f"{name!r} is the only database of the instance", hint="make another one first")
    eras = set(info.eras)
    found = next(item for item in items(branches(engine)) if item["name"] == name)
    spans = [(era, -1, engine.published) for era in eras]
    return {
        "branch": name,
        "created_from": found["created_from"],
        "tables": len(session.scope(name).catalog().tables),
        "commits": sum(entry.era in eras for entry in engine.log.entries(spans)),
        "diverged_pages": found["diverged_pages"],
        "snapshots": [item["name"] for item in items(snapshots(engine, info.id))],
    }


def _arguments(when: When) -> dict[str, Any]:
    return dict(when.named)
