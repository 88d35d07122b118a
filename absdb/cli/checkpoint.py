"""`absdb checkpoint`: put everything into page files now."""

from __future__ import annotations

import click

from absdb.cli.command import Call, Verb
from absdb.cli.output import Done
from absdb.cli.session import opened


@click.command("checkpoint", cls=Verb, examples=["absdb checkpoint", "absdb checkpoint --maintain"])
@click.option("--maintain", is_flag=True, help="Also merge runs, and let expired history go.")
@click.pass_obj
def command(call: Call, maintain: bool) -> None:
    """Put everything into page files now, so that the next start has no log to read.

    Happens by itself in time, and whenever an instance is closed.
    """
    with opened(call, write=True) as session:
        lsn = session.instance.checkpoint()
        replaced = session.instance.maintain() if maintain else 0
    facts = {"checkpoint_lsn": lsn, "pieces_replaced": replaced}
    more = f", replaced {replaced:,} pieces" if maintain else ""
    call.output.show(Done(f"checkpoint @ {lsn}{more}", facts))
