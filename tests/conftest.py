"""What all tests share: how hard hypothesis tries, and which tests wait for `make test-deep`.

ABSDB_DEEP=1 in the environment runs the tests marked `deep` too, and gives properties many more examples.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

DEEP = os.environ.get("ABSDB_DEEP", "") not in ("", "0")

# It needs a process of its own: test_sqlalchemy_suite.py starts it.
collect_ignore = ["sqlalchemy_suite"]

# No deadlines: a shared machine is slow at times, and a benchmark measures, not a test. Where CI is set the
# examples are the same each time, so that a red run speaks of the change it ran on.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    print_blob=True,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "deep", parent=settings.get_profile("default"), max_examples=2_000, derandomize=False
)
settings.load_profile("deep" if DEEP else "default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests marked `deep` out of ordinary runs; the closing line counts them as deselected."""
    if not DEEP:
        deep = [item for item in items if item.get_closest_marker("deep")]
        config.hook.pytest_deselected(items=deep)
        items[:] = [item for item in items if not item.get_closest_marker("deep")]
