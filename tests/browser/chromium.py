"""Starts Chromium with JupyterLab in it, watched, and with no way out to a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.lab import Lab
from tests.browser.presence import chromium
from tests.browser.server import JupyterServer
from tests.browser.watch import Watch

# No host but 127.0.0.1, whoever asks: no name is looked up, no proxy is used, nothing is the browser's own.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
WIDTH, HEIGHT = 1280, 1400


@contextmanager
def lab_in_chromium(
    server: JupyterServer, pictures: Path | None = None, width: int = WIDTH, height: int = HEIGHT
) -> Iterator[Lab]:
    """JupyterLab, loaded with nothing open in a page of this size. It takes about three seconds."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        context = browser.new_context(viewport={"width": width, "height": height})
        watch = Watch(context, f"127.0.0.1:{server.port}")
        lab = Lab(context.new_page(), server, watch, pictures)
        lab.load()
        yield lab
        browser.close()
