"""What the Merge page does: tries a merge, lets conflicts be decided, and merges with what was decided.

    Merging       a source and a target, the frame of conflicts with what was decided, and what a dry run says

Conflicts are data: `decide` and `write` fill in the columns `resolution` and `resolved_value` of the frame that the
merge gave, and the next try hands it back. A conflict keeps its row in the frame once it is decided, so that one can
change one's mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from absdb.errors import DataCheckError, InvalidInputError
from absdb.instance import Instance
from absdb.merge_result import MergeResult
from absdb.panels.model.rows import ArrowRows, GridColumn, GridRow, cell_text
from absdb.reprs import counted

if TYPE_CHECKING:
    import pandas as pd

SCOPES = ("this conflict", "this row", "this table", "all")
ROW_CHARACTERS_MAX = 60
SIDES = ("ours", "theirs", "base")
_COLUMNS = {
    "table": "table_name",
    "kind": "kind",
    "key": "key",
    "column": "column_name",
    "base": "base_value",
    "ours": "our_value",
    "theirs": "their_value",
    "decided": "resolution",
    "value": "resolved_value",
}
"""What the grid calls a column → what the frame does."""


@dataclass(frozen=True)
class ConflictRows:
    """The conflicts as rows of a grid; the last column takes a value of one's own."""

    frame: pd.DataFrame

    @property
    def columns(self) -> Sequence[GridColumn]:
        return [GridColumn(name, editable=name == "value") for name in _COLUMNS]

    @property
    def count(self) -> int | None:
        return len(self.frame)

    def page(self, offset: int, count: int) -> list[GridRow]:
        shown = self.frame.iloc[offset : offset + count][list(_COLUMNS.values())]
        return [
            GridRow([_shown(name, value) for name, value in zip(_COLUMNS, row, strict=True)])
            for row in shown.itertuples(index=False)
        ]


@dataclass
class Merging:
    """A merge of `source` into `target` that is being prepared."""

    instance: Instance
    target: str
    source: str
    squash: bool = False
    strict: bool = False
    conflicts: pd.DataFrame | None = None
    result: MergeResult | None = field(default=None, repr=False)

    @property
    def undecided(self) -> int:
        """How many conflicts nothing was decided about."""
        return 0 if self.conflicts is None else int(self.conflicts["resolution"].isna().sum())

    @property
    def ready(self) -> bool:
        """Whether the merge would go through."""
        return self.result is not None and bool(self.result) and self.result.clean and not self.undecided

    def attempt(self) -> MergeResult:
        """Try it, with what was decided so far; writes nothing."""
        self.result = self._merge(dry_run=True)
        found = self.result.conflicts
        if self.conflicts is None:
            self.conflicts = found
        else:
            self.conflicts = _joined(self.conflicts, found)
        return self.result

    def merge(self, message: str = "") -> MergeResult:
        """Do it. MergeConflictError, MergeConstraintError, DataCheckError leave everything as it was."""
        return self._merge(dry_run=False, message=message)

    def decide(self, at: int, scope: str, side: str | None) -> int:
        """Take a side for a conflict, its row, its table or all; None takes the decision back. How many that are."""
        frame = self._frame()
        chosen = self._within(at, scope)
        frame.loc[chosen, "resolution"] = side
        frame.loc[chosen, "resolved_value"] = None
        return int(chosen.sum())

    def write(self, at: int, text: str) -> None:
        """Decide for a value of one's own. InvalidInputError for one that the column cannot hold."""
        frame = self._frame()
        row = frame.iloc[at]
        if row["column_name"] is None or row["kind"] == "schema":
            raise InvalidInputError(
                f"a {row['kind']} conflict has no single value", hint="take ours, theirs or base"
            )
        kind = self.instance[self.target][row["table_name"]].schema.field(row["column_name"]).type
        value = parsed(text, kind, row["column_name"])
        label = frame.index[at]
        frame.at[label, "resolution"] = "value"
        frame.at[label, "resolved_value"] = value

    def facts(self) -> str:
        """What the last try said, in a line."""
        if self.result is None:
            return "not tried yet"
        found = self.result
        if not found:
            return f"{self.target} has everything that {self.source} has"
        rows = sum(found.summary()["row_count"])
        parts = [found.kind, counted(int(rows), "change")]
        if self.conflicts is not None and len(self.conflicts):
            parts.append(f"{counted(len(self.conflicts), 'conflict')}, {self.undecided:,} undecided")
        parts += (
            [counted(len(found.violations), "row") + " would break constraints"]
            if len(found.violations)
            else []
        )
        parts += [f"{found.bytes_to_write:,} bytes to write"] if found.bytes_to_write else []
        return " · ".join(parts)

    def violations(self) -> pa.Table:
        """Rows that would break constraints, and those that fail data checks: what, table or check, key, why."""
        rows: list[tuple[str, str, str | None, str]] = []
        if self.result is not None:
            for row in self.result.violations.itertuples(index=False):
                key = None if row.key is None else str(row.key)
                rows.append(("constraint", str(row.table_name), key, str(row.message)))
            failed = self.result.merged.failed_checks
            if isinstance(failed, DataCheckError):
                for name, offending in failed.rows.items():
                    rows += [("check", name, None, str(one)) for one in offending.to_dict("records")]
        names = ("what", "table or check", "key", "why")
        columns = zip(*rows, strict=True) if rows else [[]] * len(names)
        return pa.table(
            {name: pa.array(each, pa.string()) for name, each in zip(names, columns, strict=True)}
        )

    def summary(self) -> ArrowRows:
        """What would come in: table, change, rows."""
        if self.result is None:
            return ArrowRows(pa.table({}))
        found = self.result.summary()
        return ArrowRows(
            pa.table(
                {
                    "table": pa.array(found["table_name"].astype(str), pa.string()),
                    "change": pa.array(found["operation"].astype(str), pa.string()),
                    "rows": pa.array(found["row_count"].astype("int64"), pa.int64()),
                }
            )
        )

    def _merge(self, *, dry_run: bool, message: str = "") -> MergeResult:
        decided = self.conflicts
        if decided is not None:
            decided = decided[decided["resolution"].notna()]
        return self.instance[self.target].merge(
            self.instance[self.source],
            on_conflict="strict" if self.strict else "fail",
            resolutions=decided if decided is not None and len(decided) else None,
            dry_run=dry_run,
            squash=self.squash,
            message=message,
        )

    def _frame(self) -> pd.DataFrame:
        if self.conflicts is None or not len(self.conflicts):
            raise InvalidInputError("there is no conflict to decide")
        return self.conflicts

    def _within(self, at: int, scope: str) -> pd.Series[bool]:
        frame = self._frame()
        if scope == "all":
            return frame["kind"].notna()
        row = frame.iloc[at]
        table = frame["table_name"] == row["table_name"]
        if scope == "this table":
            return table
        same = frame["key"].map(lambda key: key == row["key"])
        if scope == "this row":
            return table & same
        return frame.index == frame.index[at]


def parsed(text: str, kind: pa.DataType, name: str) -> Any:
    """What a person typed as a value of a column; nothing, or NULL, is none."""
    if text in ("", "NULL") and not (text == "" and pa.types.is_string(kind)):
        return None
    try:
        if pa.types.is_boolean(kind):
            return {"true": True, "false": False}[text.strip().lower()]
        return pa.scalar(text).cast(kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, KeyError) as error:
        raise InvalidInputError(
            f"{text!r} is no value of column {name!r}, which is {kind}", hint="type one, or take a side"
        ) from error


def _joined(before: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """What is still in conflict, and what was decided before, in the order that it had."""
    import pandas as pd

    decided = before[before["resolution"].notna()]
    places = ["table_name", "kind", "key", "column_name"]
    known = set(map(repr, decided[places].to_numpy().tolist()))
    new = [repr(row) not in known for row in found[places].to_numpy().tolist()]
    joined = pd.concat([decided, found[new]]) if len(decided) else found
    return joined.sort_values(["table_name", "kind"], kind="stable", ignore_index=True)


def _shown(name: str, value: Any) -> str | None:
    """A value of a side, of which None is NULL or no row; what is not filled in is empty."""
    if value is None and name not in ("base", "ours", "theirs"):
        return ""
    if isinstance(value, dict):
        text = ", ".join(f"{column} {cell_text(one) or 'NULL'}" for column, one in value.items())
        return text if len(text) <= ROW_CHARACTERS_MAX else text[: ROW_CHARACTERS_MAX - 1] + "…"
    return cell_text(value)
