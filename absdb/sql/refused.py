"""Statements of DuckDB that are refused, each with its reason and what to do instead.

Called by dispatch.py for a statement that nothing runs.
"""

from __future__ import annotations

REASONS: dict[str, str] = {
    "ATTACH": "databases are made with CREATE DATABASE; files are read with FROM 'x.parquet' or read_csv(…)",
    "DETACH": "databases are dropped with DROP DATABASE",
    "INSTALL": "extensions are never loaded, since they are code from elsewhere",
    "LOAD": "extensions are never loaded, since they are code from elsewhere",
    "FORCE": "extensions are never loaded, since they are code from elsewhere",
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
