"""What the installed package names to pytest. It is not the package itself, which may be named a second time.

pytest refuses one module under two names, but loads what a module lists in `pytest_plugins` once.
"""

from __future__ import annotations

pytest_plugins = ("absdb.pytest_plugin",)
