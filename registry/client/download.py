"""One blob coming in: from the first source that has it, never longer than announced, taken up again where it broke off."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from core.errors import LamellaError
from image.descriptor import Descriptor
from registry.client.answers import expect, failure
from registry.client.errors import ConnectionFailed, ServerFailed, WrongBytes
from registry.client.remote import Repository
from registry.client.transport import Request, Response
from registry.protocol import blob_path

PIECE = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Download:
    """A Readable over the bytes of `blob`. Exactly `blob.size` bytes come, or an error; whether they are the right ones is
    for the BlobWriter that hashes them anyway.

    A broken connection is taken up by Range, with as many tries as the registry's patience has since the last byte came.
    """

    def __init__(self, sources: Sequence[Repository], blob: Descriptor, counted: Callable[[int], None]) -> None:
        self._sources = list(sources)
        self._blob = blob
        self._counted = counted
        self._offset = 0
        self._attempt = 0
        self._response: Response | None = None

    @property
    def what(self) -> str:
        return f"blob {self._blob.digest.short} of {self._sources[0]}"

    def read(self, n: int = PIECE, /) -> bytes:
        """As Readable. Raises NotFound, Denied, Unavailable when tries are used up, WrongBytes for a wrong size."""
        while self._offset < self._blob.size:
            self._sources[0].remote.patience.check()
            try:
                data = self._more(n)
            except (ConnectionFailed, ServerFailed) as error:
                self._interrupted(error)
                continue
            self._attempt = 0
            self._offset += len(data)
            self._counted(len(data))
            return data
        self._ended()
        return b""

    def _more(self, n: int) -> bytes:
        if self._response is None:
            self._response = self._open()
        data = self._response.read(min(n, self._blob.size - self._offset) if n >= 0 else PIECE)
        if not data:
            raise ConnectionFailed(
                f"{self.what} broke off after {self._offset} of {self._blob.size} bytes", "try again"
            )
        return data

    def _interrupted(self, error: ConnectionFailed | ServerFailed) -> None:
        self.close()
        try:
            self._sources[0].remote.patience.wait(self._attempt, error)
        except (ConnectionFailed, ServerFailed):
            self._next_source(error)
            self._attempt = -1
        self._attempt += 1

    def _next_source(self, error: LamellaError) -> None:
        if len(self._sources) == 1:
            raise error
        del self._sources[0]

    def _open(self) -> Response:
        while True:
            source = self._sources[0]
            headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
            request = Request("GET", source.url(blob_path, self._blob.digest), headers, again=False)
            response = source.send(request)
            if response.status == 404 or (response.status in (401, 403) and source.mirrored):
                error = failure(response, request, self.what)
                if len(self._sources) == 1 and self._blob.urls:
                    return self._elsewhere(error)
                self._next_source(error)
                continue
            return self._checked(expect(response, request, self.what, 200, 206))

    def _elsewhere(self, error: LamellaError) -> Response:
        """A non-distributable layer lives where its descriptor says (image-spec layer.md); no credentials go there."""
        for url in self._blob.urls:
            if urlsplit(url).scheme in ("http", "https"):
                headers = {"Range": f"bytes={self._offset}-"} if self._offset else {}
                request = Request("GET", url, headers, again=False)
                return self._checked(expect(self._sources[0].send(request), request, self.what, 200, 206))
        raise error

    def _checked(self, response: Response) -> Response:
        """The answer, positioned at our offset, once its announced size is the right one."""
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
            if found is None or int(found[1]) != self._offset or found[3] not in ("*", str(self._blob.size)):
                response.close()
                raise WrongBytes(f"{self.what}: the registry sent another range than was asked for")
            return response
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) != self._blob.size:
            response.close()
            raise WrongBytes(
                f"{self.what} has {declared} bytes, its manifest says {self._blob.size}",
                "nothing was stored; try again",
            )
        left = self._offset  # no ranges here: pass over what we have
        while left:
            skipped = response.read(min(left, PIECE))
            if not skipped:
                raise ConnectionFailed(f"{self.what} broke off", "try again")
            left -= len(skipped)
        return response

    def _ended(self) -> None:
        """Raises WrongBytes when the registry has more to say than the manifest allows."""
        response, self._response = self._response, None
        if response is None:
            return
        try:
            more = response.read(1)
        except ConnectionFailed:
            more = b""
        finally:
            response.close()
        if more:
            raise WrongBytes(f"{self.what} is longer than the {self._blob.size} bytes of its manifest")

    def close(self) -> None:
        """Give the connection back. Harmless to repeat."""
        response, self._response = self._response, None
        if response is not None:
            response.close()
