"""A rehearsal's report to be read: as lines for a terminal, as HTML for a notebook, as a file for a review.

Marks are words and signs, never colour alone. All of what comes from statements and data is escaped. Called by the
facade and the command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from absdb.branch_colours import branch_html
from absdb.diff_reprs import operation_html
from absdb.marks import signed
from absdb.rehearsal.report import SCHEMA_COLUMNS, SUMMARY_COLUMNS, Report
from absdb.reprs import Html, counted, escaped, grid, page, text_grid

STATEMENT_CHARACTERS = 72
_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "h2{font-size:1rem;margin:1.5rem 0 .25rem}td,th{text-align:left}"
    "@media (prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
)
Section = tuple[str, tuple[str, ...], list[tuple[Any, ...]]]


def verdict(report: Report) -> str:
    """One sentence: what the rehearsal comes to."""
    failed, misfit = report.failed_statement, report.misfit
    if failed is not None:
        number = report.statements.index(failed) + 1
        return f"statement {number} failed: {failed.error.splitlines()[0]}"
    if report.failed_checks:
        names = ", ".join(check.name for check in report.failed_checks)
        return f"{counted(len(report.failed_checks), 'check')} failed: {names}"
    if misfit is not None:
        return f"commit {misfit.lsn} of {report.database} no longer fits: {misfit.reason}"
    replayed = f", {counted(len(report.replayed), 'commit')} replayed" if report.replayed else ""
    return f"passed: {counted(len(report.statements), 'statement')}{replayed}"


def sections(report: Report) -> Iterator[Section]:
    """(heading, column names, rows) of each part that has something to say."""
    yield (
        "Statements",
        ("", "statement", "ms", "rows", "pages", "log bytes"),
        [
            (
                "failed" if one.error else "ok",
                _line(one.statement),
                round(one.seconds * 1e3, 1),
                one.rows,
                one.pages,
                one.log_bytes,
            )
            for one in report.statements
        ],
    )
    if report.schema:
        yield "Definitions", SCHEMA_COLUMNS, report.schema
    if report.summary:
        yield "Rows", SUMMARY_COLUMNS, list(report.summary)
    if report.checks:
        checks = [("ok" if c.passed else "failed", c.name, c.rows, _line(c.error)) for c in report.checks]
        yield "Checks", ("", "check", "offending rows", "error"), checks
    if report.replayed:
        rows = [
            ("ok" if one.fits else "conflict", one.lsn, one.time, one.author, one.message, one.reason)
            for one in report.replayed
        ]
        yield f"Replayed from {report.database}", ("", "lsn", "time", "author", "message", "reason"), rows


def as_text(report: Report) -> str:
    """The report as lines."""
    failed = report.failed_statement
    parts = [
        verdict(report) if failed is None else "\n".join([verdict(report), *failed.error.splitlines()[1:]])
    ]
    for heading, names, rows in sections(report):
        shown = [[signed(v) if n == "operation" else v for n, v in zip(names, r, strict=True)] for r in rows]
        parts.append(f"{heading}\n{text_grid(names, shown)}")
    parts += _notes(report)
    return "\n\n".join(parts)


def as_html(report: Report, name: str) -> str:
    """The report as a block for a notebook."""
    parts = [
        f"<b>{escape(heading)}</b>{grid(names, [_marked(names, row) for row in rows])}"
        for heading, names, rows in sections(report)
    ]
    notes = "".join(f"<div>{escape(note)}</div>" for note in _notes(report))
    facts: list[str | Html] = [Html(f"of {branch_html(report.database)}"), verdict(report)]
    return page("Rehearsal", Html(branch_html(name)), facts, *parts, notes)


def as_document(report: Report, name: str) -> str:
    """The report as an HTML file that needs nothing else."""
    title = escape(f"Rehearsal {name} of {report.database}")
    parts = []
    for heading, names, rows in sections(report):
        head = "".join(f"<th>{escape(one)}</th>" for one in names)
        body = "".join(
            "<tr>" + "".join(f"<td{_align(v)}>{_text(v)}</td>" for v in _marked(names, row)) + "</tr>"
            for row in rows
        )
        parts.append(f"<h2>{escape(heading)}</h2><table cellpadding=4><tr>{head}</tr>{body}</table>")
    scripts = "".join(f"<pre>{escape(one.statement)}</pre>" for one in report.statements)
    notes = "".join(f"<p>{escape(note)}</p>" for note in _notes(report))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>{escape(verdict(report))}</p><p>from {escape(report.started_from)}</p>"
        f"{''.join(parts)}{notes}<h2>The statements</h2>{scripts}</html>\n"
    )


def _notes(report: Report) -> list[str]:
    notes = []
    if report.left_out:
        notes.append(f"{counted(report.left_out, 'statement')} after it not run")
    if report.not_replayed:
        notes.append(f"{counted(report.not_replayed, 'commit')} after it not replayed")
    return notes


def _marked(names: Sequence[str], row: Sequence[Any]) -> list[Any]:
    """A row of a section with its operation, or what happened to a definition, marked."""
    marked = ("operation", "change")
    return [
        operation_html(value) if name in marked and isinstance(value, str) else value
        for name, value in zip(names, row, strict=True)
    ]


def _text(value: Any) -> str:
    return escaped("" if value is None else value if isinstance(value, Html) else str(value))


def _align(value: Any) -> str:
    return ' style="text-align:right"' if isinstance(value, int | float) else ""


def _line(text: str) -> str:
    """A text in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= STATEMENT_CHARACTERS else f"{line[: STATEMENT_CHARACTERS - 1]}…"
