"""What a statement gave back, printed: its rows in one of the formats, how many there were, what was done.

    Printing    how to print: format, rows at most, screen, where data goes and where remarks go
    show        prints the rows of a Result as they come, or one sentence

Data goes to `write`, remarks (`… 12 more rows`, `3 rows updated`) to `remark`. Called by sql.py and the shell.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from absdb.cli.row_formats import writer_of
from absdb.cli.table_text import Screen
from absdb.cli.text import milliseconds
from absdb.io.base import Bytes
from absdb.io.row_files import Write
from absdb.reprs import counted
from absdb.sql.query.result import Result

_DONE_BY = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted", "TRUNCATE": "deleted"}


@dataclass(slots=True)
class Printing:
    """How results are printed. `limit` is how many rows are shown at most, None for all of them."""

    write: Write
    remark: Callable[[str], None]
    format: str = "table"
    limit: int | None = None
    screen: Screen | None = None
    counts: bool = False
    """Whether to say how many rows there were."""
    timing: bool = False


def show(result: Result, printing: Printing, started: float) -> None:
    """Print one result; `started` is the time.perf_counter() at which its statement began.

    Rows beyond the limit are counted, not kept. Errors of the rows come out in the middle of them.
    """
    if not gives_rows(result):
        _remark(printing, sentence(result), started)
        return
    if result.columns == ["explain_key", "explain_value"] and printing.format == "table":
        _show_plans(result, printing)
        _remark(printing, "", started)
        return
    shown, left = print_rows(result.to_batches(), printing)
    changed = sentence(result) if result.statement in _DONE_BY else ""
    if left:
        printing.remark(f"… {counted(left, 'more row')}")
    rows = counted(shown + left, "row") if printing.counts and not changed else changed
    _remark(printing, rows, started)


def _show_plans(result: Result, printing: Printing) -> None:
    """What EXPLAIN gives, as the text that it is: cells would put a drawing of many lines into one."""
    parts = [f"{key}\n{text.rstrip()}\n" for key, text in result.fetchall()]
    printing.write("\n".join(parts).encode())


class RowWriter(Protocol):
    """Writes rows as they come: `begin` with the columns, `batch` for each batch, `end`."""

    def begin(self, schema: pa.Schema) -> None: ...
    def batch(self, batch: pa.RecordBatch) -> None: ...
    def end(self) -> None: ...


def print_rows(
    batches: pa.RecordBatchReader, printing: Printing, writer: RowWriter | None = None
) -> tuple[int, int]:
    """Print a stream of rows, with the format's writer or another; how many were printed and how many were not."""
    writer = writer or writer_of(printing.format, printing.write, printing.screen)
    writer.begin(batches.schema)
    shown = left = 0
    ended = False
    for batch in batches:
        room = batch.num_rows if printing.limit is None else max(0, printing.limit - shown)
        kept = batch.slice(0, room)
        if kept.num_rows:
            writer.batch(kept)
        shown += kept.num_rows
        left += batch.num_rows - kept.num_rows
        if left and not ended:
            # What is shown is whole before the rest is counted, which may take a while.
            writer.end()
            ended = True
    if not ended:
        writer.end()
    return shown, left


def gives_rows(result: Result) -> bool:
    """Whether a statement gave rows, not only their number."""
    return bool(result.columns) and not (result.rowcount >= 0 and result.columns == ["Count"])


def sentence(result: Result) -> str:
    """What a statement without rows, or one that changed rows, has done."""
    if result.rowcount < 0:
        return result.statement
    return f"{counted(result.rowcount, 'row')} {_DONE_BY.get(result.statement, 'changed')}"


def _remark(printing: Printing, text: str, started: float) -> None:
    if printing.timing:
        took = milliseconds((time.perf_counter() - started) * 1000)
        text = f"{text}, {took}" if text else took
    if text:
        printing.remark(text)


def standard_output() -> Write:
    """Writes bytes to stdout, behind whatever text is on its way there."""
    text = sys.stdout

    def write(data: Bytes) -> None:
        text.flush()
        text.buffer.write(data)
        text.buffer.flush()

    return write
