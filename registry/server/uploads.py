"""Blobs on their way in: open, append, ask, finish, cancel, mount (distribution-spec end-4 to end-6, end-11, end-13, end-14)."""

from __future__ import annotations

import asyncio

from core.errors import Integrity
from image.digest import Digest
from registry.protocol import DIGEST_HEADER, UPLOAD_HEADER, Code, blob_path, is_name, upload_path
from registry.server.answers import Answer
from registry.server.errors import ApiError, Headers
from registry.server.metadata.protocol import QuotaExceeded
from registry.server.ranges import announced
from registry.server.registry import Registry, finished
from registry.server.request import Request
from registry.server.storage.protocol import Upload, UploadBusy

BATCH_BYTES = 1 << 20
BATCH_PIECES = 256
BUSY_SECONDS = 2.0
ALGORITHMS = ("sha256", "sha512")


async def post(registry: Registry, request: Request) -> Answer:
    """Mount, or take the whole blob, or open an upload; the first that is asked for and can be done."""
    mount, digest = request.query("mount"), request.query("digest")
    if mount is not None and await _mount(registry, request, request.digest(mount)):
        return _created(request.name, request.digest(mount))
    expected = request.digest(digest) if digest is not None else None
    algorithm = expected.algorithm if expected else request.query("digest-algorithm") or "sha256"
    if algorithm not in ALGORITHMS:
        raise ApiError(400, Code.DIGEST_INVALID, "unsupported digest algorithm", detail={"algorithm": algorithm[:50]})
    await _check_room(registry, request.name, max(1, request.length or 0))
    upload = await registry.do(registry.blobs.start, request.name, algorithm)
    if expected is None:
        return Answer(202, _session(request.name, upload, 0))
    taken = await _take(registry, request.name, upload)
    try:
        await _receive(registry, request, taken)
        return await _commit(registry, request, taken, expected)
    except BaseException:
        await registry.do(taken.cancel)
        raise
    finally:
        await registry.do(taken.release)


async def patch(registry: Registry, request: Request) -> Answer:
    """Append a chunk. Without Content-Range it goes to the end, as clients that stream do it."""
    upload = await _take(registry, request.name, request.route.reference)
    try:
        await _append(registry, request, upload)
        return Answer(202, _session(request.name, request.route.reference, upload.offset))
    finally:
        await registry.do(upload.release)


async def put(registry: Registry, request: Request) -> Answer:
    """Finish, with or without a last chunk in the body."""
    expected = request.digest(request.query("digest") or "")
    upload = await _take(registry, request.name, request.route.reference)
    try:
        await _append(registry, request, upload)
        return await _commit(registry, request, upload, expected)
    finally:
        await registry.do(upload.release)


async def get(registry: Registry, request: Request) -> Answer:
    """How far it got."""
    upload = await _take(registry, request.name, request.route.reference)
    offset = upload.offset
    await registry.do(upload.release)
    return Answer(204, _session(request.name, request.route.reference, offset))


async def delete(registry: Registry, request: Request) -> Answer:
    upload = await _take(registry, request.name, request.route.reference)
    await registry.do(upload.cancel)
    return Answer(204)


async def _mount(registry: Registry, request: Request, digest: Digest) -> bool:
    source = request.query("from") or None
    if source is not None and not is_name(source):
        return False
    allowance = registry.allowance(request.name)
    return await registry.do(registry.metadata.mount_blob, request.name, digest, source, allowance)


async def _take(registry: Registry, name: str, session: str) -> Upload:
    """The upload, exclusively. One whose client vanished may be held for a moment by the request that is ending."""
    end = asyncio.get_running_loop().time() + BUSY_SECONDS
    while True:
        try:
            upload = await registry.do(registry.blobs.resume, name, session)
            break
        except UploadBusy:
            if asyncio.get_running_loop().time() > end:
                raise
            await asyncio.sleep(0.05)
    if upload is None:
        raise ApiError(
            404, Code.BLOB_UPLOAD_UNKNOWN, "the repository has no such upload", detail={"upload": session[:100]}
        )
    return upload


async def _append(registry: Registry, request: Request, upload: Upload) -> None:
    """The body, at the offset that Content-Range names, which must be where the upload ends (416 otherwise)."""
    where = announced(request.headers.get("content-range"), request.length)
    if where is not None and where[0] != upload.offset:
        headers = _session(request.name, request.route.reference, upload.offset)
        raise ApiError(416, Code.BLOB_UPLOAD_INVALID, f"the next byte is number {upload.offset}", headers=headers)
    if request.length:
        await _check_room(registry, request.name, upload.offset + request.length)
    await _receive(registry, request, upload, None if where is None else where[1] - where[0])


async def _receive(registry: Registry, request: Request, upload: Upload, limit: int | None = None) -> None:
    """Write the body in large batches, one in a thread while the next comes in. What came before a failure stays.

    Raises ApiError (400) where fewer bytes come than announced, or more than `limit`.
    """
    announced_length = request.length
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
    if announced_length is not None and count != announced_length:
        raise ApiError(400, Code.SIZE_INVALID, f"{count} bytes came where {announced_length} were announced")


async def _commit(registry: Registry, request: Request, upload: Upload, expected: Digest) -> Answer:
    try:
        await registry.do(_finish, registry, request.name, upload, expected)
    except Integrity as error:
        raise ApiError(400, Code.DIGEST_INVALID, error.message, detail={"digest": expected}) from error
    return _created(request.name, expected)


def _finish(registry: Registry, name: str, upload: Upload, expected: Digest) -> None:
    """Make a blob of it and give that to the repository. The hold keeps a collector away in between.

    Raises QuotaExceeded; then the upload is over, and its bytes go as what a crash leaves does.
    """
    with registry.blobs.hold(expected):
        blob = upload.commit(expected)
        try:
            registry.metadata.link_blob(name, blob.digest, blob.size, registry.allowance(name))
        except QuotaExceeded:
            registry.metadata.adopt([blob.digest])
            raise


async def _check_room(registry: Registry, name: str, size: int) -> None:
    """Raises QuotaExceeded before bytes are taken that there is no room for. Whether they are new is not known yet."""
    allowance = registry.allowance(name)
    for limit, used, where in (
        (allowance.repository, name, f"the repository {name}"), (allowance.registry, None, "the registry"),
    ):  # fmt: skip
        if limit is not None and (now := await registry.do(registry.metadata.used, used)) + size > limit:
            raise QuotaExceeded(where, now, size, limit)


def _created(name: str, digest: Digest) -> Answer:
    return Answer(201, [("location", blob_path(name, digest)), (DIGEST_HEADER, digest)])


def _session(name: str, upload: str, offset: int) -> Headers:
    return [
        ("location", upload_path(name, upload)), ("range", f"0-{max(0, offset - 1)}"), (UPLOAD_HEADER, upload),
    ]  # fmt: skip
