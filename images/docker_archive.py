"""manifest.json, as `docker save` has written it since 1.10, as candidates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from core.errors import InvalidInput, LamellaError, NotFound
from image.config import ImageConfig
from image.digest import Digest
from image.manifest import Manifest
from image.platform import Platform
from image.reference import Reference
from images import layout
from images.candidate import Candidate
from images.shelf import BadArchive, Shelf, cleaned, digest_of_name, shown

MANIFEST = "manifest.json"


def candidates(shelf: Shelf, platform: Platform | None) -> list[Candidate]:
    """The images that manifest.json lists; with `platform`, those for it. Raises BadArchive, NotFound."""
    own = _own_manifests(shelf)
    found = [_candidate(shelf, entry, own) for entry in entries(shelf)]
    chosen = [one for one in found if platform is None or platform.accepts(one.config.platform)]
    if found and not chosen:
        offered = ", ".join(sorted({str(one.config.platform) for one in found}))
        raise NotFound(f"no image for {platform} in the archive", f"it has: {offered}")
    return chosen


def entries(shelf: Shelf) -> list[dict[str, Any]]:
    """The objects that manifest.json is a list of, of the right types. Raises BadArchive."""
    try:
        data = json.loads(shelf.read(MANIFEST))
    except (ValueError, RecursionError) as error:
        raise BadArchive(f"{MANIFEST} is not JSON: {error}") from error
    if not isinstance(data, list):
        raise BadArchive(f"{MANIFEST} is not a list")
    for one in data:
        names = one.get("RepoTags") if isinstance(one, dict) else None
        files = one.get("Layers") if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(one.get("Config"), str):
            raise BadArchive(f"{MANIFEST} has an entry without a Config")
        if not _are_strings(names or []) or not _are_strings(files or []):
            raise BadArchive(f"{MANIFEST} has an entry whose RepoTags or Layers are no list of names")
    return data


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _candidate(shelf: Shelf, entry: dict[str, Any], own: dict[Digest, Manifest]) -> Candidate:
    name = cleaned(entry["Config"].encode("utf-8", "surrogateescape"))
    raw = shelf.read(name)
    expected = digest_of_name(name)
    if expected and Digest.of(raw, expected.algorithm) != expected:
        raise BadArchive(f"the archive is damaged: the bytes of {shown(name)} hash to {Digest.of(raw)}", "get it again")
    try:
        config = ImageConfig.parse(raw)
    except InvalidInput as error:
        raise BadArchive(f"{shown(name)}: {error.message}") from error
    files = tuple(cleaned(file.encode("utf-8", "surrogateescape")) for file in entry.get("Layers") or [])
    names = tuple(dict.fromkeys(_reference(tag) for tag in entry.get("RepoTags") or []))
    manifest = own.get(config.id)
    fits = manifest is not None and len(manifest.layers) == len(config.diff_ids)
    return Candidate(config, files, names, manifest if fits else None, parent=_parent(entry))


def _reference(text: str) -> Reference:
    try:
        reference = Reference.parse(text)
    except InvalidInput as error:
        raise BadArchive(f"{MANIFEST}: {error.message}") from error
    if reference.digest or not reference.tag:
        raise BadArchive(f"{MANIFEST} names an image without a tag: {shown(text)}")
    return reference


def _parent(entry: dict[str, Any]) -> Digest | None:
    try:
        return Digest.parse(entry["Parent"]) if isinstance(entry.get("Parent"), str) and entry["Parent"] else None
    except InvalidInput:
        return None


def _own_manifests(shelf: Shelf) -> dict[Digest, Manifest]:
    """The OCI manifests that are in the archive besides, by image: keeping them keeps what a push sends unchanged."""
    if layout.INDEX not in shelf.names():
        return {}
    return {manifest.config.digest: manifest for manifest in _manifests(shelf)}


def _manifests(shelf: Shelf) -> Iterator[Manifest]:
    try:
        todo = list(layout.read_index(shelf).manifests)
    except LamellaError:
        return
    for entry in todo[:1000]:
        try:
            found = layout.fetch(shelf, entry)
            below = [found] if isinstance(found, Manifest) else [layout.fetch(shelf, one) for one in found.manifests]
        except LamellaError:  # manifest.json is what counts
            continue
        yield from (one for one in below if isinstance(one, Manifest))
