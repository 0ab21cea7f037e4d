"""Blobs, finished: GET, HEAD, DELETE (distribution-spec end-2, end-10)."""

from __future__ import annotations

from pathlib import Path

from image.digest import Digest
from registry.protocol import DIGEST_HEADER, Code
from registry.server.answers import Answer, FilePart
from registry.server.errors import ApiError, Headers
from registry.server.ranges import requested
from registry.server.registry import Registry
from registry.server.request import Request

SMALL_BYTES = 64 << 10
MEDIA_TYPE = "application/octet-stream"


def unknown(digest: str) -> ApiError:
    return ApiError(404, Code.BLOB_UNKNOWN, "the repository has no such blob", detail={"digest": digest})


async def get(registry: Registry, request: Request) -> Answer:
    """The blob or a range of it; small ones are read (and checked) once and answered from memory afterwards."""
    digest = request.digest()
    size = registry.metadata.blob_size(request.name, digest)
    if size is None:
        raise unknown(digest)
    keep = await registry.reassure(request.name, digest)
    headers = [
        ("content-type", MEDIA_TYPE), (DIGEST_HEADER, digest), ("etag", f'"{digest}"'), ("accept-ranges", "bytes"),
    ]  # fmt: skip
    wanted = requested(request.headers.get("range"), size)
    if wanted is not None and request.method == "GET":
        headers.append(("content-range", f"bytes {wanted[0]}-{wanted[1] - 1}/{size}"))
        return Answer(206, headers, _part(registry, digest, *wanted, size))
    if size <= SMALL_BYTES and request.method == "GET":
        return _small(registry, digest, headers, keep)
    return Answer(200, headers, _part(registry, digest, 0, size, size))


def _small(registry: Registry, digest: Digest, headers: Headers, keep: bool) -> Answer:
    return Answer(200, headers, registry.blobs.read(digest, SMALL_BYTES), keep=keep)


def _part(registry: Registry, digest: Digest, start: int, end: int, size: int) -> FilePart | bytes:
    content = registry.blobs.content(digest)
    if isinstance(content, Path):
        return FilePart(content, start, end, size)
    return content[start:end]


async def delete(registry: Registry, request: Request) -> Answer:
    digest = request.digest()
    if not await registry.do(registry.metadata.unlink_blob, request.name, digest):
        raise unknown(digest)
    return Answer(202)
