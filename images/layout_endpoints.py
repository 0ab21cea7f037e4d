"""Endpoints on OCI layouts and archives: read from any shelf, written to a directory or into one tar file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput, NotFound, Unsupported
from core.files import atomic_file, make_directories, write_file
from core.value import replace
from image.descriptor import Descriptor
from image.digest import Digest
from image.documents import canonical_json
from image.manifest import MAX_BYTES, Index, Manifest, parse_any
from image.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from image.reference import Reference
from images import docker_archive, layout
from images.shelf import BadArchive, Content, blob_name, shown
from layer.compression import HEAD, detect
from layer.pipeline import PIECE, Readable

if TYPE_CHECKING:
    from images.candidate import Candidate
    from images.indexed import Directory, IndexedArchive
    from images.tar_out import TarOut

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_TYPES = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


class ReadOnly:
    """The half of an Endpoint that a source does not have."""

    def stat(self, blob: Descriptor) -> bool:
        return False

    def write(self, blob: Descriptor, content: Content) -> None:
        raise Unsupported("this place is only read from")

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        raise Unsupported("this place is only read from")


class WriteOnly:
    """The half of an Endpoint that a destination does not have."""

    def resolve(self) -> tuple[Descriptor, bytes]:
        raise Unsupported("this place is only written to")

    def fetch(self, wanted: Descriptor) -> bytes:
        raise Unsupported("this place is only written to")

    def open(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        raise Unsupported("this place is only written to")


class LayoutSource(ReadOnly):
    """An image of the OCI layout on a shelf: the one that is called `name` and has that `digest`, as far as they are given,
    or the only one where neither is."""

    def __init__(self, shelf: Directory | IndexedArchive, name: str, digest: Digest | None = None) -> None:
        self._shelf = shelf
        self._name = name
        self._digest = digest

    def resolve(self) -> tuple[Descriptor, bytes]:
        entries = layout.read_index(self._shelf).manifests
        found = [e for e in entries if self._is_wanted(e)]
        if len({e.digest for e in found}) != 1:
            known = ", ".join(sorted({shown(name) for e in entries for name in _names(e)})[:12]) or "none has a name"
            wanted = self._name + (f"@{self._digest}" if self._digest else "")
            what = f"there is no image {wanted!r} in it" if not found else f"there are {len(found)} images in it"
            raise NotFound(what, f"say which after a colon; there is: {known}")
        return found[0], self.fetch(found[0])

    def _is_wanted(self, entry: Descriptor) -> bool:
        return (not self._name or self._name in _names(entry)) and self._digest in (None, entry.digest)

    def fetch(self, wanted: Descriptor) -> bytes:
        return layout.read_blob(self._shelf, wanted, MAX_BYTES)

    def open(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        return self._shelf.open(blob_name(blob.digest))


def _names(entry: Descriptor) -> set[str]:
    return {entry.annotations[key] for key in (layout.NAME, layout.REF_NAME) if key in entry.annotations}


class DockerArchiveSource(ReadOnly):
    """An image of a docker-archive: the one that is called `name`, or the only one where that is empty. It has no manifest:
    one is made of its layers as they are."""

    def __init__(self, shelf: IndexedArchive | Directory, name: str) -> None:
        self._shelf = shelf
        self._name = Reference.parse(name).tagged() if name else None
        self._files: dict[Digest, str] = {}
        self._config = b""

    def resolve(self) -> tuple[Descriptor, bytes]:
        if docker_archive.MANIFEST not in self._shelf.names():
            raise BadArchive(f"this is no docker-archive: it has no {docker_archive.MANIFEST}")
        every = docker_archive.candidates(self._shelf, None)
        found = [one for one in every if self._name is None or self._name in one.names]
        if len(found) != 1:
            known = ", ".join(name.familiar for one in every for name in one.names[:12]) or "none has a name"
            what = (
                f"there is no image {self._name.familiar} in it"
                if self._name
                else f"there are {len(found)} images in it"
            )
            raise NotFound(what, f"say which after a colon; there is: {known}")
        manifest = self._manifest(found[0])
        return manifest.descriptor, manifest.raw

    def _manifest(self, found: Candidate) -> Manifest:
        layers = [self._layer(file, diff_id) for file, diff_id in zip(found.files, found.config.diff_ids, strict=True)]
        self._config = found.config.encode()
        return Manifest.build(Descriptor(OCI_CONFIG, found.config.id, len(self._config)), layers)

    def _layer(self, file: str, diff_id: str) -> Descriptor:
        with self._shelf.open(file) as stream:
            kind = detect(stream.read(HEAD))
        if kind not in _TYPES:
            raise Unsupported(f"no registry or layout takes a layer in {kind}", "`lamella load` takes the archive")
        digest = Digest(diff_id) if kind == "none" else self._hash(file)
        self._files[digest] = file
        return Descriptor(_TYPES[kind], digest, self._shelf.size(file))

    def _hash(self, file: str) -> Digest:
        import hashlib

        found = hashlib.sha256()
        with self._shelf.open(file) as stream:
            while data := stream.read(PIECE):
                found.update(data)
        return Digest(f"sha256:{found.hexdigest()}")

    def fetch(self, wanted: Descriptor) -> bytes:
        raise NotFound(f"a docker-archive has no manifest {wanted.digest}")

    def open(self, blob: Descriptor) -> AbstractContextManager[Readable]:
        import contextlib
        import io

        file = self._files.get(blob.digest)
        return self._shelf.open(file) if file else contextlib.closing(io.BytesIO(self._config))


class LayoutDestination(WriteOnly):
    """An OCI layout in a directory, made where there is none; `name` replaces the entry of that name."""

    def __init__(self, path: Path, name: str, *, sync: bool) -> None:
        """Raises InvalidInput where something else is at `path`."""
        self._path = path
        self._name = name
        self._sync = sync
        if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not (path / layout.MARKER).exists())):
            raise InvalidInput(f"{path} is not an OCI layout", "name a new directory, or one with a layout in it")

    def _place(self, digest: Digest) -> Path:
        """Where the blob goes. The mark of a layout comes before all else: what a kill leaves can be gone on with."""
        path = self._path / blob_name(digest)
        if not (self._path / layout.MARKER).exists():
            make_directories(self._path)
            write_file(self._path / layout.MARKER, LAYOUT, sync=self._sync)
        make_directories(path.parent)
        return path

    def stat(self, blob: Descriptor) -> bool:
        try:
            return os.stat(self._path / blob_name(blob.digest)).st_size == blob.size
        except FileNotFoundError:
            return False

    def write(self, blob: Descriptor, content: Content) -> None:
        with content() as stream, atomic_file(self._place(blob.digest), sync=self._sync) as file:
            while data := stream.read(PIECE):
                file.write(data)

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        write_file(self._place(manifest.digest), raw, sync=self._sync)
        if not top:
            return
        index = self._path / layout.INDEX
        before = Index.parse(index.read_bytes()).manifests if index.exists() else ()
        kept = [
            e
            for e in before
            if (e.annotations.get(layout.REF_NAME, "") != self._name) or _other(e, manifest, self._name)
        ]
        entries = [*kept, named(manifest, self._name)]
        data = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [e.to_json() for e in entries]}
        write_file(index, canonical_json(data), sync=self._sync)


def _other(entry: Descriptor, manifest: Descriptor, name: str) -> bool:
    """Whether an entry without a name is another image, which stays."""
    return not name and entry.digest != manifest.digest


def named(manifest: Descriptor, name: str) -> Descriptor:
    """`manifest` as an entry of index.json."""
    return replace(manifest, annotations={layout.REF_NAME: name} if name else {})


class ArchiveDestination(WriteOnly):
    """One tar file: an OCI layout whose entry is called `name`; with `tags`, a docker-archive as well.

    Blobs go in as they come; what describes them comes last, with `close`.
    """

    def __init__(self, tar: TarOut, name: str, *, docker: bool, tags: Sequence[Reference] = ()) -> None:
        self._tar = tar
        self._name = name
        self._docker = docker
        self._tags = tags
        self._here: set[Digest] = set()
        self._configs: dict[Digest, Manifest] = {}
        tar.file(layout.MARKER, LAYOUT)
        tar.directory("blobs")
        tar.directory("blobs/sha256")

    def stat(self, blob: Descriptor) -> bool:
        return blob.digest in self._here

    def write(self, blob: Descriptor, content: Content) -> None:
        with content() as stream:
            self._tar.begin(blob_name(blob.digest), blob.size)
            while data := stream.read(PIECE):
                self._tar.write(data)
            self._tar.end()
        self._here.add(blob.digest)

    def publish(self, manifest: Descriptor, raw: bytes, *, top: bool) -> None:
        if manifest.digest not in self._here:
            self._tar.file(blob_name(manifest.digest), raw)
            self._here.add(manifest.digest)
        found = parse_any(raw, manifest.media_type)
        if self._docker:
            if not isinstance(found, Manifest):
                raise Unsupported("a docker-archive holds one platform", "copy without --all, or to oci-archive:")
            self._tar.file(docker_archive.MANIFEST, json.dumps([self._entry(found)]).encode())
        if top:
            entries = self._entries(manifest)
            self._tar.file(
                layout.INDEX, canonical_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
            )
            self._tar.close()

    def _entry(self, manifest: Manifest) -> dict[str, Any]:
        return {
            "Config": blob_name(manifest.config.digest), "RepoTags": [tag.familiar for tag in self._tags] or None,
            "Layers": [blob_name(layer.digest) for layer in manifest.layers],
        }  # fmt: skip

    def _entries(self, manifest: Descriptor) -> list[dict[str, Any]]:
        entries = [
            replace(manifest, annotations={layout.NAME: str(tag), layout.REF_NAME: tag.tag}).to_json()
            for tag in self._tags
        ]
        return entries or [named(manifest, self._name).to_json()]
