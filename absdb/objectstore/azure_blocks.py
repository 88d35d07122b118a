"""A large blob of Azure, sent as blocks in parallel and made of them at the end.

Block ids begin with a random prefix of the upload, because all who write to a name share its uncommitted blocks, and
all have one length, as Azure wants. The ids also tell whose blob is there when the answer to the last request was
lost. What fits into one block goes as a blob at once. Opened by azure.py.
"""

from __future__ import annotations

import base64
import secrets

from absdb.errors import AbsdbError, AlreadyExistsError, ConflictError, NotFoundError
from absdb.objectstore.azure_answers import block_list, info_of, read_block_ids, read_fault
from absdb.objectstore.azure_container import CONDITION_STATUS, AzureContainer, absent
from absdb.objectstore.base import Data, ObjectInfo
from absdb.objectstore.part_sizes import PartSizes
from absdb.objectstore.transfer import PartUploader
from absdb.objectstore.upload_context import UploadContext


class BlockUpload(UploadContext):
    """An upload to one name. One thread writes."""

    def __init__(
        self,
        container: AzureContainer,
        name: str,
        sizes: PartSizes,
        *,
        if_absent: bool,
    ) -> None:
        self._container = container
        self.name = name
        self._if_absent = if_absent
        self._prefix = secrets.token_hex(12)
        self._parts = PartUploader(self._send_block, sizes, container.concurrency)
        self._size = 0

    def write(self, data: Data) -> None:
        """Append; waits while enough blocks are on their way."""
        self.check()
        self._parts.write(data)
        self._size += memoryview(data).nbytes

    def finish(self) -> ObjectInfo:
        """Make a blob of the blocks. ConflictError if somebody else wrote it meanwhile, which drops all blocks."""
        self.check()
        if self._parts.has_sent:
            info = self._commit(self._parts.finish())
            self.is_over = True
            return info
        self.is_over = True
        try:
            return self._container.put(self.name, self._parts.rest, if_absent=self._if_absent)
        finally:
            self._parts.abort()

    def abort(self) -> None:
        """Send nothing more, and drop the blocks that were sent.

        For this an empty blob of the name has to be there for a moment. Blocks for a name that has a blob already stay
        with it unseen; Azure drops them within a week.
        """
        if not self.is_over:
            self.is_over = True
            self._parts.abort()
            if self._parts.has_sent:
                self._container.discard_blocks(self.name)

    def _send_block(self, number: int, data: Data) -> str:
        """The id of the block, now that it is there."""
        identity = base64.b64encode(f"{self._prefix}-{number:05}".encode()).decode()
        request = self._container.request(
            "PUT", self.name, ("comp", "block"), ("blockid", identity), body=data
        )
        self._container.transport.send(request)
        return identity

    def _commit(self, ids: list[str]) -> ObjectInfo:
        request = self._container.request(
            "PUT",
            self.name,
            ("comp", "blocklist"),
            headers={"x-ms-blob-content-type": "application/octet-stream"},
            body=block_list(ids),
        )
        if self._if_absent:
            request = absent(request)
        answer = self._container.transport.send(request, also=(400, *CONDITION_STATUS))
        if answer.status < 300:
            return info_of(self.name, self._size, answer)
        if answer.attempts > 1 and self._is_ours(ids):
            return self._container.head(self.name)
        fault = read_fault(answer)
        if fault is not None and fault.code == "InvalidBlockList":
            raise self._blocks_are_gone()
        raise self._container.lost(request, self.name, answer, if_absent=self._if_absent)

    def _blocks_are_gone(self) -> AbsdbError:
        """The error for blocks that were dropped because somebody else wrote the blob, or removed them."""
        where = f"{self._container.url}/{self.name}"
        if self._if_absent and self._container.was_there(self._container.request("HEAD", self.name)):
            return AlreadyExistsError(f"{where} is there already", name=self.name)
        return ConflictError(
            f"{where} was written by somebody else while it was uploaded",
            hint="the blocks of this upload are gone with that; upload it again",
            name=self.name,
        )

    def _is_ours(self, ids: list[str]) -> bool:
        """Whether the blob that is there is made of our blocks."""
        request = self._container.request(
            "GET", self.name, ("comp", "blocklist"), ("blocklisttype", "committed")
        )
        try:
            return read_block_ids(self._container.transport.send(request)) == ids
        except NotFoundError:
            return False
