"""The suite sees what a page must not do: raise, show a failed cell as a good one, or ask a network."""

from __future__ import annotations

import pytest


def seen(lab) -> str:
    """What the watch holds against the page, which then starts anew."""
    with pytest.raises(AssertionError) as failure:
        lab.watch.check()
    lab.watch.forget()
    return str(failure.value)


def test_error_of_the_page_is_seen(lab):
    lab.watch.check()
    lab.page.evaluate("setTimeout(() => nowhere())")
    lab.page.wait_for_timeout(200)
    assert "nowhere is not defined" in seen(lab)


def test_line_of_the_console_is_seen_as_an_error(lab):
    lab.page.evaluate("console.error('no such model')")
    assert "no such model" in seen(lab)


@pytest.mark.parametrize(
    "ask",
    [
        "fetch('https://cdn.example/x.js').catch(() => null)",
        "new Promise(done => { new WebSocket('wss://cdn.example/y').onerror = () => done(); })",
        "new Promise(done => { const i = new Image(); i.onerror = () => done(); i.src = '//cdn.example/z.png'; })",
    ],
    ids=["fetch", "socket", "image"],
)
def test_request_to_another_host_is_seen_and_goes_nowhere(lab, ask):
    lab.page.evaluate(f"() => {ask}.then(() => null)")
    lab.watch.errors.clear()
    assert "cdn.example" in seen(lab)


def test_cell_that_raises_fails_the_test(lab):
    notebook = lab.make("x = 1", "1 / 0", "x = 2")
    with pytest.raises(AssertionError, match="division by zero"):
        notebook.run_all()
    assert notebook.ask("x") == "1"
