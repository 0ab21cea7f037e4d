"""Manifests and tags: GET, HEAD, PUT, DELETE (distribution-spec end-3, end-7, end-9)."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from core.errors import LamellaError
from image.descriptor import Descriptor
from image.digest import Digest
from image.documents import parse_object
from image.manifest import Index, Manifest, parse_any
from image.media_types import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, is_foreign
from registry.protocol import (
    DIGEST_HEADER,
    MAX_MANIFEST_BYTES,
    SUBJECT_HEADER,
    TAG_HEADER,
    Code,
    is_tag,
    manifest_path,
)  # fmt: skip
from registry.server.answers import Answer
from registry.server.errors import ApiError, Headers, unknown_name
from registry.server.metadata.protocol import ImmutableTag, ManifestRecord
from registry.server.registry import Registry
from registry.server.request import Request

MAX_TAGS = 50  # each is a header of the answer, and many HTTP libraries read no more than 100
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}")


async def get(registry: Registry, request: Request) -> Answer:
    """As it was pushed, whatever Accept says: another form would be another digest."""
    reference = request.route.reference
    if ":" in reference:
        request.digest()
    stored = registry.metadata.manifest(request.name, reference)
    if stored is None:
        raise _unknown(registry, request)
    headers = [
        ("content-type", stored.media_type), (DIGEST_HEADER, stored.digest), ("etag", f'"{stored.digest}"'),
    ]  # fmt: skip
    registry.pulls.note(request.name, reference)
    return Answer(200, headers, stored.content, keep=await registry.reassure(request.name, stored.digest))


async def put(registry: Registry, request: Request) -> Answer:
    """Keep the very bytes. What they refer to may be missing (a sparse image); the answer then carries a warning."""
    reference = request.route.reference
    expected = request.digest() if ":" in reference else None
    tags = _tags(request, reference if expected is None else None)
    content = await request.body(MAX_MANIFEST_BYTES)
    digest = Digest.of(content, expected.algorithm if expected else "sha256")
    if expected not in (None, digest):
        raise ApiError(400, Code.DIGEST_INVALID, f"the manifest's digest is {digest}", detail={"digest": expected})
    fixed = [tag for tag in tags if registry.policy.is_immutable(request.name, tag)]
    record, missing = await registry.do(_keep, registry, request, digest, content, tags, fixed)
    headers: Headers = [("location", manifest_path(request.name, reference)), (DIGEST_HEADER, digest)]
    headers += [(TAG_HEADER, tag) for tag in tags if expected is not None]
    if record.subject is not None:
        headers.append((SUBJECT_HEADER, record.subject))
    if missing:
        headers.append(
            ("warning", f'299 - "the repository lacks {len(missing)} of the things this manifest refers to"')
        )
    return Answer(201, headers)


def _keep(
    registry: Registry, request: Request, digest: Digest, content: bytes, tags: list[str], fixed: list[str]
) -> tuple[ManifestRecord, list[Digest]]:
    """What is kept now, and what of its references the repository lacks."""
    record, name = _record(digest, content, _content_type(request)), request.name
    return record, registry.metadata.put_manifest(name, record, tags, fixed=fixed, allowance=registry.allowance(name))


async def delete(registry: Registry, request: Request) -> Answer:
    """By digest: with its tags. By tag: the tag alone."""
    reference, fixed = request.route.reference, partial(registry.policy.is_immutable, request.name)
    if ":" in reference:
        done = await registry.do(registry.metadata.delete_manifest, request.name, request.digest(), fixed)
    else:
        stored = registry.metadata.manifest(request.name, reference) if fixed(reference) else None
        if stored is not None:
            raise ImmutableTag(reference, stored.digest)
        done = await registry.do(registry.metadata.delete_tag, request.name, reference)
    if not done:
        raise _unknown(registry, request)
    return Answer(202)


def _unknown(registry: Registry, request: Request) -> ApiError:
    if registry.metadata.tags(request.name, "", 1) is None:
        return unknown_name(request.name)
    return ApiError(
        404, Code.MANIFEST_UNKNOWN, "the repository has no such manifest", detail={"reference": request.route.reference[:300]}
    )  # fmt: skip


def _tags(request: Request, tag: str | None) -> list[str]:
    """The tag in the path, or those in the query of a push by digest."""
    tags = [tag] if tag is not None else list(dict.fromkeys(request.query_all("tag")))
    if len(tags) > MAX_TAGS:
        raise ApiError(414, Code.TAG_INVALID, f"at most {MAX_TAGS} tags fit into one request")
    for one in tags:
        if not is_tag(one):
            raise ApiError(400, Code.TAG_INVALID, "invalid tag", detail={"tag": one[:300]})
    return tags


def _content_type(request: Request) -> str:
    return (request.headers.get("content-type") or "").partition(";")[0].strip()


def _invalid(why: str) -> ApiError:
    return ApiError(400, Code.MANIFEST_INVALID, why)


def _record(digest: Digest, content: bytes, content_type: str) -> ManifestRecord:
    """What the metadata keep of a manifest. Raises ApiError for what is none."""
    try:
        data = parse_object(content, "the manifest")
        media_type = _media_type(data, content_type)
        if media_type in MANIFESTS | INDEXES or data.get("schemaVersion") == 1:
            return _of_image(digest, media_type, parse_any(content, media_type))
        return _of_other(digest, media_type, content, data)
    except LamellaError as error:
        raise _invalid(error.message) from error
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _invalid(f"the manifest has a field of the wrong type: {error}") from error


def _media_type(data: dict[str, Any], content_type: str) -> str:
    """What Content-Type says, which the field `mediaType` must not contradict (distribution-spec "Pushing Manifests")."""
    named = data.get("mediaType")
    if named is not None and (not isinstance(named, str) or (content_type and named != content_type)):
        raise _invalid("the manifest's mediaType is not what Content-Type says")
    media_type = content_type or named or (OCI_INDEX if "manifests" in data else OCI_MANIFEST)
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise _invalid("malformed media type")
    return str(media_type)


def _of_image(digest: Digest, media_type: str, parsed: Manifest | Index) -> ManifestRecord:
    subject = parsed.subject.digest if parsed.subject else None
    if isinstance(parsed, Index):
        children = tuple(child.digest for child in parsed.manifests)
        kind = _storable(parsed.artifact_type)
        return ManifestRecord(digest, media_type, parsed.raw, (), children, subject, kind, parsed.annotations)
    kind = _storable(parsed.artifact_type or parsed.config.media_type)
    layers = (layer.digest for layer in parsed.layers if not is_foreign(layer.media_type))
    blobs = (parsed.config.digest, *layers)
    return ManifestRecord(digest, media_type, parsed.raw, blobs, (), subject, kind, parsed.annotations)


def _of_other(digest: Digest, media_type: str, content: bytes, data: dict[str, Any]) -> ManifestRecord:
    """A media type that we do not know: kept as it is, found by its subject where it has one."""
    subject = Descriptor.from_json(data["subject"]).digest if data.get("subject") else None
    notes = data.get("annotations")
    annotations = {str(k): v for k, v in notes.items() if isinstance(v, str)} if isinstance(notes, dict) else {}
    kind = _storable(str(data.get("artifactType") or ""))
    return ManifestRecord(digest, media_type, content, (), (), subject, kind, annotations)


def _storable(text: str) -> str:
    """`text`, which came out of JSON and may hold half a surrogate pair. Raises UnicodeEncodeError (a ValueError) then."""
    text.encode()
    return text
