"""What all commands share: options that every one takes, points in the past, and examples in the help.

Call      one invocation: which instance, and how to print; click's context object
Verb      a command; Noun: a group of them. Both show `examples` at the end of their help
Root      the program: loads a command's module only when it is called, and turns errors into exit codes
"""

from __future__ import annotations

import functools
import importlib
import io
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import click

from absdb.cli.output import Output, colours
from absdb.clock import parse_time
from absdb.errors import AbsdbError, InvalidInputError
from absdb.ids import Lsn

F = TypeVar("F", bound=Callable[..., Any])

FAILED = 1
USAGE = 2
INTERRUPTED = 130
INSTANCE_VARIABLE = "ABSDB_INSTANCE"


@dataclass(slots=True)
class Call:
    """What was said for the invocation as a whole."""

    instance: str | None = None
    as_json: bool = False
    quiet: bool = False
    debug: bool = False

    @property
    def output(self) -> Output:
        return Output(as_json=self.as_json, quiet=self.quiet)


def common_options() -> list[click.Parameter]:
    """The options that may stand before or behind the command."""

    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value and param.name is not None:
            setattr(ctx.ensure_object(Call), param.name, value)

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=keep, **more)

    return [
        option(
            "-i",
            "--instance",
            metavar="PATH",
            help=f"The instance's directory. [default: ${INSTANCE_VARIABLE}, or the current directory]",
        ),
        option("--json", "as_json", is_flag=True, help="Print JSON."),
        option("-q", "--quiet", is_flag=True, help="Print nothing but data and errors."),
        option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]


class Verb(click.Command):
    """A command, with examples at the end of its help."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)
        self.params.extend(common_options())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(self.examples, formatter)


class Noun(click.Group):
    """A group of commands, with examples at the end of its help."""

    command_class = Verb

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(200)) for name in self.commands]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(self.examples, formatter)


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """The section `Examples`, a line each."""
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class Root(Noun):
    """The program. `lazy` says for each command which module has it, and what the overview says about it."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **more: Any) -> None:
        super().__init__(*args, **more)
        self.lazy = dict(lazy)
        self.params.extend(common_options())

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module = importlib.import_module(self.lazy[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.lazy.items()])

    def main(self, *args: Any, **more: Any) -> NoReturn:
        """Run it and leave with an exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
        call = more.setdefault("obj", Call())
        try:
            code = super().main(*args, **{**more, "standalone_mode": False})
            sys.stdout.flush()
        except click.exceptions.Exit as asked:
            code = asked.exit_code
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort as stopped:
            code = INTERRUPTED if isinstance(stopped.__cause__, KeyboardInterrupt) else FAILED
        except BrokenPipeError:
            # Whoever read us has gone; the interpreter's own flush at exit must not complain either.
            sys.stdout = io.StringIO()
            code = FAILED
        except AbsdbError as error:
            code = failed(error.message, error.hint, call)
        except OSError as error:
            code = failed(f"{error.filename}: {error.strerror}" if error.filename else str(error), "", call)
        except Exception as error:
            hint = "this is a defect of absdb; --debug shows where"
            code = failed(f"{type(error).__name__}: {error}", hint, call)
        sys.exit(code if isinstance(code, int) else 0)


def failed(message: str, hint: str, call: Call) -> int:
    """Say on stderr what went wrong and what to do; the exit code."""
    if call.debug:
        traceback.print_exc()
    colour = colours(sys.stderr)
    click.echo(f"{click.style('error:', fg='red', bold=True) if colour else 'error:'} {message}", err=True)
    if hint:
        click.echo(f"{click.style('hint:', bold=True) if colour else 'hint:'} {hint}", err=True)
    return FAILED


# -- points in the past


@dataclass(frozen=True, slots=True)
class When:
    """A point in the past as it was named; now if it was not."""

    lsn: str | None = None
    time: str | None = None
    snapshot: str | None = None

    def __bool__(self) -> bool:
        return any((self.lsn, self.time, self.snapshot))

    @property
    def named(self) -> dict[str, str | None]:
        """The arguments that verbs take."""
        return {"lsn": self.lsn, "time": self.time, "snapshot": self.snapshot}


class Checked(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.4
    """Text that absdb can read; what it cannot is wrong usage."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self.read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            self.read(value)
        except InvalidInputError as error:
            self.fail(str(error), param, ctx)
        return value


def point_options(*, snapshot: bool = True) -> Callable[[F], F]:
    """Adds --lsn, --time and --snapshot to a command, which gets them as `when`."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(
            *args: Any, lsn: str | None, time: str | None, snapshot_name: str | None = None, **more: Any
        ) -> Any:
            when = When(lsn, time, snapshot_name)
            if sum(value is not None for value in when.named.values()) > 1:
                raise click.UsageError("--lsn, --time and --snapshot each name a point; give one of them")
            return function(*args, when=when, **more)

        if snapshot:
            option = click.option(
                "--snapshot", "snapshot_name", metavar="NAME", help="The point: where a snapshot was taken."
            )
            option(wrapper)
        time_help = 'The point: a time, such as "2026-04-04 14:05Z"; without a zone it is UTC.'
        click.option("--time", type=Checked("time", parse_time), metavar="TIME", help=time_help)(wrapper)
        click.option(
            "--lsn",
            type=Checked("lsn", Lsn.parse),
            metavar="LSN",
            help="The point: an LSN, such as 0/1048576.",
        )(wrapper)
        return wrapper  # type: ignore[return-value]  # click only needs something to call

    return decorate


database_option = click.option(
    "-d", "--database", default="main", show_default=True, metavar="NAME", help="The database or branch."
)
message_option = click.option("-m", "--message", default="", help="What the commit says in the log.")
author_option = click.option("--author", help="Who commits. [default: the setting, or the user]")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show what would happen, and change nothing.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do it without asking.")


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if it is wanted: --yes, or the answer of somebody at a terminal."""
    if yes:
        return
    if not interactive():
        raise click.UsageError("this changes data, and nobody is here to be asked; pass --yes to do it")
    if not click.confirm(question, err=True):
        click.echo("nothing was changed", err=True)
        raise click.exceptions.Exit(FAILED)


def interactive() -> bool:
    """Whether somebody can answer."""
    return sys.stdin.isatty()
