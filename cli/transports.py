"""Places that images are copied from and to, as skopeo spells them, and the endpoints that they mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidInput, Unsupported
from core.value import Value

if TYPE_CHECKING:
    from images.endpoint import Endpoint
    from images.indexed import IndexedArchive
    from registry.client.client import Client
    from snapshot.layers import Layers
    from store.store import Store

KINDS = ("store", "docker", "oci", "oci-archive", "docker-archive")
_ELSEWHERE = {
    "docker-daemon": "docker save NAME | lamella load",
    "containers-storage": "podman save NAME | lamella load",
    "dir": "skopeo copy dir:PATH oci:PATH",
}


class Place(Value):
    """`kind` is one of KINDS; `path` for a file or directory; `name` an image's, which may be empty in archives."""

    kind: str
    name: str
    path: Path | None = None
    text: str = ""


def parse(text: str) -> Place:
    """`docker://NAME`, `oci:DIR[:TAG]`, `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:NAME:TAG]`, `store:NAME`; anything
    else is an image of the store. Raises InvalidInput, Unsupported for skopeo's other transports."""
    kind, colon, rest = text.partition(":")
    if (colon and kind in _ELSEWHERE and rest[:1] in ("/", ".")) or kind in ("docker-daemon", "containers-storage"):
        raise Unsupported(f"{kind}: is not there in this version of lamella", f"use {_ELSEWHERE[kind]}")
    if not colon or kind not in KINDS or (kind == "docker" and not rest.startswith("//")):
        return Place("store", text, None, text)
    if kind == "docker":
        return Place(kind, rest[2:], None, text)
    if kind == "store":
        return Place(kind, rest, None, text)
    path, _, name = rest.partition(":")
    if not path:
        raise InvalidInput(f"{text!r} names no file", f"write it as {kind}:PATH[:NAME]")
    return Place(kind, name, Path(path), text)


class Wired(Value):
    """What places are made of."""

    store: Store
    layers: Layers
    client: Client
    sync: bool


@contextlib.contextmanager
def source(place: Place, wired: Wired, *, every: bool) -> Iterator[Endpoint]:
    """The endpoint to read from. Raises NotFound, InvalidInput, BadArchive."""
    if place.kind == "store":
        yield _stored(place.name, wired, every)
    elif place.kind == "docker":
        from cli.registry_endpoint import RegistryEndpoint
        from image.reference import Reference

        reference = Reference.parse(place.name)
        yield RegistryEndpoint(wired.client.repository(reference), reference)
    else:
        from images.indexed import Directory
        from images.layout_endpoints import DockerArchiveSource, LayoutSource

        assert place.path is not None
        if place.kind == "oci":
            yield LayoutSource(Directory(place.path), place.name)
            return
        with _archive(place.path, wired) as shelf:
            made = DockerArchiveSource if place.kind == "docker-archive" else LayoutSource
            yield made(shelf, place.name)


def _stored(name: str, wired: Wired, every: bool) -> Endpoint:
    from images.resolve import resolve_named
    from images.store_endpoints import StoreSource

    store = wired.store
    with store.transaction():
        image, named = resolve_named(store, name)
        store.leases.session.hold_image(image.id)
        tag = store.tags.get(named) if every and named and named.tag else None
    return StoreSource(store, wired.layers, image, tag.target if tag else None)


@contextlib.contextmanager
def _archive(path: Path, wired: Wired) -> Iterator[IndexedArchive]:
    """The archive at `path`; a compressed one is unpacked into a file that nobody sees."""
    import os

    from images.opening import indexed, is_plain
    from layer.compression import decompressor

    if is_plain(path):
        with indexed(path) as shelf:
            yield shelf
        return
    fd, temporary = wired.store.temporaries.file()
    with os.fdopen(fd, "wb") as file:
        try:
            with path.open("rb", buffering=0) as compressed:
                tar = decompressor(compressed)
                while data := tar.read(1 << 20):
                    file.write(data)
            file.flush()
            with indexed(temporary) as shelf:
                yield shelf
        finally:
            temporary.unlink()


@contextlib.contextmanager
def destination(place: Place, wired: Wired, origin: Place) -> Iterator[Endpoint]:
    """The endpoint to write to; `origin` is where the image comes from."""
    from image.reference import Reference

    if place.kind == "docker":
        from cli.registry_endpoint import RegistryEndpoint

        reference = Reference.parse(place.name).tagged()
        there = Reference.parse(origin.name) if origin.kind == "docker" else None
        near = there is not None and there.registry == reference.registry and there.path != reference.path
        neighbour = wired.client.repository(there) if there and near else None
        yield RegistryEndpoint(wired.client.repository(reference), reference, neighbour)
    elif place.kind == "store":
        yield from _into_store(place, wired)
    elif place.kind == "oci":
        from images.layout_endpoints import LayoutDestination

        assert place.path is not None
        yield LayoutDestination(place.path, place.name, sync=wired.sync)
    else:
        yield from _into_archive(place, wired)


def _into_store(place: Place, wired: Wired) -> Iterator[Endpoint]:
    from image.reference import Reference
    from images.load import tidy
    from images.store_endpoints import StoreDestination

    reference = Reference.parse(place.name).tagged()
    if reference.digest:
        raise InvalidInput(f"{place.name}: a name with a digest cannot be given", "name a tag")
    try:
        yield StoreDestination(wired.store, wired.layers, (reference,))
    except BaseException:
        wired.layers.abandon()
        tidy(wired.store)
        raise


def _into_archive(place: Place, wired: Wired) -> Iterator[Endpoint]:
    from cli.sink import sink
    from image.reference import Reference
    from images.layout_endpoints import ArchiveDestination
    from images.tar_out import TarOut

    docker = place.kind == "docker-archive"
    tags = (Reference.parse(place.name).tagged(),) if docker and place.name else ()
    with sink(str(place.path) if place.path else None, sync=wired.sync) as write:
        yield ArchiveDestination(TarOut(write), place.name, docker=docker, tags=tags)
