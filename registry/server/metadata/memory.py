"""The metadata in this process's memory: for tests, and for a registry that is to leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from image.digest import Digest
from registry.server.metadata.protocol import ManifestRecord, Referrer, Stored


@dataclass(slots=True)
class _Repository:
    blobs: dict[str, int] = field(default_factory=dict)
    manifests: dict[str, ManifestRecord] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)


class MemoryMetadata:
    """MetadataStore in dictionaries under one lock."""

    def __init__(self) -> None:
        self._repositories: dict[str, _Repository] = {}
        self._lock = threading.RLock()
        self._version = 0

    def version(self) -> int:
        return self._version

    def close(self) -> None: ...

    def _changed(self, name: str) -> _Repository:
        self._version += 1
        return self._repositories.setdefault(name, _Repository())

    def _find(self, name: str) -> _Repository:
        return self._repositories.get(name) or _Repository()

    def link_blob(self, repository: str, digest: Digest, size: int) -> None:
        with self._lock:
            self._changed(repository).blobs.setdefault(digest, size)

    def mount_blob(self, repository: str, digest: Digest, source: str | None) -> bool:
        with self._lock:
            places = self._repositories.values() if source is None else [self._find(source)]
            size = next((place.blobs[digest] for place in places if digest in place.blobs), None)
            if size is not None:
                self._changed(repository).blobs.setdefault(digest, size)
            return size is not None

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        with self._lock:
            return self._find(repository).blobs.get(digest)

    def unlink_blob(self, repository: str, digest: Digest) -> bool:
        with self._lock:
            there = digest in self._find(repository).blobs
            if there:
                del self._changed(repository).blobs[digest]
            return there

    def missing(self, repository: str, blobs: Iterable[Digest], children: Iterable[Digest]) -> list[Digest]:
        with self._lock:
            here = self._find(repository)
            absent = [d for d in dict.fromkeys(blobs) if d not in here.blobs]
            return absent + [d for d in dict.fromkeys(children) if d not in here.manifests]

    def put_manifest(self, repository: str, manifest: ManifestRecord, tags: Sequence[str]) -> None:
        with self._lock:
            here = self._changed(repository)
            here.manifests[manifest.digest] = manifest
            here.tags.update(dict.fromkeys(tags, manifest.digest))

    def manifest(self, repository: str, reference: str) -> Stored | None:
        with self._lock:
            here = self._find(repository)
            found = here.manifests.get(reference if ":" in reference else here.tags.get(reference, ""))
            return Stored(found.digest, found.media_type, found.content) if found else None

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        with self._lock:
            if digest not in self._find(repository).manifests:
                return False
            here = self._changed(repository)
            del here.manifests[digest]
            here.tags = {name: target for name, target in here.tags.items() if target != digest}
            return True

    def delete_tag(self, repository: str, tag: str) -> bool:
        with self._lock:
            there = tag in self._find(repository).tags
            if there:
                del self._changed(repository).tags[tag]
            return there

    def tags(self, repository: str, after: str, limit: int) -> list[str] | None:
        with self._lock:
            if repository not in self._repositories:
                return None
            return sorted(tag for tag in self._repositories[repository].tags if tag > after)[:limit]

    def referrers(self, repository: str, subject: Digest, artifact_type: str, after: str, limit: int) -> list[Referrer]:
        with self._lock:
            found = [
                Referrer(m.digest, m.media_type, len(m.content), m.artifact_type, m.annotations)
                for m in self._find(repository).manifests.values()
                if m.subject == subject and m.digest > after and artifact_type in ("", m.artifact_type)
            ]
        return sorted(found, key=lambda one: one.digest)[:limit]

    def repositories(self, after: str, limit: int) -> list[str]:
        with self._lock:
            return sorted(name for name, here in self._repositories.items() if name > after and here.manifests)[:limit]
