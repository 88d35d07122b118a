"""What uploads to clouds do at the end of a `with`: finish, or clean up without hiding what went wrong.

Below azure_blocks.py and gcs_upload.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from absdb.errors import AbsdbError, StateError
from absdb.objectstore.base import ObjectInfo


class UploadContext(ABC):
    """An upload under `name` that is over once it is finished or aborted."""

    name: str
    is_over = False

    @abstractmethod
    def finish(self) -> ObjectInfo:
        """Make the object appear. After an error it is to be aborted."""

    @abstractmethod
    def abort(self) -> None:
        """Give up and clean up; nothing if it is over."""

    def check(self) -> None:
        """StateError if it is over."""
        if self.is_over:
            raise StateError(f"the upload of {self.name} is over", hint="begin another one")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abort_after(error)
        elif not self.is_over:
            try:
                self.finish()
            except BaseException as failure:
                self._abort_after(failure)
                raise

    def _abort_after(self, error: BaseException) -> None:
        try:
            self.abort()
        except AbsdbError as failure:
            error.add_note(f"what was uploaded could not be removed: {failure.message}")
