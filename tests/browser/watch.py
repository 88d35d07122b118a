"""Watches a browser: what its pages raised, and whom they asked for anything."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError, WebSocket

INSIDE = frozenset({"about", "blob", "data"})
"""Schemes that ask nobody."""
NOT_OURS = re.compile(r"Canceled future for \w+_request message before replies were done")
"""JupyterLab asks each kernel for things of its own, and says this if the kernel ends or restarts meanwhile."""


class Watch:
    """Everything that a browser's pages did and must not do, since the last `forget`."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.host = host
        self.errors: list[str] = []
        self.strangers: list[str] = []
        context.on("weberror", self._raised)
        context.on("console", self._said)
        context.on("request", self._asked)
        context.on("page", self._opened)

    def _raised(self, error: WebError) -> None:
        self._hear(f"uncaught: {error.error.stack or error.error}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._hear(f"console: {message.text} ({message.location['url']})")

    def _hear(self, error: str) -> None:
        if not NOT_OURS.search(error):
            self.errors.append(error)

    def _asked(self, request: Request) -> None:
        self._see(request.url)

    def _opened(self, page: Page) -> None:
        page.on("websocket", self._connected)

    def _connected(self, socket: WebSocket) -> None:
        self._see(socket.url)

    def _see(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in INSIDE and parts.netloc != self.host:
            self.strangers.append(url)

    def forget(self) -> None:
        """Begin anew."""
        self.errors.clear()
        self.strangers.clear()

    def check(self) -> None:
        """Fail if a page raised an error or asked another host than the server."""
        assert not self.errors, "errors in the page:\n" + "\n".join(self.errors)
        assert not self.strangers, "asked of other hosts:\n" + "\n".join(self.strangers)
