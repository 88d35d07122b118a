"""The tree of exceptions is the one drawn at the top of its module, and errors travel between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from absdb import errors
from absdb.errors import (
    AbsdbError,
    InvalidInputError,
    LockedError,
    NotFoundError,
    StorageError,
    WriteConflictError,
)

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AbsdbError)]
LINE = re.compile(r"^    ((?:[│ ] {3})*)(?:[├└]── )?(\w+Error)(?: \((\w+)\))?(?:  +.*)?$")


def drawn() -> dict[str, tuple[str, ...]]:
    """Name -> bases, as drawn in the module's docstring."""
    tree: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        bars, name, builtin = match.groups()
        depth = len(bars) // 4 + ("── " in line)
        parent = above[depth - 1] if depth else "Exception"
        above[depth:] = [name]
        tree[name] = (parent, builtin) if builtin else (parent,)
    return tree


def test_the_tree_is_as_drawn():
    actual = {kind.__name__: tuple(base.__name__ for base in kind.__bases__) for kind in CLASSES}
    assert drawn() == actual


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
class TestEach:
    def test_message_hint_and_facts(self, kind):
        error = kind("what and where", hint="what to do", table="t", keys=[1, 2])
        assert error.message == "what and where"
        assert str(error) == "what and where\n  hint: what to do"
        assert (error.hint, error.table, error.keys) == ("what to do", "t", [1, 2])
        assert str(kind("plain")) == "plain"
        assert kind("plain").hint == ""

    def test_no_such_fact(self, kind):
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            _ = kind("x").nothing
        assert not hasattr(kind("x"), "__nothing__")

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_pickles(self, kind, protocol):
        error = kind("what", hint="do", table="t", keys=[1])
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is kind
        assert (again.message, again.hint, again.facts) == ("what", "do", {"table": "t", "keys": [1]})
        assert str(again) == str(error)

    def test_copies(self, kind):
        error = kind("what", hint="do", table="t")
        assert copy.copy(error).facts == copy.deepcopy(error).facts == {"table": "t"}

    def test_says_what_it_is(self, kind):
        assert kind.__doc__
        assert repr(kind("what")) == f"{kind.__name__}('what')"


def test_what_callers_catch():
    """Each error is also what Python's own code would raise."""
    assert issubclass(NotFoundError, LookupError)
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(StorageError, OSError)
    assert not issubclass(WriteConflictError, ValueError)
    assert issubclass(LockedError, AbsdbError)


def test_facts_are_attributes():
    error = LockedError("x", pid=7, host="h")
    assert (error.pid, error.host) == (7, "h")
    assert error.facts == {"pid": 7, "host": "h"}


def test_storage_errors_keep_their_errno_through_pickling() -> None:
    error = StorageError("full", errno=28, path="wal/x")
    copied = pickle.loads(pickle.dumps(error))
    assert (error.errno, copied.errno, copied.path) == (28, 28, "wal/x")
