"""A large object of Google Cloud Storage, sent as one resumable upload.

    POST uploadType=resumable     begins a session, with the condition that is checked again at its end
    PUT  bytes a-b/*              a chunk, of a multiple of 256 KiB; 308 and a Range say how much has been kept
    PUT  bytes a-b/total          the last chunk; the object is there when this is answered
    PUT  bytes */*                after a break: how much has been kept?

Google's other way for large objects, multipart uploads of its XML API, sends parts in parallel, but knows no
conditions, replaces what is there when it completes, and keeps unfinished parts for ever. A session knows its
condition and what became of it, also when the last answer was lost, and ends by itself after a week. Its chunks go
one after the other, while the next one fills; several objects go side by side. Opened by gcs.py.
"""

from __future__ import annotations

import dataclasses
import json
import re
from urllib.parse import parse_qsl, urlsplit

from crc32c import crc32c

from absdb.errors import StorageError
from absdb.objectstore.base import Data, ObjectInfo
from absdb.objectstore.concurrency import Concurrency
from absdb.objectstore.gcs_answers import RESUME_INCOMPLETE, checksum, facts_of, info_of
from absdb.objectstore.gcs_bucket import Bucket
from absdb.objectstore.part_sizes import PartSizes
from absdb.objectstore.request import Request, Response
from absdb.objectstore.retry import Attempts
from absdb.objectstore.transfer import PartUploader
from absdb.objectstore.upload_context import UploadContext

CHUNK_UNIT = 256 << 10
_KEPT = re.compile(r"bytes=0-(\d+)")
_OVER = (400, 404, 410, 412, 499)
"""Answers to the cancellation of a session; 499 is that of success, the others come when it had ended already."""
_OBJECT_MAX = 5 << 40
_GONE = (404, 410)


class ResumableUpload(UploadContext):
    """An upload to one name. One thread writes."""

    def __init__(self, bucket: Bucket, name: str, chunk: int, *, if_absent: bool) -> None:
        """`chunk` is a multiple of CHUNK_UNIT."""
        self._bucket = bucket
        self.name = name
        self._if_absent = if_absent
        sizes = PartSizes(chunk, 0, chunk, -(-_OBJECT_MAX // chunk))
        self._parts = PartUploader(self._send_chunk, sizes, Concurrency(1))
        self._written = 0
        self._total: int | None = None
        self._session: Request | None = None
        self._sent = 0
        self._crc = 0
        self._answer: Response | None = None

    def write(self, data: Data) -> None:
        """Append; waits while a chunk is on its way."""
        self.check()
        self._parts.write(data)
        self._written += memoryview(data).nbytes

    def finish(self) -> ObjectInfo:
        """Send the last chunk, which makes the object appear."""
        self.check()
        if self._parts.has_sent:
            self._total = self._written
            self._parts.finish()
            self.is_over = True
            return self._checked()
        self.is_over = True
        try:
            return self._bucket.put(self.name, self._parts.rest, if_absent=self._if_absent)
        finally:
            self._parts.abort()

    def abort(self) -> None:
        """Send nothing more, and cancel the session."""
        if not self.is_over:
            self.is_over = True
            self._parts.abort()
            if self._session is not None:
                request = dataclasses.replace(self._session, method="DELETE")
                self._bucket.transport.send(request, also=_OVER)

    def _send_chunk(self, number: int, data: Data) -> None:
        """Send a chunk until Google has all of it. Called for one chunk after the other."""
        if self._session is None:
            self._session = self._begin()
        view = memoryview(data).cast("B")
        start, end = self._sent, self._sent + view.nbytes
        attempts = Attempts(self._bucket.transport.policy, self._bucket.transport.closing)
        while True:
            answer = self._attempt(self._session, view[self._sent - start :])
            if answer.status != RESUME_INCOMPLETE:
                self._answer = answer
                break
            kept, before = _kept(answer), self._sent
            if not before <= kept <= end:
                raise self._failed(f"bytes {before} to {end} were sent, and it has {kept} now")
            self._sent = kept
            if kept == end != self._total:
                break
            if kept == before and not attempts.wait():
                raise self._failed(f"it takes no more than {kept} bytes")
        self._sent = end
        self._crc = crc32c(view, self._crc)

    def _attempt(self, session: Request, view: memoryview) -> Response:
        """Send the next bytes once; the answer, or after a break what the session says about itself."""
        end = self._sent + view.nbytes
        place = f"{self._sent}-{end - 1}" if view.nbytes else "*"
        total = str(end) if end == self._total else "*"
        transport, also = self._bucket.transport, (412, *_GONE)
        try:
            request = _piece(session, f"{place}/{total}", view)
            answer = transport.send(request, also=also, again=False)
        except StorageError as error:
            if not _may_pass(error):
                raise
            answer = transport.send(_piece(session, f"*/{total}"), also=also)
        if answer.status in _GONE:
            raise self._failed("its session has ended")
        if answer.status == 412:
            raise self._bucket.lost(session, self.name, answer, if_absent=self._if_absent)
        return answer

    def _begin(self) -> Request:
        """The request that all chunks are sent with.

        They go to our endpoint whatever host the session names: an emulator may know itself under another name, and
        the token is for nobody else.
        """
        about = {"name": self._bucket.root + self.name, "contentType": "application/octet-stream"}
        request = dataclasses.replace(
            self._bucket.upload_request("resumable", if_absent=self._if_absent),
            headers={"content-type": "application/json; charset=UTF-8"},
            body=json.dumps(about).encode(),
        )
        answer = self._bucket.transport.send(request, also=(412,))
        if answer.status == 412:
            raise self._bucket.lost(request, self.name, answer, if_absent=self._if_absent)
        place, ours = urlsplit(answer.headers.get("location", "")), urlsplit(self._bucket.endpoint)
        query = tuple(parse_qsl(place.query, keep_blank_values=True))
        return Request(method="PUT", url=f"{ours.scheme}://{ours.netloc}{place.path}", query=query)

    def _checked(self) -> ObjectInfo:
        """The object, if it is what was sent; one that is not is removed."""
        if self._answer is None:
            raise self._failed("the last bytes of it did not make an object")
        facts = facts_of(self._answer, self._bucket.url)
        info = info_of(self.name, facts)
        if info.size != self._total or facts["crc32c"] != checksum(self._crc):
            generation = ("ifGenerationMatch", info.etag)
            self._bucket.was_there(self._bucket.request("DELETE", self.name, generation))
            raise self._failed(f"{self._total} bytes were sent, and {info.size} or others have arrived")
        return info

    def _failed(self, why: str) -> StorageError:
        return StorageError(
            f"cannot upload {self._bucket.url}/{self.name}: {why}", hint="upload it again", name=self.name
        )


def _piece(session: Request, content_range: str, body: Data = b"") -> Request:
    return dataclasses.replace(session, headers={"content-range": f"bytes {content_range}"}, body=body)


def _kept(answer: Response) -> int:
    """How many bytes a session has."""
    found = _KEPT.fullmatch(answer.headers.get("range", ""))
    return int(found[1]) + 1 if found else 0


def _may_pass(error: StorageError) -> bool:
    """Whether what went wrong leaves open what has arrived: no answer, or one of a server in trouble."""
    status = error.facts.get("status", 0)
    return status is None or status in (408, 429) or status >= 500
