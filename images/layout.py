"""An OCI image layout (image-layout.md) as candidates: index.json, indexes in it, manifests, configs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from core.errors import InvalidInput, NotFound
from core.value import Value
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import MAX_BYTES, Index, Manifest, parse_any
from image.media_types import CONFIGS, INDEXES
from image.platform import Platform, host_platform
from image.reference import Reference
from images.candidate import Candidate
from images.shelf import MAX_SMALL, BadArchive, Shelf, blob_name, shown

INDEX = "index.json"
MARKER = "oci-layout"
NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
DEPTH = 3  # of an index in an index
MAX_LAYERS = 1024


class Found(Value):
    """A descriptor of index.json, and the manifest below it that was chosen. `index`: what it was chosen from."""

    entry: Descriptor
    manifest: Manifest
    index: Index | None


def read_index(shelf: Shelf) -> Index:
    """index.json. Raises BadArchive where it is missing or nonsense."""
    try:
        return Index.parse(shelf.read(INDEX, MAX_BYTES))
    except BadArchive:
        raise
    except InvalidInput as error:
        raise BadArchive(f"{INDEX}: {error.message}") from error


def candidates(shelf: Shelf, platform: Platform | None) -> list[Candidate]:
    """The layout's images, one for each name that serves `platform` (this machine's where it is None), and those without a
    name. Raises BadArchive, NotFound where nothing serves it."""
    index = read_index(shelf)
    found = [choose(shelf, group, platform) for group in _groups(index.manifests)]
    merged: dict[tuple[Digest, Digest | None], Candidate] = {}
    for one in found:
        candidate = _candidate(shelf, one)
        key = (one.manifest.descriptor.digest, one.index.descriptor.digest if one.index else None)
        before = merged.get(key)
        names = (*(before.names if before else ()), *candidate.names)
        merged[key] = Candidate(
            candidate.config, candidate.files, tuple(dict.fromkeys(names)), candidate.manifest, candidate.index
        )
    return list(merged.values())


def _groups(entries: Sequence[Descriptor]) -> Iterator[list[Descriptor]]:
    """Entries between which the platform decides: those of one name, and those without one that differ by platform."""
    groups: dict[str, list[Descriptor]] = {}
    for entry in entries:
        if entry.platform is None or entry.platform.os != "unknown":
            groups.setdefault(_name(entry), []).append(entry)
    for name, group in groups.items():
        if name or len({entry.platform for entry in group if entry.platform}) == len(group):
            yield group
        else:
            yield from ([entry] for entry in group)


def choose(shelf: Shelf, entries: Sequence[Descriptor], platform: Platform | None) -> Found:
    """The manifest that serves `platform` among `entries` and the indexes that they are. Raises NotFound, BadArchive."""
    wanted = platform or host_platform()
    group = Index.build(entries)
    entry = entries[0] if len(entries) == 1 and not platform else group.choose(wanted)
    if entry is None and len(entries) == 1 and entries[0].media_type in INDEXES:
        entry = entries[0]
    if entry is None:
        raise _no_platform(wanted, entries)
    found = fetch(shelf, entry)
    index = found if isinstance(found, Index) else None
    for _ in range(DEPTH):
        if isinstance(found, Manifest):
            return Found(entry, found, index)
        child = found.choose(wanted)
        if child is None:
            raise _no_platform(wanted, found.manifests)
        found = fetch(shelf, child)
    raise BadArchive(f"the indexes in the archive are nested more than {DEPTH} deep")


def _no_platform(wanted: Platform, entries: Sequence[Descriptor]) -> NotFound:
    offered = sorted({str(e.platform) for e in entries if e.platform and e.platform.os != "unknown"})
    return NotFound(
        f"no image for {wanted} in the archive", f"it has: {', '.join(offered[:12]) or 'none'}; choose with --platform"
    )


def fetch(shelf: Shelf, wanted: Descriptor) -> Manifest | Index:
    """The manifest or index that `wanted` describes, verified. Raises BadArchive."""
    raw = read_blob(shelf, wanted, MAX_BYTES)
    try:
        return parse_any(raw, wanted.media_type)
    except InvalidInput as error:
        raise BadArchive(f"{wanted.digest} in the archive: {error.message}") from error


def read_blob(shelf: Shelf, wanted: Descriptor, limit: int = MAX_SMALL) -> bytes:
    """A small blob, verified. Raises BadArchive."""
    raw = shelf.read(blob_name(wanted.digest), limit)
    found = Digest.of(raw, wanted.digest.algorithm)
    if found != wanted.digest or len(raw) != wanted.size:
        raise BadArchive(
            f"the archive is damaged: {wanted.digest} has {len(raw)} bytes that hash to {found}", "get it again"
        )
    return raw


def _candidate(shelf: Shelf, found: Found) -> Candidate:
    config = config_of(shelf, found.manifest)
    files = tuple(blob_name(layer.digest) for layer in found.manifest.layers)
    name = name_of(found.entry)
    return Candidate(config, files, (name,) if name else (), found.manifest, found.index)


def config_of(shelf: Shelf, manifest: Manifest) -> ImageConfig:
    """The manifest's config. Raises BadArchive, also where it is no image's."""
    if manifest.config.media_type not in CONFIGS or len(manifest.layers) > MAX_LAYERS:
        kind = manifest.artifact_type or manifest.config.media_type
        raise BadArchive(f"the archive holds no container image but {shown(kind)} of {len(manifest.layers)} layers")
    try:
        return ImageConfig.parse(read_blob(shelf, manifest.config))
    except BadArchive:
        raise
    except InvalidInput as error:
        raise BadArchive(f"{manifest.config.digest} in the archive: {error.message}") from error


def _name(entry: Descriptor) -> str:
    return entry.annotations.get(NAME) or entry.annotations.get(REF_NAME) or ""


def name_of(entry: Descriptor) -> Reference | None:
    """The name that an entry of index.json gives its image: containerd's annotation, or a ref.name that is more than a tag."""
    name = _name(entry)
    if not name or (NAME not in entry.annotations and ":" not in name and "/" not in name):
        return None
    reference = Reference.parse(name).tagged()
    return None if reference.digest else reference
