"""A context that comes as a stream (`build -`, `build URL`): a tar archive, compressed or not, or a bare Dockerfile."""

from __future__ import annotations

from pathlib import Path

from builder.ops.archive import is_tar
from core.errors import Integrity, InvalidInput
from core.value import Value
from layer.pipeline import Readable

MAX_DOCKERFILE = 4 << 20
_BLOCK = 512


class Streamed(Value):
    """`dockerfile` is the text where the stream was just that (the context is empty then), else None."""

    directory: Path
    dockerfile: bytes | None = None


def receive(stream: Readable, directory: Path, name: str = "standard input") -> Streamed:
    """Read the context in `stream`, which messages call `name`, into the existing, empty `directory`.

    Raises InvalidInput for an empty stream, a damaged archive or a Dockerfile over 4 MiB; the caller removes the
    directory in any case.
    """
    from layer.compression import decompressor, detect

    head = _exactly(stream, _BLOCK)
    whole: Readable = _Joined(head, stream)
    if not head:
        raise InvalidInput(f"the build context on {name} is empty", "it must be a tar archive or a Dockerfile")
    if (kind := detect(head)) != "none":
        whole = decompressor(whole, kind)
        head = _exactly(whole, _BLOCK)
        whole = _Joined(head, whole)
        if not is_tar(head):
            raise InvalidInput(f"what is {kind}-compressed on {name} is no tar archive")
    if not is_tar(head):
        return Streamed(directory, _text(whole, name))
    from layer.apply import extract

    try:
        extract(whole, directory, "/")
    except (InvalidInput, Integrity) as error:
        raise InvalidInput(f"the archive on {name} cannot be unpacked: {error.message}", error.hint) from error
    return Streamed(directory)


def _text(stream: Readable, name: str) -> bytes:
    text = _exactly(stream, MAX_DOCKERFILE + 1)
    if len(text) > MAX_DOCKERFILE or b"\0" in text:
        raise InvalidInput(
            f"{name} is neither a tar archive nor a Dockerfile",
            "it must be the output of `tar -c` or the text of a Dockerfile",
        )
    return text


def _exactly(stream: Readable, size: int) -> bytes:
    """`size` bytes, or what there is: pipes give less at a time."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class _Joined:
    """A stream with the bytes that were read ahead put back in front."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, n: int = -1, /) -> bytes:
        if not self._head:
            return self._rest.read(n)
        if n < 0:
            head, self._head = self._head, b""
            return head + self._rest.read()
        head, self._head = self._head[:n], self._head[n:]
        return head
