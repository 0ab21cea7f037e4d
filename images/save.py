"""Images into one tar that is both an OCI layout and a docker-archive, as `docker save` writes it since 25.

Layers are uncompressed tars named by DiffID, each once; what describes them comes first, so that a reader of the stream knows
what it is getting. The same images give the same bytes. A layer that is damaged is never saved: the archive ends there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput, NotFound
from core.progress import Progress, Silent
from core.value import Value
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.documents import canonical_json
from image.manifest import Manifest
from image.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER
from image.platform import Platform
from image.reference import Reference
from images.layout import INDEX, MARKER, NAME, REF_NAME
from images.resolve import ImageNotFound, resolve_named
from images.shelf import blob_name
from images.tar_out import TarOut, Write
from store.events import note
from store.images import MAX_CONFIG_BYTES
from store.layers import refuse_damaged

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.images import Image
    from store.layers import Layer
    from store.store import Store
    from store.tags import Tag

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Chosen(Value):
    """An image to be saved, under these names."""

    image: Image
    names: tuple[Reference, ...]


def choose(store: Store, words: Sequence[str], platform: Platform | None = None) -> list[Chosen]:
    """What the user means by `words`: an image with the name that was given, with all its tags of a repository whose bare
    name was given, without a name where it was an ID. Raises ImageNotFound, AmbiguousId, NotFound for another platform."""
    chosen: dict[Digest, Chosen] = {}
    for word in words:
        for image, name in _meant(store, word):
            if platform and not platform.accepts(image.platform):
                raise NotFound(f"{word} is for {image.platform}, not for {platform}", "pull it for that platform first")
            before = chosen[image.id].names if image.id in chosen else ()
            chosen[image.id] = Chosen(image, tuple(dict.fromkeys((*before, *([name] if name else ())))))
    return list(chosen.values())


def _meant(store: Store, word: str) -> Iterable[tuple[Image, Reference | None]]:
    tags = _tags_of_bare(store, word)
    if tags:
        found = {one.id: one for one in store.images.get_many({tag.image for tag in tags})}
        return [(found[tag.image], tag.reference) for tag in tags if tag.image in found]
    try:
        image, name = resolve_named(store, word)
    except ImageNotFound as error:
        raise ImageNotFound(word) from error  # as it was typed, which is what scripts look for
    return [(image, name if name and name.tag else None)]


def _tags_of_bare(store: Store, word: str) -> list[Tag]:
    """The tags of the repository that `word` names, if it is no more than that."""
    if "@" in word or ":" in word.rpartition("/")[2]:
        return []
    try:
        return store.tags.of_repository(Reference.parse(word).repository)
    except InvalidInput:
        return []


class _Part(Value):
    """One image as it goes into the archive."""

    chosen: Chosen
    config: bytes
    manifest: Manifest
    layers: tuple[Layer, ...]


def save(
    store: Store, layers: Layers, chosen: Sequence[Chosen], write: Write, *, progress: Progress | None = None
) -> None:
    """Write the archive of `chosen` to `write`, piece by piece. Raises Integrity for a damaged layer, which must end the
    writing: what has been written is then no archive. The caller holds the images (`Lease.hold_image`)."""
    parts = [_part(store, one) for one in chosen]
    tar = TarOut(write)
    tar.file(MARKER, LAYOUT)
    tar.file(INDEX, canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": _entries(parts)}))
    tar.file("manifest.json", canonical_json(_manifest_json(parts)))
    tar.file("repositories", canonical_json(_repositories(parts)))
    tar.directory("blobs")
    tar.directory("blobs/sha256")
    done: set[str] = set()
    for part in parts:
        for data in (part.config, part.manifest.raw):
            name = blob_name(Digest.of(data))
            if name not in done:
                tar.file(name, data)
            done.add(name)
    for layer in {layer.diff_id: layer for part in parts for layer in part.layers}.values():
        _layer(tar, layers, layer, progress or Silent())
    tar.close()
    for one in chosen:
        note(store.root, "image", "save", one.image.id, {**one.image.labels, "name": one.image.id})


def _part(store: Store, chosen: Chosen) -> _Part:
    config = store.blobs.read(chosen.image.id, MAX_CONFIG_BYTES)
    known = store.layers.get_many(chosen.image.diff_ids)
    for diff_id in chosen.image.diff_ids:
        if diff_id not in known:
            raise NotFound(f"layer {diff_id} of image {chosen.image.id.short} is missing", "run `lamella fsck`")
        refuse_damaged(known[diff_id])
    stack = tuple(known[diff_id] for diff_id in chosen.image.diff_ids)
    descriptors = [Descriptor(OCI_LAYER, Digest(layer.diff_id), layer.size) for layer in stack]
    manifest = Manifest.build(Descriptor(OCI_CONFIG, chosen.image.id, len(config)), descriptors)
    return _Part(chosen, config, manifest, stack)


def _layer(tar: TarOut, layers: Layers, layer: Layer, progress: Progress) -> None:
    task = progress.task(layer.diff_id.short, layer.size)

    def write(data: bytes | memoryview) -> None:
        tar.write(data)
        task.advance(len(data))

    try:
        tar.begin(_layer_name(layer.diff_id), layer.size)
        layers.write_tar(layer, write, hashed=False)
        tar.end()
    except BaseException as error:
        task.fail(str(error))
        raise
    task.finish()


def _layer_name(diff_id: DiffID) -> str:
    return blob_name(Digest(diff_id))


def _entries(parts: Sequence[_Part]) -> list[dict[str, Any]]:
    entries = []
    for part in parts:
        plain = part.manifest.descriptor.to_json() | {"platform": part.chosen.image.platform.to_json()}
        named = [{**plain, "annotations": {NAME: str(name), REF_NAME: name.tag}} for name in part.chosen.names]
        entries += named or [plain]
    return entries


def _manifest_json(parts: Sequence[_Part]) -> list[dict[str, Any]]:
    here = {part.chosen.image.id for part in parts}
    entries = []
    for part in parts:
        image = part.chosen.image
        entry = {
            "Config": blob_name(image.id),
            "RepoTags": [name.familiar for name in part.chosen.names] or None,
            "Layers": [_layer_name(layer.diff_id) for layer in part.layers],
        }
        entries.append(entry | ({"Parent": str(image.parent)} if image.parent in here else {}))
    return entries


def _repositories(parts: Sequence[_Part]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for part in parts:
        for name in part.chosen.names if part.layers else ():
            found.setdefault(name.familiar_repository, {})[name.tag] = part.layers[-1].diff_id.hex
    return found
