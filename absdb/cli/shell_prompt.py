"""The keyboard of the shell: editing over several lines, colours, completion and history, by prompt_toolkit.

Enter runs what is whole (a meta command, or statements up to a semicolon) and begins a new line otherwise; Alt-Enter
always begins one. Tab completes. Called by shell.py; nothing else imports prompt_toolkit at start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import completion_is_selected, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from absdb.cli.script import is_whole
from absdb.cli.shell_completion import offers
from absdb.cli.shell_session import META, Shell
from absdb.errors import QueryError
from absdb.sql.completion.names import Names
from absdb.sql.text.keywords import KEYWORDS
from absdb.sql.text.tokens import Kind, Token, tokenize

STYLE = Style.from_dict(
    {
        "instance": "bold",
        "database": "bold ansicyan",
        "past": "ansiyellow",
        "transaction": "bold ansired",
        "continuation": "ansibrightblack",
        "keyword": "ansicyan",
        "string": "ansigreen",
        "number": "ansimagenta",
        "parameter": "ansiyellow",
        "comment": "ansibrightblack",
        "command": "bold ansicyan",
        "auto-suggestion": "ansibrightblack",
    }
)
_STYLES = {Kind.STRING: "class:string", Kind.NUMBER: "class:number", Kind.PARAMETER: "class:parameter"}
_ALONE = ("exit", "quit", "help")


def prompt_of(
    shell: Shell,
    history: History,
    *,
    colour: bool,
    input: Input | None = None,
    output: Output | None = None,
) -> Callable[[], str]:
    """What asks for the next input and gives it back: EOFError for Ctrl-D, KeyboardInterrupt for Ctrl-C."""
    session: PromptSession[str] = PromptSession(
        message=lambda: prompt_text(shell),
        multiline=True,
        prompt_continuation=_continuation,
        history=history,
        auto_suggest=AutoSuggestFromHistory(),
        completer=ShellCompleter(Names(shell.session)),
        complete_while_typing=False,
        complete_style=CompleteStyle.MULTI_COLUMN,
        lexer=SqlLexer(),
        key_bindings=_keys(),
        style=STYLE,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
        enable_history_search=False,
        input=input,
        output=output,
    )
    return session.prompt


def prompt_text(shell: Shell) -> StyleAndTextTuples:
    """`shop/staging> `: the instance, the database, a schema other than main, a past point, an open transaction."""
    session = shell.session
    scope = session.scope
    name = scope.info().name + ("" if session.namespace == "main" else f".{session.namespace}")
    found: StyleAndTextTuples = [("class:instance", shell.instance_name), ("", "/"), ("class:database", name)]
    if not scope.writable:
        found.append(("class:past", f" @ {scope.point().lsn}"))
    if session.in_transaction:
        found.append(("class:transaction", "*"))
    return [*found, ("", "> ")]


def _continuation(width: int, line_number: int, wrap_count: int) -> StyleAndTextTuples:
    return [("class:continuation", "" if wrap_count else "… ".rjust(width))]


def ready(text: str) -> bool:
    """Whether Enter runs the text instead of beginning a new line."""
    stripped = text.strip()
    return not stripped or stripped.startswith(META) or stripped.lower() in _ALONE or is_whole(text)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected & ~is_searching)
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if ready(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.newline(copy_margin=True)

    @keys.add("enter", filter=completion_is_selected & ~is_searching)
    def _take(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("escape", "enter")
    def _line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=True)

    return keys


class ShellCompleter(Completer):
    """Completion by prompt_toolkit from what shell_completion.py offers; files by prompt_toolkit itself."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        before, after = document.text_before_cursor, document.text_after_cursor
        name, blank, rest = before.partition(" ")
        if blank and name in (".read", ".output") and " " not in rest:
            yield from self._files.get_completions(Document(rest), complete_event)
            return
        for offer in offers(before, after, self._names):
            yield Completion(offer.text, -offer.replaces, display_meta=offer.kind)


class SqlLexer(Lexer):
    """Colours for SQL and meta commands."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines = list(split_lines(highlighted(document.text)))

        def line(number: int) -> StyleAndTextTuples:
            return list(lines[number]) if number < len(lines) else []

        return line


def highlighted(text: str) -> StyleAndTextTuples:
    """The text in pieces, each with its style; what cannot be read any more is a text that is still open."""
    if text.lstrip().startswith(META):
        name, blank, rest = text.partition(" ")
        return [("class:command", name), ("", blank + rest)]
    try:
        tokens, end = tokenize(text), len(text)
    except QueryError as error:
        end = error.facts.get("position", 0)
        tokens = tokenize(text[:end])
    found: StyleAndTextTuples = []
    at = 0
    for token in tokens:
        if token.start > at:
            gap = text[at : token.start]
            found.append(("class:comment" if gap.strip() else "", gap))
        found.append((_style(token), text[token.start : token.stop]))
        at = token.stop
    opened = text[end:]
    if opened:
        found.append(("class:comment" if opened.startswith("/*") else "class:string", opened))
    return found


def _style(token: Token) -> str:
    if token.kind is Kind.WORD:
        return "class:keyword" if token.upper in KEYWORDS else ""
    return _STYLES.get(token.kind, "")
