"""A stand-in for Google Cloud Storage that checks what the emulators do not: tokens, signatures of JWTs, preconditions.

It keeps objects in memory and speaks the part of the JSON API that absdb and Google's own client use. `tokens` gives
tokens and knows them.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import secrets
import socket
import threading
import time
from email.message import Message
from typing import NamedTuple

import crc32c
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.objectstore.gcs_stub_tokens import METADATA_PATH, StubTokens

CHUNK = 256 * 1024


class Stored(NamedTuple):
    """An object as it lies in a bucket."""

    data: bytes
    generation: int
    updated: str
    metadata: dict[str, str]


class Target(NamedTuple):
    """Where an upload goes, on which condition, and what is said about the object."""

    bucket: str
    name: str
    condition: str | None
    metadata: dict[str, str]


class Session(NamedTuple):
    """A resumable upload: what has arrived, and the answer once it has ended."""

    target: Target
    data: bytearray
    outcome: list[Response]


def crc_of(data: bytes) -> str:
    """The checksum of an object, as Google writes it."""
    return base64.b64encode(crc32c.crc32c(data).to_bytes(4, "big")).decode()


def refusal(code: int, reason: str) -> JSONResponse:
    """An error as Google words it."""
    return JSONResponse({"error": {"code": code, "message": reason, "errors": [{"reason": reason}]}}, code)


class GcsStub:
    """The server, in a thread of its own; `url` is its endpoint."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, Stored]] = {}
        self._sessions: dict[str, Session] = {}
        self._generation = 1_000
        self._mutex = threading.Lock()
        # Said to be of TCP, so that asyncio lets it send at once (TCP_NODELAY).
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.tokens = StubTokens(self.url)
        objects = "/storage/v1/b/{bucket}/o"
        app = Starlette(
            routes=[
                Route("/token", self.tokens.give, methods=["POST"]),
                Route(METADATA_PATH, self.tokens.give, methods=["GET"]),
                Route(objects, self.listing, methods=["GET"]),
                Route(f"{objects}/{{name:path}}", self.object, methods=["GET", "DELETE"]),
                Route(f"/download{objects}/{{name:path}}", self.object, methods=["GET"]),
                Route(f"/upload{objects}", self.upload, methods=["POST", "PUT", "DELETE"]),
            ]
        )
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        """End the server and its thread."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()
        self._socket.close()

    def add_bucket(self, name: str) -> None:
        """Make an empty bucket."""
        self._buckets[name] = {}

    def sessions(self) -> int:
        """How many resumable uploads are neither finished nor cancelled."""
        return sum(not session.outcome for session in self._sessions.values())

    def _refused(self, request: Request) -> Response | None:
        """Why a request goes no further: no token, or no such bucket."""
        if self.tokens.refused(request):
            return refusal(401, "authError")
        if request.path_params.get("bucket", "") not in {"", *self._buckets}:
            return refusal(404, "notFound")
        return None

    async def listing(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        query = request.query_params
        prefix, delimiter, start = (query.get(key, "") for key in ("prefix", "delimiter", "startOffset"))
        after = base64.urlsafe_b64decode(query.get("pageToken", "")).decode()
        bucket = self._buckets[request.path_params["bucket"]]
        found: dict[str, Stored | None] = {}
        for name in sorted(bucket, key=str.encode):
            if name.startswith(prefix) and name.encode() >= start.encode():
                below = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
                found.setdefault(
                    prefix + below[0] + below[1] if below[1] else name, None if below[1] else bucket[name]
                )
        names = [name for name in found if name.encode() > after.encode()]
        page = names[: min(1000, int(query.get("maxResults", 1000)))]
        answer = {
            "kind": "storage#objects",
            "items": [self._described(request, name, stored) for name in page if (stored := found[name])],
            "prefixes": [name for name in page if not found[name]],
        }
        if len(page) < len(names):
            answer["nextPageToken"] = base64.urlsafe_b64encode(page[-1].encode()).decode()
        return JSONResponse(answer)

    async def object(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        bucket, name = self._buckets[request.path_params["bucket"]], request.path_params["name"]
        with self._mutex:
            stored = bucket.get(name)
            if stored is None:
                return refusal(404, "notFound")
            wanted = request.query_params.get("ifGenerationMatch") or request.query_params.get("generation")
            if wanted and int(wanted) != stored.generation:
                return refusal(412 if "ifGenerationMatch" in request.query_params else 404, "conditionNotMet")
            if request.method == "DELETE":
                del bucket[name]
                return Response(status_code=204)
        if request.query_params.get("alt") != "media":
            return JSONResponse(self._described(request, name, stored))
        first, _, last = request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")
        data, size = stored.data[int(first) : int(last) + 1 if last else None], len(stored.data)
        if "range" in request.headers and int(first) >= size:
            return refusal(416, "requestedRangeNotSatisfiable")
        headers = {"x-goog-generation": str(stored.generation), "etag": f'"{stored.generation}"'}
        if "range" in request.headers:
            headers["content-range"] = f"bytes {first}-{int(first) + len(data) - 1}/{size}"
        return Response(data, 206 if "range" in request.headers else 200, headers)

    async def upload(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        body, query = await request.body(), request.query_params
        if "upload_id" in query:
            return self._resume(request, query["upload_id"], body)
        about = body
        if query["uploadType"] == "multipart":
            wrapped = Message()
            wrapped["content-type"] = request.headers["content-type"]
            parts = body.split(b"--" + str(wrapped.get_param("boundary")).encode())
            about, body = (part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts[1:3])
        said = json.loads(about or b"{}")
        name, bucket = said.get("name", query.get("name")), request.path_params["bucket"]
        target = Target(bucket, name, query.get("ifGenerationMatch"), said.get("metadata", {}))
        if query["uploadType"] == "multipart":
            matches = said.get("crc32c", crc_of(body)) == crc_of(body)
            return (
                self._keep(request, target, body)
                if matches
                else refusal(400, "it doesn't match calculated CRC32C")
            )
        if refused := self._unmet(target):
            return refused
        identity = secrets.token_hex(8)
        self._sessions[identity] = Session(target, bytearray(), [])
        return Response(
            headers={"location": f"{self.url}{request.url.path}?uploadType=resumable&upload_id={identity}"}
        )

    def _resume(self, request: Request, identity: str, body: bytes) -> Response:
        """A piece of a resumable upload, a question how much of it has arrived, or the end of it."""
        session = self._sessions.get(identity)
        if session is None:
            return refusal(404, "notFound")
        if request.method == "DELETE":
            del self._sessions[identity]
            return Response(status_code=499)
        if session.outcome:
            return session.outcome[0]
        place, _, total = request.headers["content-range"].removeprefix("bytes ").partition("/")
        if place != "*" and (first := int(place.partition("-")[0])) <= len(session.data):
            session.data.extend(body[len(session.data) - first :])
        if total == "*":
            del session.data[len(session.data) // CHUNK * CHUNK :]
        if total == str(len(session.data)):
            session.outcome.append(self._keep(request, session.target, bytes(session.data)))
            return session.outcome[0]
        headers = {"range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
        return Response(status_code=308, headers=headers)

    def _unmet(self, target: Target) -> Response | None:
        stored = self._buckets[target.bucket].get(target.name)
        unmet = target.condition is not None and int(target.condition) != (stored.generation if stored else 0)
        return refusal(412, "conditionNotMet") if unmet else None

    def _keep(self, request: Request, target: Target, data: bytes) -> Response:
        with self._mutex:
            if refused := self._unmet(target):
                return refused
            self._generation += 1
            now = dt.datetime.now(dt.UTC).isoformat()
            stored = Stored(data, self._generation, now, target.metadata)
            self._buckets[target.bucket][target.name] = stored
        return JSONResponse(self._described(request, target.name, stored))

    def _described(self, request: Request, name: str, stored: Stored) -> dict[str, object]:
        """What there is to know about an object."""
        return {
            "kind": "storage#object",
            "bucket": request.path_params["bucket"],
            "name": name,
            "size": str(len(stored.data)),
            "generation": str(stored.generation),
            "metageneration": "1",
            "etag": f"e{stored.generation}",
            "updated": stored.updated,
            "timeCreated": stored.updated,
            "md5Hash": base64.b64encode(hashlib.md5(stored.data).digest()).decode(),
            "crc32c": crc_of(stored.data),
            "metadata": stored.metadata,
        }
