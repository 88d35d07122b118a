"""A query in the words DuckDB understands: every table name replaced by what it means.

    FROM staging.orders o                     FROM "staging.orders" o
    FROM orders AT (LSN => '0/900')           FROM "main@0/900.orders" AS orders
    FROM paid_orders                          FROM (SELECT … ) AS paid_orders            a view
    FROM absdb_log                            FROM "absdb_log"                           a listing
    FROM frame                                FROM "frame"                               a variable of the caller

Everything else stays as it was written. The names in quotes are registered on the connection that runs the query,
each with the columns the query reads. Called by session.py and by every statement that contains a query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from absdb.errors import AbsdbError, InvalidInputError, NotFoundError, QueryError
from absdb.sql.duck.connection import Backend
from absdb.sql.duck.duck_errors import placed_back
from absdb.sql.duck.grouped import by_value
from absdb.sql.duck.scan import needed, readable, scan
from absdb.sql.listings import listings
from absdb.sql.query import functions, table_calls
from absdb.sql.query.evaluate import evaluate
from absdb.sql.query.joined import Frame
from absdb.sql.query.names import DatabaseView, Moment, NamedTable, NamedView, find_entity
from absdb.sql.query.own_files import file_edits, refuse_file
from absdb.sql.query.prepared import Frames, Prepared, StandIn, TableRead
from absdb.sql.query.prune import selected, selection
from absdb.sql.query.reading import read_query
from absdb.sql.query.sequence_values import Drawn, Draws, currval_macro
from absdb.sql.text.cursor import TokenCursor
from absdb.sql.text.edits import Edit, Edited, outermost
from absdb.sql.text.parsed import Query, ShowRef
from absdb.sql.text.source import error_at, placed
from absdb.sql.text.syntax import UNKNOWN, Literals, TableRef
from absdb.sql.text.time_travel import TravelRef, When, placeholder, point_arguments
from absdb.sql.text.tokens import Kind, quoted
from absdb.versioning.as_of import resolve

VIEWS_DEEP_MAX = 32
_NO_ALIAS_AFTER = {"DESCRIBE", "DESC", "SUMMARIZE", "TABLE", "SHOW"}


@dataclass
class Rewriter:
    """Rewrites the queries of one statement; what they need is collected in `objects`."""

    moment: Moment
    backend: Backend
    values: Mapping[str, Any]
    frames: Frames | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    """Tables made for this statement, by their names in it: they hide all others."""
    objects: dict[str, Any] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    held: list[Any] = field(default_factory=list)
    scanned: dict[Any, Any] = field(default_factory=dict)
    valued: dict[Any, tuple[pa.Table, str]] = field(default_factory=dict)
    tables_read: list[TableRead] = field(default_factory=list)
    frames_read: list[str] = field(default_factory=list)
    strangers: bool = False
    """Whether whoever asks must not reach anything but tables."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What SET VARIABLE has set."""
    types_only: bool = False
    """Whether only the types of the result are wanted: no rows are read."""
    drawn: Drawn = field(default_factory=dict)
    """The last values that the session took of sequences."""
    draws: Draws | None = None
    currents: dict[str, int] = field(default_factory=dict)
    macros: dict[tuple[str, int], str] = field(default_factory=dict)
    """The macros made for the query, by (database, id): what they are called in it."""
    leaves_types: bool = False
    _depth: int = 0

    def prepare(self, text: str, before: Sequence[Edited] = ()) -> Prepared:
        """The query, ready to run; `before` are edits that made `text` from what the user wrote."""
        try:
            edited = self.query(text)
        except QueryError as error:
            raise (placed_back(error, text, before) if before else error) from error
        setup = [*self.setup, currval_macro(self.currents)] if self.currents else self.setup
        made = [*before, edited]
        reads = self.tables_read, self.frames_read
        return Prepared(edited.text, made, self.objects, setup, self.held, self.leaves_types, *reads)

    def query(self, text: str) -> Edited:
        """The text with every name replaced. QueryError points at a name that means nothing."""
        query = read_query(self.backend, text)
        self.leaves_types |= query.pivots
        return Edited(text, _Names(self, query).edits())

    def alone(self) -> Rewriter:
        """A rewriter for an expression of the same statement that is run before it."""
        return Rewriter(
            self.moment,
            self.backend,
            self.values,
            self.frames,
            self.given,
            strangers=self.strangers,
            variables=self.variables,
            drawn=self.drawn,
        )

    def knows_function(self, path: Sequence[str]) -> bool:
        """Whether a table function is one of ours, or a macro of a database."""
        if listings.function(tuple(path)) is not None or tuple(path) == (table_calls.QUERY_DIFF,):
            return True
        return find_entity(self.moment, "macro", tuple(path)) is not None

    def nested_text(self, text: str) -> str:
        """A query in the words of this statement, in parentheses."""
        if self._depth >= VIEWS_DEEP_MAX:
            raise QueryError("queries are nested too deeply")
        self._depth += 1
        try:
            return f"({self.query(text).text}\n)"
        finally:
            self._depth -= 1

    def view_text(self, view: NamedView) -> str:
        """A stored query in the words of this statement, in parentheses."""
        if self._depth >= VIEWS_DEEP_MAX:
            name = view.entity["name"]
            raise QueryError(f"view {name!r} refers to itself", hint="or nests too deeply", view=name)
        try:
            with self.inside(view.view, view.entity["namespace"]):
                return f"({self.query(view.entity['query']).text}\n)"
        except AbsdbError as error:
            if "view" in error.facts:
                raise
            name = view.entity["name"]
            raise QueryError(f"in view {name!r}: {error.message}", hint=error.hint, view=name) from error

    @contextmanager
    def inside(self, view: DatabaseView, namespace: str) -> Iterator[None]:
        """Let names mean what they mean in a database and schema, at the time at which that is seen."""
        outer, given, frames = self.moment, self.given, self.frames
        self.moment = Moment(outer.engine, view, outer.lsn, namespace)
        self.moment.seen_with(outer, view)
        self.given, self.frames = {}, None
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self.moment, self.given, self.frames = outer, given, frames

    def point(self, text: str, when: When) -> Callable[[Any], DatabaseView]:
        """From a database to its view at a point that is written in the text."""
        value = evaluate(self, text, when.start, when.stop)
        named = point_arguments(when.unit, value)

        def at(info: Any) -> DatabaseView:
            try:
                return self.moment.at(resolve(self.moment.engine, info, **named))
            except AbsdbError as error:
                raise error_at(text, when.start, error.message, hint=error.hint) from error

        return at

    def register(self, label: str, value: Any) -> str:
        """The name under which the query finds `value`."""
        name, number = label, 1
        while name in self.objects and self.objects[name] is not value:
            number += 1
            name = f"{label} ({number})"
        self.objects[name] = value
        return quoted(name)


class _Names:
    """The edits that one query needs."""

    def __init__(self, rewriter: Rewriter, query: Query) -> None:
        self.rewriter = rewriter
        self.query = query
        self.text = query.text
        self.travels = {placeholder(number): ref for number, ref in enumerate(query.travels)}
        self.shows = {show.placeholder: show for show in query.shows}
        self.aliases: dict[tuple[str, ...], str] = {}
        self.named: dict[int, NamedTable] = {}
        self.stands_for: dict[int, tuple[str, ...]] = {}
        self.frames: dict[int, Frame] = {}
        self.implied: list[Literals] = []
        """Long lists that the rows found by key make true, so that DuckDB need not read them."""

    def edits(self) -> list[Edit]:
        edits = file_edits(self.rewriter, self.query)
        found = []
        after = 0
        for ref in self.query.syntax.tables:
            show = self.shows.get(ref.path[-1])
            if show is not None:
                edits.append(self._shown(show))
                continue
            travel = self.travels.get(ref.path[-1])
            place = (travel.start, travel.stop) if travel else self.query.place(ref, after)
            if place is None:
                raise QueryError(f"the place of table {'.'.join(ref.path)!r} in the query is not known")
            if ref.at == UNKNOWN:
                after = self.query.starts[place[0]] + 1
            found.append((ref, travel, place))
        targets = [self._target(ref, travel, place[0]) for ref, travel, place in found]
        for (ref, _, _), target in zip(found, targets, strict=True):
            if isinstance(target, _Given) and isinstance(target.value, pa.Table):
                self.frames[id(ref)] = Frame.of(ref, self.stands_for.get(id(ref), ref.path), target.value)
        for (ref, travel, place), target in zip(found, targets, strict=True):
            if target is not None:
                edits.append(Edit(*place, self._replacement(ref, travel, target, place)))
        edits += map(self._holding, self.implied)
        edits += self._columns()
        edits += table_calls.edits(self.rewriter, self.query)
        edits += functions.edits(self.rewriter, self.query)
        return outermost(edits)

    def _shown(self, show: ShowRef) -> Edit:
        """`DESCRIBE t` in parentheses: the listing it stands for."""
        from absdb.sql.listings.show import shown

        cursor = TokenCursor(self.query, show.at)
        rows = shown(self.rewriter.moment, cursor)
        if rows is None or cursor.token.upper != ")":
            cursor.refuse("TABLES", "ALL TABLES", "DATABASES", "SCHEMAS", "the name of a table", ")")
        name = self.rewriter.register("shown", rows)
        return Edit(show.edit.start, show.edit.stop, f"FROM {name}")

    def _target(self, ref: TableRef, travel: TravelRef | None, start: int) -> Any:
        """What a reference means; None for what is left to DuckDB."""
        path = ref.path if travel is None else travel.path
        token = self.query.tokens[self.query.starts[start]]
        if travel is None and token.kind is Kind.STRING:
            refuse_file(self.rewriter, self.query, token.value, start)
            return None
        if len(path) == 1 and travel is None:
            for known, value in self.rewriter.given.items():
                if known.casefold() == path[0].casefold():
                    if isinstance(value, StandIn):
                        self.stands_for[id(ref)], value = value.path, value.rows
                    return _Given(known, value)
        at = None if travel is None else self.rewriter.point(self.text, travel.when)
        moment = self.rewriter.moment
        try:
            found = moment.find(path, at)
            if isinstance(found, NamedTable):
                self.named[id(ref)] = found
            if found is not None:
                return found
            listing = listings.table(moment, path, at)
            if listing is not None:
                return _Given(".".join(path), listing)
            if len(path) == 1 and travel is None and self.rewriter.frames is not None:
                frame = self.rewriter.frames(path[0])
                if frame is not None:
                    self.rewriter.frames_read.append(path[0])
                    return _Given(path[0], frame)
            raise moment.missing(path)
        except NotFoundError as error:
            raise placed(error, self.text, start) from error
        except InvalidInputError as error:
            raise error_at(self.text, start, error.message, hint=error.hint, **error.facts) from error

    def _replacement(
        self, ref: TableRef, travel: TravelRef | None, target: Any, place: tuple[int, int]
    ) -> str:
        before = self.query.tokens[at - 1].upper if (at := self.query.starts[place[0]]) else ""
        if isinstance(target, NamedTable):
            plain = ref.in_expression or before in _NO_ALIAS_AFTER
            rows, items = self._scanned(ref, target, frozenset() if plain else self.query.syntax.grouped)
            name = self.rewriter.register(target.label + (" by value" if items else ""), rows)
            name = f"(SELECT {items} FROM {name})" if items else name
        elif isinstance(target, NamedView):
            name = self.rewriter.view_text(target)
            if target.entity.get("columns") and not ref.all_columns:
                names = ", ".join(map(quoted, target.entity["columns"]))
                alias = quoted(self._alias(ref, travel))
                return f"(SELECT * FROM {name} AS {alias}({names}))" + (
                    f" AS {alias}" if not ref.alias else ""
                )
        else:
            name = self.rewriter.register(target.label, target.value)
        if ref.alias and not (travel and travel.alias):
            return name
        if before in _NO_ALIAS_AFTER:
            return f"(FROM {name})" if before == "SUMMARIZE" else name
        return f"{name} AS {quoted(self._alias(ref, travel))}"

    def _alias(self, ref: TableRef, travel: TravelRef | None) -> str:
        """The name by which columns are qualified; the whole path where the last part is taken by another table."""
        if ref.alias:
            return ref.alias
        path = self.stands_for.get(id(ref), ref.path if travel is None else travel.path)
        folded = tuple(part.casefold() for part in path)
        known = self.aliases.get(folded)
        if known is None:
            taken = {alias.casefold() for other, alias in self.aliases.items() if other != folded}
            known = path[-1] if path[-1].casefold() not in taken else ".".join(path)
            self.aliases[folded] = known
            target = self.named.get(id(ref))
            for qualifier in [] if target is None else target.qualifiers:
                self.aliases.setdefault(qualifier, known)
        return known

    def _scanned(self, ref: TableRef, target: NamedTable, grouped: frozenset[str]) -> tuple[pa.Table, str]:
        """The rows, and what to SELECT of them; "" for all as they are."""
        self.rewriter.held.append(target.view.held)
        whole = self.query.syntax.star or ref.all_columns or self._named_as_row(ref)
        columns = None if whole else needed(target.schema, self.query.syntax.names)
        self.rewriter.tables_read.append(TableRead(target, ref, self.named, self.frames, columns))
        if self.rewriter.types_only:
            return readable(target.schema.arrow_schema.empty_table()), ""
        reader = target.view.reader(target.schema)
        found = selection(reader.schema, ref, self.named, self.rewriter.values, self.frames)
        if found is not None:
            self.implied += found.implied
            return readable(selected(reader, found, columns)), ""
        # A table that is named several times is read once.
        scanned, known = self.rewriter.scanned, (target.label, None if columns is None else tuple(columns))
        if known not in scanned:
            scanned[known] = scan(reader, columns)
        return self.rewriter.valued.setdefault((known, grouped), by_value(scanned[known], grouped))

    def _named_as_row(self, ref: TableRef) -> bool:
        """Whether the table's own name or alias is used like a column, which means the whole row."""
        name = (ref.alias or ref.path[-1]).casefold()
        return any(len(path) == 1 and path[0].casefold() == name for path, _ in self.query.syntax.columns)

    def _holding(self, literals: Literals) -> Edit:
        """`IN (1, 2, …)`, which is a term of its own and true of every row that has a value there."""
        at = self.query.starts[literals.start]
        return Edit(self.query.tokens[at - 2].start, self.query.tokens[at + 1].stop, "IS NOT NULL")

    def _columns(self) -> list[Edit]:
        """Columns qualified with database or schema: the qualifier becomes the table's alias."""
        edits = []
        for path, at in self.query.syntax.columns:
            for length in (3, 2):
                alias = self.aliases.get(tuple(part.casefold() for part in path[:length]))
                if len(path) > length and alias is not None:
                    first = self.query.token_of(path, at)
                    if first is not None:
                        last = self.query.tokens[first + 2 * length - 2]
                        edits.append(Edit(self.query.tokens[first].start, last.stop, quoted(alias)))
                    break
        return edits


@dataclass(frozen=True, slots=True)
class _Given:
    label: str
    value: Any
