"""What a table says should happen to cells that both sides of a merge changed to different values.

    ours, theirs     that side's value
    max, min         the larger or smaller one; NULL counts as absent
    sum              ours and theirs added up, less the base: both changes count, equal ones too (numbers only);
                     a total that the column cannot hold stays in conflict, and so does what bases of a
                     criss-cross disagree about
    newest           the value of the row that was written last
    a name           a function registered with `register`, called with three Arrow arrays: base, ours, theirs

Kept in a table's options by column id, so that they follow renames. Called by merge_states.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from absdb.catalog.schema import Column, TableSchema
from absdb.engine.ddl_checks import put
from absdb.engine.fitting import MisfitError, fit
from absdb.engine.intake import array_of
from absdb.errors import InvalidInputError, NotFoundError
from absdb.ids import ColumnId
from absdb.pages.types import describe_type, is_orderable, physical_type, to_logical, to_physical
from absdb.paths import check_text
from absdb.versioning.conflicts import Ints
from absdb.versioning.merge_cells import FIRST_BASE, OUR, THEIR, Policy, bases_agree
from absdb.versioning.merge_sides import Bools, Slice
from absdb.versioning.merge_tables import MergedColumn
from absdb.versioning.retyped import cast_each

if TYPE_CHECKING:
    from absdb.engine.transaction import Transaction

OPTION = "merge_policies"
BUILT_IN = ("ours", "theirs", "max", "min", "sum", "newest")
Merger = Callable[[pa.Array, pa.Array, pa.Array], Any]
_registered: dict[str, Merger] = {}


def register(name: str, merger: Merger) -> None:
    """Make a function of yours a policy in this process: (base, ours, theirs) → values, NULL to leave a conflict.

    It is called with Arrow arrays of one length, and gives an array or a list of that length.
    """
    name = check_text("policy", name)
    if not name or not callable(merger):
        raise InvalidInputError("a merge policy of yours has a name and is a function of three Arrow arrays")
    if name in BUILT_IN:
        raise InvalidInputError(f"{name!r} is a policy already", hint="take another name")
    _registered[name] = merger


def set_policies(tx: Transaction, schema: TableSchema, policies: Mapping[str, str | None]) -> TableSchema:
    """Declare policies by the names of columns; None takes one away. Returns the table as it is then."""
    declared = dict(schema.options.get(OPTION, {}))
    for name, policy in policies.items():
        column = schema.column(name)
        if policy is None:
            declared.pop(str(column.id), None)
            continue
        _check(schema, column, policy)
        declared[str(column.id)] = policy
    options = {key: value for key, value in schema.options.items() if key != OPTION}
    if declared:
        options[OPTION] = declared
    return put(tx, dataclasses.replace(schema, options=options))


def _check(schema: TableSchema, column: Column, policy: Any) -> None:
    kind = physical_type(column.type)
    where = f"column {column.name!r} of table {schema.full_name!r}"
    if column.id in schema.key:
        raise InvalidInputError(
            f"{where} belongs to the key, which tells rows apart: it is never in conflict"
        )
    if column.generated is not None:
        raise InvalidInputError(f"{where} is generated: it is computed from the merged row")
    if policy == "sum" and not (pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind)):
        raise InvalidInputError(
            f"{where} is {describe_type(column.type)}, which cannot be summed", hint="take newest"
        )
    if policy in ("max", "min") and not is_orderable(kind):
        raise InvalidInputError(f"{where} is {describe_type(column.type)}, whose values have no order")
    if not isinstance(policy, str) or (policy not in BUILT_IN and policy not in _registered):
        names = ", ".join((*BUILT_IN, *_registered))
        raise InvalidInputError(
            f"there is no merge policy {policy!r}",
            hint=f"there are {names}; register_merge_policy() adds one",
        )


def policies_of(schema: TableSchema) -> dict[str, str]:
    """Policies by the names of columns."""
    declared = schema.options.get(OPTION, {})
    return {c.name: declared[str(c.id)] for c in schema.columns if str(c.id) in declared}


def mergers_of(schema: TableSchema) -> dict[ColumnId, Policy]:
    """What decides conflicts in which column."""
    by_name = policies_of(schema)
    return {schema.column(name).id: _policy(schema, name, policy) for name, policy in by_name.items()}


def summed_columns(schema: TableSchema) -> frozenset[ColumnId]:
    """The columns in which both sides' changes count, also if they come to one value."""
    return frozenset(
        schema.column(name).id for name, policy in policies_of(schema).items() if policy == "sum"
    )


def _policy(schema: TableSchema, column: str, name: str) -> Policy:
    if name == "newest":
        return _newest
    merger = _MERGERS.get(name) or _registered.get(name)
    if merger is None:
        raise NotFoundError(
            f"column {column!r} of table {schema.full_name!r} has the merge policy {name!r}, which this process "
            "does not know",
            hint="register it with register_merge_policy(), or declare another one",
        )
    return _by_values(merger, logical=name in _registered)


def _by_values(merger: Merger, *, logical: bool) -> Policy:
    def decide(part: Slice, column: MergedColumn, rows: Ints) -> tuple[pa.Array, Bools]:
        assert column.merged is not None
        kind, at = physical_type(column.merged.type), pa.array(rows)
        ours, theirs = (part.values(side, column).take(at) for side in (OUR, THEIR))
        has_base = len(part.alive) > FIRST_BASE
        base = part.values(FIRST_BASE, column).take(at) if has_base else pa.nulls(len(rows), kind)
        if logical:
            base, ours, theirs = (to_logical(values, column.merged.type) for values in (base, ours, theirs))
        made = merger(base, ours, theirs)
        values = _given(column.merged, made) if logical else made
        if len(values) != len(rows):
            raise InvalidInputError(f"a merge policy gave {len(values)} values for {len(rows)} cells")
        if merger in (_ours, _theirs):
            return values, np.ones(len(rows), bool)
        known = values.is_valid().to_numpy(zero_copy_only=False)
        if merger is _sum:
            known = known & bases_agree(part, column, range(FIRST_BASE, len(part.alive)))[rows]
        return values, known

    return decide


def _newest(part: Slice, column: MergedColumn, rows: Ints) -> tuple[pa.Array, Bools]:
    """The value of the row with the higher LSN; LSNs grow with time, whatever the branch."""
    ours, theirs = (part.found(side).lsns()[rows] for side in (OUR, THEIR))
    at = pa.array(rows)
    sides = pa.concat_arrays([part.values(side, column).take(at) for side in (OUR, THEIR)])
    place = np.arange(len(rows)) + np.where(theirs > ours, len(rows), 0)
    return sides.take(pa.array(place)), np.ones(len(rows), bool)


def _given(column: Column, made: Any) -> pa.Array:
    """What a registered function gave, in the column's physical type."""
    where = f"what its merge policy gave for column {column.name!r}"
    if not isinstance(made, pa.Array | pa.ChunkedArray):
        if isinstance(made, str | bytes) or not hasattr(made, "__iter__"):
            raise InvalidInputError(f"{where} is {type(made).__name__}", hint="return an array or a list")
        made = array_of(column, made)
    whole = made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made
    try:
        return fit(to_physical(whole, whole.type), physical_type(column.type))
    except MisfitError as problem:
        raise InvalidInputError(f"{where} does not fit {describe_type(column.type)}: {problem}") from problem


def _sum(base: pa.Array, ours: pa.Array, theirs: pa.Array) -> pa.Array:
    zero = Decimal(0) if pt.is_decimal(base.type) else 0
    before = pc.fill_null(base, pa.scalar(zero, base.type))
    if pt.is_floating(base.type):
        return pc.subtract(pc.add(ours, theirs), before).cast(base.type)
    # Exactly: two numbers may add up to more than the type holds before the base is taken off.
    wide = pa.decimal256(_WIDE, base.type.scale if pt.is_decimal(base.type) else 0)
    mine, their, less = (cast_each(values, wide)[0] for values in (ours, theirs, before))
    return cast_each(pc.subtract(pc.add(mine, their), less), base.type)[0]


_WIDE = 74
"""Digits that leave room for an addition and a subtraction."""


def _extreme(choose: Callable[[pa.Array, pa.Array], pa.Array]) -> Merger:
    def merger(base: pa.Array, ours: pa.Array, theirs: pa.Array) -> pa.Array:
        kind = plain = ours.type
        if pt.is_boolean(kind):
            plain = pa.uint8()
        elif pt.is_timestamp(kind):
            plain = pa.int64()  # pyarrow compares no timestamps that have a time zone
        return choose(ours.cast(plain), theirs.cast(plain)).cast(kind)

    return merger


def _ours(base: pa.Array, ours: pa.Array, theirs: pa.Array) -> pa.Array:
    return ours


def _theirs(base: pa.Array, ours: pa.Array, theirs: pa.Array) -> pa.Array:
    return theirs


_MERGERS: dict[str, Merger] = {
    "ours": _ours,
    "theirs": _theirs,
    "max": _extreme(pc.max_element_wise),
    "min": _extreme(pc.min_element_wise),
    "sum": _sum,
}
