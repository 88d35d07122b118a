"""The program `absdb`: all its commands, each with the module that has it and its line in the overview.

A module is imported when its command is called, so that `absdb --help` does not wait for the engine.
"""

from __future__ import annotations

import click

from absdb.cli.command import Root

COMMANDS = {
    "demo": ("absdb.cli.demo", "Tell the whole story once, on the flights of 2013."),
    "init": ("absdb.cli.init", "Make a new, empty instance."),
    "import": ("absdb.cli.import_files", "Load files into tables: Parquet, CSV, Arrow, JSON lines."),
    "export": ("absdb.cli.export_file", "Write a table to a file: Parquet, CSV, Arrow."),
    "sql": ("absdb.cli.sql", "Run SQL: queries over versions, changes, definitions."),
    "shell": ("absdb.cli.shell", "Type SQL in a session, with completion and history."),
    "databases": ("absdb.cli.databases", "List the databases of the instance."),
    "tables": ("absdb.cli.tables", "List, show, drop and undrop tables."),
    "branch": ("absdb.cli.branch", "Make, list, protect and drop branches."),
    "snapshot": ("absdb.cli.snapshot", "Name states, to keep them and to come back to them."),
    "log": ("absdb.cli.log", "List commits, newest first."),
    "at": ("absdb.cli.at", "Look at a database, or at rows, as they were at a point."),
    "restore": ("absdb.cli.restore", "Make a database what it was at a point; bring back backups."),
    "promote": ("absdb.cli.promote", "End the recovery of a restored directory."),
    "diff": ("absdb.cli.diff", "Show what one state has that another has not."),
    "merge": ("absdb.cli.merge", "Bring what another database has into one."),
    "revert": ("absdb.cli.revert", "Take back one commit, and keep what came later."),
    "cherry-pick": ("absdb.cli.cherry_pick", "Take over one commit of another database."),
    "rebase": ("absdb.cli.rebase", "Replay a branch's commits on another head."),
    "rehearse": ("absdb.cli.rehearse", "Try a migration on a branch before it is run."),
    "blame": ("absdb.cli.blame", "Show which commit last wrote each row of a table."),
    "bisect": ("absdb.cli.bisect", "Find the commit after which a query is no longer true."),
    "backup": ("absdb.cli.backup", "Back up the instance; list, show and verify backups."),
    "check": ("absdb.cli.check", "Read everything there is, and report what does not fit."),
    "checkpoint": ("absdb.cli.checkpoint", "Put everything into page files now."),
    "stats": ("absdb.cli.stats", "Show sizes and counts of the instance and of its log."),
    "drill": ("absdb.cli.drill", "Try out whether a backup comes back, and compare it."),
    "admin": ("absdb.cli.admin", "Look after the instance, its log and its backups."),
    "wal-list": ("absdb.cli.wal_list", "List what an archive of the log has, and what it has not."),
    "wal-fetch": ("absdb.cli.wal_fetch", "Fetch one segment from an archive of the log."),
    "config": ("absdb.cli.config", "Show settings, and where their values come from."),
}


def main() -> None:
    """What the script `absdb` runs."""
    program(prog_name="absdb")


@click.command(
    cls=Root,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    examples=[
        "absdb demo",
        "absdb init shop && cd shop && absdb import orders.parquet --key id",
        "absdb branch create staging",
        "absdb diff --stat main staging",
        "absdb merge staging --dry-run",
        'absdb restore --time "2026-04-04 14:05Z" --dry-run',
    ],
)
@click.version_option(package_name="absdb", message="absdb %(version)s")
def program() -> None:
    """A durable database in a directory that branches, diffs and travels in time.

    Exit codes: 0 done, 1 failed, 2 wrong usage. Commands that read work beside a process that writes.
    """


if __name__ == "__main__":
    main()
