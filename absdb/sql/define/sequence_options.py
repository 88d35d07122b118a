"""What a sequence counts: START WITH, INCREMENT BY, MINVALUE, MAXVALUE, as CREATE SEQUENCE and identities write it."""

from __future__ import annotations

from dataclasses import dataclass

from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.source import error_at


@dataclass(slots=True)
class SequenceOptions:
    """None where nothing is said."""

    start: int | None = None
    increment: int = 1
    minimum: int | None = None
    maximum: int | None = None

    @property
    def first(self) -> int:
        """The first value: what is said, else the end at which counting begins, else 1 or -1."""
        if self.start is not None:
            return self.start
        bound = self.minimum if self.increment > 0 else self.maximum
        return bound if bound is not None else 1 if self.increment > 0 else -1

    def bounds(self) -> dict[str, int]:
        """The bounds that are given, as the catalog keeps them."""
        given = {"minimum": self.minimum, "maximum": self.maximum}
        return {name: value for name, value in given.items() if value is not None}


def read_options(cursor: TokenCursor) -> SequenceOptions:
    """All options that come next, in any order."""
    options = SequenceOptions()
    first = cursor.token.start
    while True:
        at = cursor.token.start
        if cursor.accept("START"):
            cursor.accept("WITH")
            options.start = cursor.integer()
        elif cursor.accept("INCREMENT"):
            cursor.accept("BY")
            options.increment = cursor.integer()
        elif cursor.accept("MINVALUE"):
            options.minimum = cursor.integer()
        elif cursor.accept("MAXVALUE"):
            options.maximum = cursor.integer()
        elif cursor.accept("NO", "CYCLE"):
            pass
        elif cursor.accept("NO"):
            cursor.expect_one(("MINVALUE", "MAXVALUE"))
        elif cursor.accept("CYCLE"):
            raise error_at(
                cursor.text,
                at,
                "a sequence does not begin again: branches take their values from blocks of their own",
                hint="leave CYCLE out, or compute the value, as in 1 + nextval('s') % 100",
            )
        elif cursor.accept("CACHE"):
            cursor.integer()
        else:
            break
    _check(cursor, first, options)
    return options


def _check(cursor: TokenCursor, at: int, options: SequenceOptions) -> None:
    if options.increment == 0:
        raise error_at(
            cursor.text, at, "a sequence cannot have the increment 0", hint="use 1, or -1 to count down"
        )
    low, high = options.minimum, options.maximum
    below = low is not None and options.first < low
    above = high is not None and options.first > high
    if below or above:
        raise error_at(cursor.text, at, f"the start of a sequence, {options.first}, is outside of its bounds")
