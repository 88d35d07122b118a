"""`absdb config`: settings, and where their values come from."""

from __future__ import annotations

import difflib

import click

from absdb.cli.command import Call, Noun
from absdb.cli.output import Facts, Listing, Row
from absdb.cli.session import opened
from absdb.errors import NotFoundError


@click.group("config", cls=Noun, examples=["absdb config list", "absdb config show history_retention"])
def command() -> None:
    """Show settings, and where their values come from.

    Values are set in the instance's absdb.conf, or by the environment variable ABSDB_<NAME>.
    """


@command.command(
    "list", examples=["absdb config list", "absdb config list --changed", "absdb config list --json"]
)
@click.option("--changed", is_flag=True, help="Only those that are not at their default.")
@click.pass_obj
def list_settings(call: Call, changed: bool) -> None:
    """List all settings: value, where it comes from, default."""
    with opened(call) as session:
        found = session.engine.settings.rows()
    kept = [row for row in found if not changed or row["value"] != row["default"]]
    call.output.show(Listing(kept, "all settings are at their defaults", short=_short))


def _short(row: Row) -> Row:
    """Without the meaning, which is long."""
    return {name: row[name] for name in ("name", "value", "origin", "default")}


@command.command("show", examples=["absdb config show history_retention", "absdb config show author --json"])
@click.argument("name")
@click.pass_obj
def show_setting(call: Call, name: str) -> None:
    """Show one setting: value, where it comes from, default and meaning."""
    with opened(call) as session:
        found = {row["name"]: row for row in session.engine.settings.rows()}
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`absdb config list` lists them"
        raise NotFoundError(f"there is no setting {name!r}", hint=hint)
    call.output.show(Facts(found[name]))
