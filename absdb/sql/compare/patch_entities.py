"""Schemas, sequences, views, macros and data checks in a patch. Called by patch.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from absdb.catalog.database import DatabaseCatalog
from absdb.sql.compare.definitions import inexpressible, path_of
from absdb.sql.text.tokens import literal, quoted
from absdb.versioning.data_checks import checks_of

Entity = Mapping[str, Any]


class EntityChanges:
    """The statements that make what a catalog has beside tables that of another."""

    def __init__(self, source: DatabaseCatalog, target: DatabaseCatalog) -> None:
        self._old, self._new = source.named, target.named
        self._spaces = source.namespaces, target.namespaces
        self._checks = checks_of(source), checks_of(target)
        names = {_path(entity): number for number, entity in self._old.get("sequence", {}).items()}
        for number, after in self._new.get("sequence", {}).items():
            before = self._old.get("sequence", {}).get(number)
            if names.get(_path(after), number) != number or (
                before is not None and _bare(before) != _bare(after)
            ):
                raise inexpressible(f"another definition of sequence {after['name']!r}")

    def first(self) -> Iterator[str]:
        """What goes before tables change, and what they need."""
        for kind in ("view", "macro"):
            for entity in self._gone(kind):
                yield f"DROP {kind.upper()} {_path(entity)};\n"
        for name in self._spaces[1]:
            if name not in self._spaces[0]:
                yield f"CREATE SCHEMA {quoted(name)};\n"
        for number, entity in self._new.get("sequence", {}).items():
            if number not in self._old.get("sequence", {}):
                words = [f"START WITH {entity['start']}", f"INCREMENT BY {entity['increment']}"]
                words += [
                    f"{w} {entity[n]}"
                    for w, n in (("MINVALUE", "minimum"), ("MAXVALUE", "maximum"))
                    if n in entity
                ]
                yield f"CREATE SEQUENCE {_path(entity)} {' '.join(words)};\n"

    def last(self) -> Iterator[str]:
        """What needs the tables as they have become, and what they needed no more."""
        for kind, text in (("macro", _macro), ("view", _view)):
            for number, after in sorted(self._new.get(kind, {}).items()):
                before = self._old.get(kind, {}).get(number)
                if before is None or _bare(before) != _bare(after):
                    yield text(after)
                    before = None
                if after.get("comment", "") != ("" if before is None else before.get("comment", "")):
                    yield f"COMMENT ON {kind.upper()} {_path(after)} IS {literal(after['comment'])};\n"
        old, new = self._checks
        for name, check in new.items():
            if check != old.get(name):
                comment = f" COMMENT {literal(check['comment'])}" if check["comment"] else ""
                yield f"CREATE OR REPLACE CHECK {quoted(name)} AS {check['query']}\n{comment};\n"
        yield from (f"DROP CHECK {quoted(name)};\n" for name in old if name not in new)
        for entity in self._gone("sequence"):
            yield f"DROP SEQUENCE {_path(entity)};\n"
        for name in self._spaces[0]:
            if name not in self._spaces[1]:
                yield f"DROP SCHEMA {quoted(name)};\n"

    def _gone(self, kind: str) -> list[Entity]:
        """What the target has not, or has under another name."""
        now = self._new.get(kind, {})
        return [e for n, e in self._old.get(kind, {}).items() if n not in now or _path(e) != _path(now[n])]


def _bare(entity: Entity) -> dict[str, Any]:
    return {name: value for name, value in entity.items() if name != "comment"}


def _path(entity: Entity) -> str:
    return path_of(entity["namespace"], entity["name"])


def _view(entity: Entity) -> str:
    columns = f" ({', '.join(map(quoted, entity['columns']))})" if entity.get("columns") else ""
    return f"CREATE OR REPLACE VIEW {_path(entity)}{columns} AS {entity['query']}\n;\n"


def _macro(entity: Entity) -> str:
    overloads = [entity, *entity.get("overloads", [])]
    bodies = (f"({o['parameters']}) AS {'TABLE ' if o['table'] else ''}{o['body']}" for o in overloads)
    return f"CREATE OR REPLACE MACRO {_path(entity)}{', '.join(bodies)}\n;\n"
