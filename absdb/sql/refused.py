"""Statements of DuckDB that are refused, each with its reason and what to do instead.

Called by dispatch.py for a statement that nothing runs.
"""

from __future__ import annotations

REASONS: dict[str, str] = {
    "ATTACH": "databases are made with CREATE DATABASE; files are read with FROM 'x.parquet' or read_csv(…)",
    "DETACH": "databases are dropped with DROP DATABASE",
    "INSTALL": "extensions are never loaded, since they are code from elsewhere",
    "LOAD": "extensions are never loaded, since they are code from elsewhere",
    "EXPORT": "copy tables one by one with COPY t TO 'file'",
    "IMPORT": "create the tables and fill them with COPY t FROM 'file'",
    "PREPARE": "pass parameters with the statement: sql('… WHERE id = ?', [7])",
    "EXECUTE": "pass parameters with the statement: sql('… WHERE id = ?', [7])",
    "DEALLOCATE": "statements need not be prepared",
    "CALL": "table functions are read with FROM: FROM absdb_log()",
    "VACUUM": "space is given back in the background; CHECKPOINT puts everything into page files now",
    "ANALYZE": "there are no statistics to gather",
    "GRANT": "there are no users in an instance; whoever opens the directory owns it",
    "REVOKE": "there are no users in an instance; whoever opens the directory owns it",
    "LOCK": "transactions take no locks; BEGIN ISOLATION LEVEL SERIALIZABLE refuses what locks would prevent",
    "DECLARE": "results are streamed by themselves: sql(…).to_batches()",
    "FETCH": "results are streamed by themselves: sql(…).to_batches()",
    "REINDEX": "indexes look after themselves",
}
"""First word → what to do instead, or why it is not there."""

_ITSELF = "rows are found by the key, and UNIQUE and FOREIGN KEY have indexes of their own"
_NO_USERS = "there are no users in an instance; whoever opens the directory owns it"
OBJECT_REASONS: dict[str, str] = {
    "INDEX": f"{_ITSELF}; what CREATE UNIQUE INDEX promises is ALTER TABLE t ADD UNIQUE (a)",
    "TYPE": "write the type where it is used: status ENUM ('open', 'paid')",
    "SECRET": "files of the network are not read; fetch them first, or pass frames",
    "MATERIALIZED": "CREATE TABLE name AS query keeps the rows; CREATE OR REPLACE TABLE brings them up to date",
    "TRIGGER": "nothing runs by itself; defaults, generated columns and constraints hold for every row",
    "PROCEDURE": "CREATE MACRO keeps expressions and queries; programs stay in Python",
    "ROLE": _NO_USERS,
    "USER": _NO_USERS,
    "EXTENSION": "extensions are never loaded, since they are code from elsewhere",
    "INSTALL": "extensions are never loaded, since they are code from elsewhere",
    "COLUMN": "write ALTER TABLE name DROP COLUMN …",
    "CONSTRAINT": "write ALTER TABLE name DROP CONSTRAINT …",
}
"""What a statement is about → the same, where the first word alone does not tell."""
