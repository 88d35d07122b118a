"""A large object on its way to S3, in parts; one that turns out to fit into a part is put at once instead.

Completing is the moment in which it appears, and the one where an answer that is lost, or an error inside a success,
leaves open whether it did. So each upload leaves a mark on its object: if the object there has it, it did. What cannot
be finished is aborted, for parts that nobody completes cost money. Made by S3Store.upload.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self

from absdb.errors import AbsdbError, AlreadyExistsError, StateError, StorageError
from absdb.objectstore.base import Data, ObjectInfo
from absdb.objectstore.part_sizes import plan_parts
from absdb.objectstore.request import Response
from absdb.objectstore.s3_client import MARK_HEADER, S3Client
from absdb.objectstore.s3_conditions import IF_ABSENT, REFUSED, completion
from absdb.objectstore.s3_settings import LARGEST_OBJECT, LARGEST_PART
from absdb.objectstore.s3_xml import MalformedXml, parse, parse_answer
from absdb.objectstore.transfer import PartUploader

PutAtOnce = Callable[[bytes | bytearray], ObjectInfo]


class S3Upload:
    """One upload. `put` writes the object if it is small."""

    def __init__(
        self, client: S3Client, name: str, put: PutAtOnce, *, size_hint: int | None, if_absent: bool
    ) -> None:
        settings = client.settings
        sizes = plan_parts(
            size_hint,
            part_size=settings.part_size,
            max_parts=settings.max_parts,
            largest_part=LARGEST_PART,
            largest_object=LARGEST_OBJECT,
        )
        self._client = client
        self._name = name
        self._key = settings.key(name)
        self._uploader = PartUploader(self._send_part, sizes, client.concurrency)
        self._put = put
        self._if_absent = if_absent
        self._mark = uuid.uuid4().hex
        self._mutex = threading.Lock()
        self._id = ""
        self._size = 0
        self._is_over = False

    def write(self, data: Data) -> None:
        """Append; waits while enough parts are on their way."""
        self._check()
        self._uploader.write(data)
        self._size += memoryview(data).nbytes

    def finish(self) -> ObjectInfo:
        """Send the rest and make the object appear."""
        self._check()
        if not self._uploader.has_sent:
            rest = self._uploader.rest
            self._is_over = True
            try:
                return self._put(rest)
            finally:
                self._uploader.abort()
        etags = self._uploader.finish()
        etag, modified_us = self._complete(etags)
        self._is_over = True
        return ObjectInfo(self._name, self._size, etag, modified_us)

    def abort(self) -> None:
        """Wait for parts on their way, and remove them all."""
        if self._is_over:
            return
        self._is_over = True
        self._uploader.abort()
        if self._id:
            request = self._client.request("DELETE", self._key, query={"uploadId": self._id})
            self._client.send(request, also=(404,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self._is_over:
                return
            try:
                self.finish()
            except BaseException as failure:
                self._abort_after(failure)
                raise
        else:
            self._abort_after(error)

    def _abort_after(self, error: BaseException) -> None:
        """Abort, and let what went wrong before stay what is reported."""
        try:
            self.abort()
        except AbsdbError as failure:
            error.add_note(f"what was uploaded could not be removed: {failure.message}")

    def _check(self) -> None:
        if self._is_over:
            raise StateError(f"the upload of {self._name} is over", hint="begin another one")

    def _send_part(self, number: int, data: Data) -> str:
        with self._mutex:
            if not self._id:
                self._id = self._create()
        query = {"partNumber": str(number), "uploadId": self._id}
        answer = self._client.send(self._client.request("PUT", self._key, query=query, body=data))
        etag = answer.headers.get("etag", "")
        if not etag:
            raise StorageError(f"part {number} of {self._name} was taken without an etag")
        return etag

    def _create(self) -> str:
        request = self._client.request(
            "POST", self._key, query={"uploads": ""}, headers={MARK_HEADER: self._mark}
        )
        answer = self._client.send(request)
        upload_id = parse_answer(answer.body, "InitiateMultipartUploadResult", request.url).value("UploadId")
        if not upload_id:
            raise StorageError(f"{request.url} began an upload without giving its id")
        return upload_id

    def _complete(self, etags: list[str]) -> tuple[str, int]:
        """Put the parts together; (etag, when). What is there decides wherever the answer leaves it open."""
        request = self._client.request(
            "POST",
            self._key,
            query={"uploadId": self._id},
            headers=IF_ABSENT if self._if_absent else {},
            body=completion(etags),
        )
        try:
            answer = self._client.send(request, also=(404, REFUSED))
        except StorageError as error:
            if self._is_ours_after(error):
                return self._as_it_is()
            raise
        etag = _etag_of(answer)
        if etag:
            return etag, self._client.transport.now_us()
        if self._is_ours():
            return self._as_it_is()
        self.abort()
        if answer.status == REFUSED or (self._if_absent and self._client.mark_of(self._key)[0]):
            raise AlreadyExistsError(f"there is an object at {request.url} already", url=request.url)
        raise StorageError(
            f"the upload of {request.url} was lost before it was complete",
            hint="somebody aborted it, or the server made a mistake; upload it again",
            url=request.url,
            request_id=answer.request_id,
        )

    def _is_ours(self) -> bool:
        return self._client.mark_of(self._key)[1] == self._mark

    def _is_ours_after(self, error: StorageError) -> bool:
        """Whether the object appeared in spite of an error."""
        try:
            return self._is_ours()
        except StorageError as failure:
            error.add_note(f"whether it is there could not be found out: {failure.message}")
            return False

    def _as_it_is(self) -> tuple[str, int]:
        answer = self._client.send(self._client.request("HEAD", self._key))
        return answer.headers.get("etag", "").strip('"'), self._client.transport.now_us()


def _etag_of(answer: Response) -> str:
    """The etag in an answer that says that an object is complete; "" in any other."""
    if answer.status != 200:
        return ""
    try:
        root = parse(answer.body.strip())
    except MalformedXml:
        return ""
    return root.value("ETag").strip('"') if root.name == "CompleteMultipartUploadResult" else ""
