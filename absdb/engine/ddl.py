"""Schema changes inside a transaction: tables, columns, constraints, schemas, sequences.

Each verb takes a transaction and changes its catalog. Adding, dropping, renaming and reordering columns cost the
same at any size; only a column that is computed for the rows there are, or whose type changes to one that is not
a lossless widening, writes rows (every row once). A verb checks what it can before it changes anything, and leaves
the transaction as it was if it raises. Forwards to the modules that have the verbs.
"""

from __future__ import annotations

from absdb.engine.ddl_columns import (
    add_column,
    alter_column,
    drop_column,
    rename_column,
    reorder_columns,
)
from absdb.engine.ddl_constraints import add_constraint, drop_constraint
from absdb.engine.ddl_key import add_key
from absdb.engine.ddl_namespaces import create_namespace, create_sequence, drop_namespace, drop_sequence
from absdb.engine.ddl_tables import create_table, drop_table, rename_table, undrop_table
from absdb.engine.retype import retype_column
from absdb.engine.rewrite import rewrite

__all__ = [
    "add_column",
    "add_constraint",
    "add_key",
    "alter_column",
    "create_namespace",
    "create_sequence",
    "create_table",
    "drop_column",
    "drop_constraint",
    "drop_namespace",
    "drop_sequence",
    "drop_table",
    "rename_column",
    "rename_table",
    "reorder_columns",
    "retype_column",
    "rewrite",
    "undrop_table",
]
