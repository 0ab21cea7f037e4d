"""One blob going out: an upload session that is taken up where it broke off (distribution-spec "Pushing blobs")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from core.errors import LamellaError
from image.digest import Digest
from registry.client.answers import expect, failure
from registry.client.errors import ConnectionFailed, Misbehaved, Refused, ServerFailed, Unknown
from registry.client.remote import Repository, located
from registry.client.transport import Body, Chunks, Request, Response, drain
from registry.protocol import blob_path, mount_path, uploads_path

_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")
PUSH = "pull,push"


class Source(Protocol):
    """The bytes of a blob, as often as they are needed. `size` is None while nobody knows it."""

    size: int | None

    def open(self, offset: int) -> Chunks:
        """The bytes from `offset` on. Only the last one opened needs to work."""

    def digest(self) -> Digest:
        """Known once some `open` has come to its end, if not before."""


class SessionLost(ConnectionFailed):
    """The upload cannot go on where it is; start again from nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A repository that is pushed to."""

    repository: Repository

    def has(self, digest: Digest, size: int | None = None) -> bool:
        """Whether the blob is there, as HEAD says (a size that differs is a different blob)."""
        request = self._request("HEAD", self.repository.url(blob_path, digest))
        response = self.repository.send(request)
        declared = response.headers.get("content-length", "")
        drain(response)
        if response.status == 404:
            return False
        expect(response, request, f"blob {digest.short} of {self.repository}", 200)
        return size is None or not declared.isdigit() or int(declared) == size

    def mount(self, digest: Digest, path: str) -> bool | str:
        """Ask for the blob out of the repository `path` there: True, or the session that the registry opened instead.

        False where it would not hear of it (distribution-spec end-11).
        """
        other = f"repository:{path}:pull"
        url = self.repository.url(mount_path, digest, path)
        response = self.repository.send(self._request("POST", url, more=(other,)))
        drain(response)
        if response.status == 202:
            return located(self.repository, response, url)
        return response.status == 201

    def upload(self, source: Source, session: str | None = None) -> None:
        """Send all of `source`, in as many attempts as patience allows without progress.

        Raises Denied, Refused, Unavailable, and what reading the source raises.
        """
        patience, attempt, offset = self.repository.remote.patience, 0, 0
        while True:
            patience.check()
            try:
                session = session or self._start()
                self._send(session, source, offset)
                return
            except (ConnectionFailed, ServerFailed) as error:
                patience.wait(attempt, error)
                before = offset
                session, offset = self._where(session, error)
                attempt = 0 if offset > before else attempt + 1

    def _start(self) -> str:
        url = self.repository.url(uploads_path)
        request = self._request("POST", url)
        response = self.repository.ask(request, f"an upload to {self.repository}", 202)
        drain(response)
        return located(self.repository, response, url)

    def _send(self, session: str, source: Source, offset: int) -> None:
        if source.size is not None and offset == 0:
            request = self._request("PUT", _with_digest(session, source.digest()), source=source, again=False)
        elif source.size is None or offset < source.size:
            session = self._patch(session, source, offset)
            request = self._request("PUT", _with_digest(session, source.digest()))
        else:
            request = self._request("PUT", _with_digest(session, source.digest()))
        response = self.repository.send(request)
        drain(response)
        if response.status == 404 and self.has(source.digest(), source.size):
            return  # an earlier try had been heard, only its answer was lost
        if response.status in (400, 404, 416) and offset:
            raise SessionLost(f"an upload to {self.repository} could not be taken up again")
        expect(response, request, f"blob {source.digest().short} for {self.repository}", 201, 204)

    def _patch(self, session: str, source: Source, offset: int) -> str:
        request = self._request("PATCH", session, source=source, offset=offset, again=False)
        response = self.repository.send(request)
        if response.status in (404, 416):
            raise SessionLost(str(failure(response, request, f"an upload to {self.repository}")))
        drain(expect(response, request, f"an upload to {self.repository}", 202, 201, 204))
        arrived = _arrived(response)
        if source.size is not None and arrived not in (None, 0, source.size):
            raise ConnectionFailed(f"{self.repository} took {arrived} of {source.size} bytes", "try again")
        return located(self.repository, response, request.url) if "location" in response.headers else session

    def _where(self, session: str | None, error: LamellaError) -> tuple[str | None, int]:
        """Where the session goes on and how many bytes it has; nothing and 0 for a new one (end-13)."""
        if session is None or isinstance(error, SessionLost):
            return None, 0
        request = self._request("GET", session)
        try:
            response = self._ask_until_free(request)
        except (Refused, Unknown, Misbehaved):
            return None, 0
        arrived = _arrived(response) or 0
        if arrived <= 1:  # `0-0` is said of one byte and of none
            return None, 0
        return (located(self.repository, response, session) if "location" in response.headers else session), arrived

    def _ask_until_free(self, request: Request) -> Response:
        """The answer; 409 says that the registry has not noticed yet that the old connection is gone."""
        attempt = 0
        while True:
            response = self.repository.send(request)
            drain(response)
            if response.status != 409:
                return expect(response, request, "an upload", 204, 200)
            busy = ConnectionFailed(f"{self.repository} is still busy with an earlier connection", "try again later")
            self.repository.remote.patience.wait(attempt, busy)
            attempt += 1

    def _request(
        self, method: str, url: str, *, source: Source | None = None, offset: int = 0, again: bool = True,
        more: tuple[str, ...] = (),
    ) -> Request:  # fmt: skip
        headers: dict[str, str] = {}
        body = None
        if source is not None:
            headers["Content-Type"] = "application/octet-stream"
            size = None if source.size is None else source.size - offset
            if size is not None and method == "PATCH":
                headers["Content-Range"] = f"{offset}-{offset + size - 1}"
            body = Body(lambda: source.open(offset), size)
        return Request(method, url, headers, body, (self.repository.scope(PUSH), *more), again)


def _arrived(response: Response) -> int | None:
    found = _RANGE.fullmatch(response.headers.get("range", "").strip())
    return int(found[1]) + 1 if found else None


def _with_digest(session: str, digest: Digest) -> str:
    return f"{session}{'&' if '?' in session else '?'}digest={digest}"
