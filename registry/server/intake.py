"""A request's body on its way into an upload: a small one in one piece of work, a large one while it comes in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from core.errors import Integrity
from image.digest import Digest
from registry.protocol import UPLOAD_HEADER, Code, upload_path
from registry.server.errors import ApiError, Headers
from registry.server.metadata.protocol import FREE, QuotaExceeded
from registry.server.ranges import announced
from registry.server.registry import Registry, finished
from registry.server.request import Request
from registry.server.storage.protocol import Upload, UploadBusy

T = TypeVar("T")
SMALL_BYTES = 1 << 20
BATCH_BYTES = 1 << 20
BATCH_PIECES = 256
BUSY_SECONDS = 2.0


async def append(registry: Registry, request: Request, session: str, expected: Digest | None = None) -> int:
    """Add the body at the offset that Content-Range names, which must be where the upload ends (416 otherwise); with
    `expected` make it that blob of the repository. How many bytes the upload has. What came before a failure stays.

    Raises ApiError (400) where fewer bytes come than announced, or more; QuotaExceeded.
    """
    where = announced(request.headers.get("content-range"), request.length)
    if request.length is not None and request.length <= SMALL_BYTES:
        return await _append_small(registry, request, session, where, expected)
    return await _append_large(registry, request, session, where, expected)


async def taken(registry: Registry, name: str, session: str, work: Callable[[Upload], T]) -> T:
    """Do `work` in a thread with the upload, which is let go afterwards. Raises ApiError (404), UploadBusy."""
    async with _claimed(registry, session):
        return await _work(registry, name, session, work)


async def _work(registry: Registry, name: str, session: str, work: Callable[[Upload], T]) -> T:
    def job() -> T:
        upload = _resume(registry, name, session)
        try:
            return work(upload)
        finally:
            upload.release()

    return await _when_free(lambda: registry.do(job))


async def _append_small(
    registry: Registry, request: Request, session: str, where: tuple[int, int] | None, expected: Digest | None
) -> int:
    """One piece of work from taking the upload to the finished blob: most of what a small blob costs is changing threads."""
    pieces: list[bytes] = []

    def work(upload: Upload) -> int:
        _check_place(request, upload, session, where)
        check_room(registry, request.name, upload.offset + (request.length or 0))
        if pieces:
            if expected:
                upload.expect(expected, request.length or 0)
            upload.append(pieces)
        request.check_end(sum(map(len, pieces)))
        return finish(registry, request.name, upload, expected)

    async with _claimed(registry, session):
        pieces += [piece async for piece in request.pieces()]
        return await _work(registry, request.name, session, work)


async def _append_large(
    registry: Registry, request: Request, session: str, where: tuple[int, int] | None, expected: Digest | None
) -> int:
    async with _claimed(registry, session):
        upload = await _when_free(lambda: registry.do(_resume, registry, request.name, session))
        try:
            _check_place(request, upload, session, where)
            if request.length and registry.allowance(request.name) != FREE:
                await registry.do(check_room, registry, request.name, upload.offset + request.length)
            if expected and request.length:
                await registry.do(upload.expect, expected, request.length)
            await _receive(registry, request, upload, None if where is None else where[1] - where[0])
            return await registry.do(finish, registry, request.name, upload, expected)
        finally:
            await registry.do(upload.release)


@contextlib.asynccontextmanager
async def _claimed(registry: Registry, session: str) -> AsyncIterator[None]:
    """While it lasts no other request of this process has to do with the upload, whose body may still be coming in. Other
    processes meet the upload's own lock. Raises UploadBusy."""
    await _when_free(lambda: _claim(registry, session))
    try:
        yield
    finally:
        registry.claimed.discard(session)


async def _claim(registry: Registry, session: str) -> None:
    if session in registry.claimed:
        raise UploadBusy
    registry.claimed.add(session)


async def _when_free(take: Callable[[], Awaitable[T]]) -> T:
    """What `take` gives. An upload whose client vanished may be held for a moment by the request that is ending."""
    end = asyncio.get_running_loop().time() + BUSY_SECONDS
    while True:
        try:
            return await take()
        except UploadBusy:
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(0.05)


def _resume(registry: Registry, name: str, session: str) -> Upload:
    upload = registry.blobs.resume(name, session)
    if upload is None:
        raise ApiError(
            404, Code.BLOB_UPLOAD_UNKNOWN, "the repository has no such upload", detail={"upload": session[:100]}
        )
    return upload


async def _receive(registry: Registry, request: Request, upload: Upload, limit: int | None) -> None:
    """Write the body in large batches, one in a thread while the next comes in."""
    pending: asyncio.Future[None] | None = None
    batch: list[bytes] = []
    count = size = 0
    try:
        async for piece in request.pieces():
            count += len(piece)
            if limit is not None and count > limit:
                raise ApiError(400, Code.SIZE_INVALID, f"the body is longer than the {limit} bytes of Content-Range")
            batch.append(piece)
            size += len(piece)
            if size >= BATCH_BYTES or len(batch) >= BATCH_PIECES:
                if pending is not None:
                    await pending
                pending, batch, size = registry.start(upload.append, batch), [], 0
    finally:
        # whatever ended the loop, nobody may still be writing when the upload is let go
        if pending is not None:
            await finished(pending)
    if pending is not None:
        pending.result()
    if batch:
        await registry.do(upload.append, batch)
    request.check_end(count)


def _check_place(request: Request, upload: Upload, session: str, where: tuple[int, int] | None) -> None:
    if where is not None and where[0] != upload.offset:
        headers = session_headers(request.name, session, upload.offset)
        raise ApiError(416, Code.BLOB_UPLOAD_INVALID, f"the next byte is number {upload.offset}", headers=headers)


def check_room(registry: Registry, name: str, size: int) -> None:
    """Raises QuotaExceeded before bytes are taken that there is no room for. Whether they are new is not known yet."""
    allowance = registry.allowance(name)
    for limit, used, where in (
        (allowance.repository, name, f"the repository {name}"), (allowance.registry, None, "the registry"),
    ):  # fmt: skip
        if limit is not None and (now := registry.metadata.used(used)) + size > limit:
            raise QuotaExceeded(where, now, size, limit)


def finish(registry: Registry, name: str, upload: Upload, expected: Digest | None) -> int:
    """Make the blob `expected` of it and give that to the repository; its size. Without `expected`, how far it got.

    The hold keeps a collector away in between. Raises ApiError (400) for other bytes, QuotaExceeded; then the upload is
    over, and its bytes go as what a crash leaves does.
    """
    if expected is None:
        return upload.offset
    with registry.blobs.hold(expected):
        try:
            if not _known(registry, name, upload, expected):
                blob = upload.commit(expected)
                registry.metadata.link_blob(name, blob.digest, blob.size, registry.allowance(name))
        except Integrity as error:
            raise ApiError(400, Code.DIGEST_INVALID, error.message, detail={"digest": expected}) from error
        except QuotaExceeded:
            upload.cancel()
            registry.metadata.adopt([expected])
            raise
    return upload.offset


def _known(registry: Registry, name: str, upload: Upload, expected: Digest) -> bool:
    """Whether a repository has these very bytes, so that they are durable: then this one has them too now."""
    known = upload.repeats(expected) and registry.metadata.mount_blob(name, expected, None, registry.allowance(name))
    if known:
        upload.cancel()
    return known


def session_headers(name: str, upload: str, offset: int) -> Headers:
    """What tells a client where its upload is and where to go on."""
    return [
        ("location", upload_path(name, upload)), ("range", f"0-{max(0, offset - 1)}"), (UPLOAD_HEADER, upload),
    ]  # fmt: skip
