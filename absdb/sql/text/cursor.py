"""Reading the statements that are ours, token by token.

    cursor = TokenCursor(statement)
    cursor.expect("CREATE"); cursor.accept("OR", "REPLACE"); name = cursor.path(); cursor.end()

What is expected and not there is an error that points at what is there instead. Called by every module that reads a
statement DuckDB does not get to see as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NoReturn

from absdb.sql.text.parsed import Query, Statement
from absdb.sql.text.source import error_at
from absdb.sql.text.time_travel import When, matching, point_at
from absdb.sql.text.tokens import Kind, Token


class TokenCursor:
    """A place in the tokens of a statement, and what may come next."""

    def __init__(self, statement: Statement | Query, at: int = 0) -> None:
        self.text = statement.text
        self.tokens = statement.tokens
        self.at = at

    @property
    def token(self) -> Token:
        """What comes next."""
        return self.tokens[self.at]

    @property
    def done(self) -> bool:
        return self.token.kind is Kind.END

    def ahead(self, *words: str) -> bool:
        """Whether these keywords or symbols come next."""
        if len(words) == 1:
            return self.tokens[self.at].upper == words[0]
        following = self.tokens[self.at : self.at + len(words)]
        return [token.upper for token in following] == list(words)

    def accept(self, *words: str) -> bool:
        """Step over these keywords or symbols if they come next."""
        found = self.ahead(*words)
        if found:
            self.at += len(words)
        return found

    def accept_one(self, words: Sequence[str]) -> str | None:
        """Step over one of several keywords; which one it was."""
        if self.token.upper in words:
            self.at += 1
            return self.tokens[self.at - 1].upper
        return None

    def expect(self, *words: str) -> None:
        """Step over these keywords or symbols, which must come next."""
        for word in words:
            if not self.accept(word):
                self.refuse(word)

    def expect_one(self, words: Sequence[str]) -> str:
        """Step over one of several keywords, which must come next."""
        found = self.accept_one(words)
        return found if found is not None else self.refuse(*words)

    def refuse(self, *expected: str) -> NoReturn:
        """Say what would have been right here."""
        found = "the end of the statement" if self.done else repr(self.written(self.at, self.at + 1))
        near = difflib.get_close_matches(self.token.value.upper(), expected, n=1) if self.token.value else []
        raise error_at(
            self.text,
            self.token.start,
            f"expected {' or '.join(expected)}, found {found}",
            hint=f"did you mean {near[0]}?" if near else "",
        )

    def name(self, what: str = "a name") -> str:
        """A name, quoted or not."""
        if not self.token.is_name:
            self.refuse(what)
        self.at += 1
        return self.tokens[self.at - 1].value

    def path(self, what: str = "a name") -> tuple[str, ...]:
        """A name that may be qualified: database.schema.name."""
        parts = [self.name(what)]
        while self.accept("."):
            parts.append(self.name(what))
        return tuple(parts)

    def names(self, what: str = "a column") -> list[str]:
        """(a, b, c)"""
        self.expect("(")
        found = [self.name(what)]
        while self.accept(","):
            found.append(self.name(what))
        self.expect(")")
        return found

    def string(self, what: str = "a text in quotes") -> str:
        """A text in single quotes."""
        if self.token.kind is not Kind.STRING:
            self.refuse(what)
        self.at += 1
        return self.tokens[self.at - 1].value

    def integer(self) -> int:
        """A whole number, perhaps with a sign."""
        sign = -1 if self.accept("-") else 1
        if self.token.kind is not Kind.NUMBER or not self.token.value.replace("_", "").isdecimal():
            self.refuse("a whole number")
        self.at += 1
        return sign * int(self.tokens[self.at - 1].value.replace("_", ""))

    def brackets(self) -> str:
        """What is between this bracket and the one that closes it, both left out."""
        if self.token.upper != "(":
            self.refuse("(")
        close = matching(self.text, self.tokens, self.at)
        inner = self.text[self.token.stop : self.tokens[close].start]
        self.at = close + 1
        return inner.strip()

    def until(self, *words: str) -> str:
        """The text up to one of these keywords or symbols outside brackets, or to the end."""
        start = self.at
        while not self.done and self.token.upper not in words:
            opens = self.token.upper in ("(", "[", "{")
            self.at = matching(self.text, self.tokens, self.at) + 1 if opens else self.at + 1
            if self.token.upper in (")", "]", "}") and self.token.upper not in words:
                break
        return self.written(start, self.at)

    def listed(self, *words: str) -> list[str]:
        """Expressions between commas outside brackets, up to one of these keywords, or to the end."""
        found = [self.until(",", *words)]
        while self.accept(","):
            found.append(self.until(",", *words))
        return found

    def point(self, default: str = "TIMESTAMP") -> When:
        """`LSN '…'`, `TIMESTAMP …`, `SNAPSHOT '…'`."""
        when, self.at = point_at(self.text, self.tokens, self.at, default)
        return when

    def end(self) -> None:
        """Nothing may follow."""
        if not self.done:
            self.refuse("the end of the statement")

    def written(self, start: int, stop: int) -> str:
        """The text of some tokens."""
        if stop <= start:
            return ""
        return self.text[self.tokens[start].start : self.tokens[stop - 1].stop]
