"""Everything on the page about the dialect is so: what it shows runs, what it says is refused is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import absdb
from absdb.sql.session import Session
from absdb.sql.text.tokens import statements_of

PAGE = (Path(absdb.__file__).parent / "sql" / "DIALECT.md").read_text()
SHOWN = [text for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL) for text in statements_of(block)]
REFUSED = re.findall(r"^\| `(.+?)` \| .+ \|$", PAGE.partition("## What is refused")[2], re.MULTILINE)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with absdb.connect(":memory:") as shop, shop["main"].session() as opened:
        yield opened


def test_the_page_is_read() -> None:
    assert len(SHOWN) > 40
    assert len(REFUSED) > 15


def test_everything_shown_runs(session: Session) -> None:
    for text in SHOWN:
        result = session.sql(text)
        assert not result.columns or result.fetchall() is not None, text


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused(session: Session, text: str) -> None:
    before = [session.sql(each).fetchall() for each in ("FROM absdb_databases", "FROM absdb_log")]
    with pytest.raises(absdb.AbsdbError) as caught:
        session.sql(text)
    assert len(caught.value.message) > 10
    assert [session.sql(each).fetchall() for each in ("FROM absdb_databases", "FROM absdb_log")] == before
