"""Blobs on their way in: open, append, ask, finish, cancel, mount (distribution-spec end-4 to end-6, end-11, end-13, end-14)."""

from __future__ import annotations

from image.digest import Digest
from registry.protocol import DIGEST_HEADER, Code, blob_path, is_name
from registry.server.answers import Answer
from registry.server.errors import ApiError
from registry.server.intake import append, check_room, session_headers, taken
from registry.server.metadata.protocol import FREE
from registry.server.registry import Registry
from registry.server.request import Request

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
    if registry.allowance(request.name) != FREE:
        await registry.do(check_room, registry, request.name, max(1, request.length or 0))
    session = await registry.do(registry.blobs.start, request.name, algorithm)
    if expected is None:
        return Answer(202, session_headers(request.name, session, 0))
    try:
        await append(registry, request, session, expected)
    except BaseException:
        await registry.do(_abandon, registry, request.name, session)
        raise
    return _created(request.name, expected)


async def patch(registry: Registry, request: Request) -> Answer:
    """Append a chunk. Without Content-Range it goes to the end, as clients that stream do it."""
    session = request.route.reference
    return Answer(202, session_headers(request.name, session, await append(registry, request, session)))


async def put(registry: Registry, request: Request) -> Answer:
    """Finish, with or without a last chunk in the body."""
    expected = request.digest(request.query("digest") or "")
    await append(registry, request, request.route.reference, expected)
    return _created(request.name, expected)


async def get(registry: Registry, request: Request) -> Answer:
    """How far it got."""
    session = request.route.reference
    offset = await taken(registry, request.name, session, lambda upload: upload.offset)
    return Answer(204, session_headers(request.name, session, offset))


async def delete(registry: Registry, request: Request) -> Answer:
    await taken(registry, request.name, request.route.reference, lambda upload: upload.cancel())
    return Answer(204)


async def _mount(registry: Registry, request: Request, digest: Digest) -> bool:
    source = request.query("from") or None
    if source is not None and not is_name(source):
        return False
    allowance = registry.allowance(request.name)
    return await registry.do(registry.metadata.mount_blob, request.name, digest, source, allowance)


def _abandon(registry: Registry, name: str, session: str) -> None:
    upload = registry.blobs.resume(name, session)
    if upload is not None:
        upload.cancel()


def _created(name: str, digest: Digest) -> Answer:
    return Answer(201, [("location", blob_path(name, digest)), (DIGEST_HEADER, digest)])
