"""The metadata in this process's memory: for tests, and for a registry that is to leave nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from image.digest import Digest
from registry.server.metadata.memory_upkeep import MemoryRepository, MemoryUpkeep
from registry.server.metadata.protocol import (
    FREE,
    Allowance,
    ImmutableTag,
    ManifestRecord,
    QuotaExceeded,
    Referrer,
    Stored,
    never,
)
from registry.server.metadata.upkeep import TagRecord


class MemoryMetadata(MemoryUpkeep):
    """MetadataStore in dictionaries under one lock."""

    def version(self) -> int:
        return self._version

    def close(self) -> None: ...

    def link_blob(self, repository: str, digest: Digest, size: int, allowance: Allowance = FREE) -> None:
        with self._lock:
            here = self._find(repository)
            if digest not in here.blobs:
                self._allow(repository, size, 0 if self._linked(digest) else size, allowance)
            self._changed(repository).blobs.setdefault(digest, size)
            if not self._find(repository).refers(digest):
                self._queue.put("blob", repository, digest, pushed=True)

    def _allow(self, repository: str, more: int, in_all: int, allowance: Allowance) -> None:
        used, total = self.used(repository), self.used(None)
        if allowance.repository is not None and used + more > allowance.repository:
            raise QuotaExceeded(f"the repository {repository}", used, more, allowance.repository)
        if allowance.registry is not None and in_all and total + in_all > allowance.registry:
            raise QuotaExceeded("the registry", total, in_all, allowance.registry)

    def mount_blob(self, repository: str, digest: Digest, source: str | None, allowance: Allowance = FREE) -> bool:
        with self._lock:
            places = self._repositories.values() if source is None else [self._find(source)]
            size = next((place.blobs[digest] for place in places if digest in place.blobs), None)
            if size is not None:
                self.link_blob(repository, digest, size, allowance)
            return size is not None

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        with self._lock:
            return self._find(repository).blobs.get(digest)

    def unlink_blob(self, repository: str, digest: Digest) -> bool:
        with self._lock:
            there = digest in self._find(repository).blobs
            if there:
                self._unlink(repository, digest)
            return there

    def used(self, repository: str | None) -> int:
        with self._lock:
            if repository is not None:
                return self._find(repository).used()
            blobs = {d: size for one in self._repositories.values() for d, size in one.blobs.items()}
            places = self._repositories.values()
            return sum(blobs.values()) + sum(len(m.content) for one in places for m in one.manifests.values())

    def put_manifest(
        self, repository: str, manifest: ManifestRecord, tags: Sequence[str], *, fixed: Collection[str] = (),
        allowance: Allowance = FREE,
    ) -> list[Digest]:  # fmt: skip
        with self._lock:
            here, size = self._find(repository), len(manifest.content)
            for tag in tags:
                if tag in fixed and tag in here.tags and here.tags[tag].digest != manifest.digest:
                    raise ImmutableTag(tag, here.tags[tag].digest)
            if manifest.digest not in here.manifests:
                self._allow(repository, size, size, allowance)
            here = self._changed(repository)
            here.manifests[manifest.digest] = manifest
            for tag in tags:
                before = here.tags.get(tag)
                if before is not None and before.digest != manifest.digest:
                    self._queue.put("manifest", repository, before.digest)
                pulled = before.pulled if before else 0
                here.tags[tag] = TagRecord(tag, manifest.digest, time.time_ns(), pulled)
            self._settle(repository, here, manifest)
            absent = [d for d in dict.fromkeys(manifest.blobs) if d not in here.blobs]
            return absent + [d for d in dict.fromkeys(manifest.children) if d not in here.manifests]

    def _settle(self, repository: str, here: MemoryRepository, manifest: ManifestRecord) -> None:
        for digest in manifest.blobs:
            self._queue.drop("blob", repository, digest)
        referrers = [m.digest for m in here.manifests.values() if m.subject == manifest.digest]
        for digest in (*manifest.children, *referrers):
            self._queue.drop("manifest", repository, digest)
        if here.needs(manifest.digest):
            self._queue.drop("manifest", repository, manifest.digest)
        else:
            self._queue.put("manifest", repository, manifest.digest, pushed=True)

    def manifest(self, repository: str, reference: str) -> Stored | None:
        with self._lock:
            here = self._find(repository)
            tag = here.tags.get(reference)
            found = here.manifests.get(reference if ":" in reference else tag.digest if tag else "")
            return Stored(found.digest, found.media_type, found.content) if found else None

    def delete_manifest(self, repository: str, digest: Digest, fixed: Callable[[str], bool] = never) -> bool:
        with self._lock:
            here = self._find(repository)
            if digest not in here.manifests:
                return False
            for tag in here.tags.values():
                if tag.digest == digest and fixed(tag.name):
                    raise ImmutableTag(tag.name, digest)
            self._delete(repository, digest)
            return True

    def delete_tag(self, repository: str, tag: str) -> bool:
        with self._lock:
            found = self._find(repository).tags.get(tag)
            return bool(found and self.untag(repository, [found]))

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
