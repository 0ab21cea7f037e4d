"""An `images.endpoint.Endpoint` on a registry: the only place where copying and the registry client meet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import parse_any
from image.reference import Reference
from registry.client.download import Download
from registry.client.remote import Repository
from registry.client.resolve import fetch_manifest
from registry.client.transport import Body, Request, drain
from registry.client.upload import PUSH, Target
from registry.protocol import manifest_path

if TYPE_CHECKING:
    from images.shelf import Content
    from layer.pipeline import Readable

_PIECE = 1 << 20


class RegistryEndpoint:
    """`reference` in `repository`. Blobs that `neighbour`, a repository of the same registry, has are mounted, not sent."""

    def __init__(self, repository: Repository, reference: Reference, neighbour: Repository | None = None) -> None:
        self._repository = repository
        self._reference = reference.tagged()
        self._neighbour = neighbour
        self._target = Target(repository)

    def resolve(self) -> tuple[Descriptor, bytes]:
        wanted = self._reference.digest
        raw, media_type = fetch_manifest(self._repository, str(wanted or self._reference.tag), wanted)
        return Descriptor(parse_any(raw, media_type).media_type, wanted or Digest.of(raw), len(raw)), raw

    def fetch(self, wanted: Descriptor) -> bytes:
        return fetch_manifest(self._repository, str(wanted.digest), wanted.digest)[0]

    def open(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        return contextlib.closing(Download([self._repository], blob, lambda amount: None))

    def stat(self, blob: Descriptor) -> bool:
        return self._target.has(blob.digest, blob.size)

    def write(self, blob: Descriptor, content: Content) -> None:
        session: str | bool | None = None
        if self._neighbour:
            session = self._target.mount(blob.digest, self._neighbour.path)
        if session is not True:
            self._target.upload(_Source(blob, content), session or None)

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        named = self._reference.digest if top else None
        if named and named != manifest.digest:
            raise InvalidInput(
                f"{self._reference.familiar} cannot be written: its digest would be another", "name a tag"
            )
        name = self._reference.tag if top and self._reference.tag else str(manifest.digest)
        request = Request(
            "PUT", self._repository.url(manifest_path, name), {"Content-Type": manifest.media_type}, Body.of(raw),
            (self._repository.scope(PUSH),),
        )  # fmt: skip
        drain(self._repository.ask(request, f"the manifest of {self._repository}:{name}", 201, 200, 202, 204))


class _Source:
    """What `Target.upload` sends: `content`, from any offset on."""

    def __init__(self, blob: Descriptor, content: Content) -> None:
        self._blob = blob
        self._content = content
        self.size: int | None = blob.size

    def open(self, offset: int) -> Iterator[bytes]:
        position = 0
        with self._content() as stream:
            while data := stream.read(_PIECE):
                position += len(data)
                if position > offset:
                    yield data[max(0, len(data) - (position - offset)) :]

    def digest(self) -> Digest:
        return self._blob.digest
