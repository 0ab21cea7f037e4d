"""The review queue and the tags' history in memory: what MemoryMetadata is built on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from image.digest import Digest
from registry.server.metadata.protocol import ManifestRecord
from registry.server.metadata.upkeep import Limits, Review, Standing, TagRecord

Key = tuple[str, str, Digest]


@dataclass(slots=True)
class MemoryRepository:
    """One repository's links, manifests and tags."""

    blobs: dict[Digest, int] = field(default_factory=dict)
    manifests: dict[str, ManifestRecord] = field(default_factory=dict)
    tags: dict[str, TagRecord] = field(default_factory=dict)

    def refers(self, digest: Digest) -> bool:
        """Whether one of the manifests refers to a blob or a manifest."""
        return any(digest in m.blobs or digest in m.children for m in self.manifests.values())

    def needs(self, digest: Digest) -> bool:
        """Whether a manifest has a tag, an index that lists it, or a subject."""
        found = self.manifests.get(digest)
        named = any(tag.digest == digest for tag in self.tags.values())
        return named or self.refers(digest) or bool(found and found.subject and found.subject in self.manifests)

    def used(self) -> int:
        """Bytes that count towards a quota."""
        return sum(self.blobs.values()) + sum(len(m.content) for m in self.manifests.values())


class MemoryQueue:
    """Reviews by kind (`blob`, `manifest`, `bytes`), repository and digest."""

    def __init__(self) -> None:
        self.waiting: dict[Key, Review] = {}

    def put(self, kind: str, repository: str, digest: Digest, *, pushed: bool = False) -> None:
        """Begin a review, or begin it anew."""
        self.waiting[kind, repository, digest] = Review(repository, digest, time.time_ns(), pushed)

    def drop(self, kind: str, repository: str, digest: Digest) -> None:
        """End it. Harmless to repeat."""
        self.waiting.pop((kind, repository, digest), None)

    def due(self, kinds: Sequence[str], limits: Limits, limit: int) -> list[Key]:
        """At most `limit` that are due, the oldest first."""
        found = [
            (one.since, key)
            for key, one in self.waiting.items()
            if key[0] in kinds and one.since <= (limits.pushed if one.pushed else limits.released)
        ]
        return [key for _, key in sorted(found)[:limit]]


class MemoryUpkeep:
    """Reviews and Retention in dictionaries under one lock."""

    def __init__(self) -> None:
        self._repositories: dict[str, MemoryRepository] = {}
        self._queue = MemoryQueue()
        self._lock = threading.RLock()
        self._version = 0

    def _changed(self, name: str) -> MemoryRepository:
        self._version += 1
        return self._repositories.setdefault(name, MemoryRepository())

    def _find(self, name: str) -> MemoryRepository:
        return self._repositories.get(name) or MemoryRepository()

    def _linked(self, digest: Digest) -> bool:
        return any(digest in here.blobs for here in self._repositories.values())

    def _unlink(self, repository: str, digest: Digest) -> None:
        del self._changed(repository).blobs[digest]
        self._queue.drop("blob", repository, digest)
        if not self._linked(digest):
            self._queue.put("bytes", "", digest)
        self._vanish(repository)

    def _delete(self, repository: str, digest: Digest) -> None:
        here = self._changed(repository)
        gone = here.manifests.pop(digest)
        here.tags = {name: tag for name, tag in here.tags.items() if tag.digest != digest}
        for blob in gone.blobs:
            self._queue.put("blob", repository, blob)
        for one in (*gone.children, *(m.digest for m in here.manifests.values() if m.subject == digest)):
            self._queue.put("manifest", repository, one)
        self._queue.drop("manifest", repository, digest)
        self._vanish(repository)

    def _vanish(self, repository: str) -> None:
        here = self._find(repository)
        if not (here.blobs or here.manifests or here.tags):
            self._repositories.pop(repository, None)

    # --- reviews

    def doubted(self, repository: str, digest: Digest) -> Review | None:
        with self._lock:
            waiting = self._queue.waiting
            return waiting.get(("blob", repository, digest)) or waiting.get(("manifest", repository, digest))

    def postpone(self, repository: str, digest: Digest) -> None:
        with self._lock:
            for kind in ("blob", "manifest"):
                if (kind, repository, digest) in self._queue.waiting:
                    self._queue.put(kind, repository, digest, pushed=True)

    def review(self, limits: Limits, limit: int) -> tuple[int, int]:
        with self._lock:
            due = self._queue.due(("blob", "manifest") if limits.untagged else ("blob",), limits, limit)
            return len(due), sum(self._decide(*key) for key in due)

    def _decide(self, kind: str, repository: str, digest: Digest) -> bool:
        here = self._find(repository)
        self._queue.drop(kind, repository, digest)
        if kind == "manifest" and digest in here.manifests and not here.needs(digest):
            self._delete(repository, digest)
            return True
        if kind == "blob" and digest in here.blobs and not here.refers(digest):
            self._unlink(repository, digest)
            return True
        return False

    def due_bytes(self, limits: Limits, limit: int) -> list[Digest]:
        with self._lock:
            return [digest for _, _, digest in self._queue.due(("bytes",), limits, limit)]

    def forget_bytes(self, digests: Sequence[Digest]) -> set[Digest]:
        with self._lock:
            for digest in digests:
                self._queue.drop("bytes", "", digest)
            return {digest for digest in digests if not self._linked(digest)}

    def adopt(self, digests: Sequence[Digest]) -> int:
        with self._lock:
            lost = [d for d in digests if not self._linked(d) and ("bytes", "", d) not in self._queue.waiting]
            for digest in lost:
                self._queue.put("bytes", "", digest)
            return len(lost)

    def standing(self, digest: Digest) -> Standing:
        with self._lock:
            needed, idle = ("", "", ""), ""
            for name, here in self._repositories.items():
                if digest in here.blobs:
                    idle = name
                    user = next((m for m in here.manifests.values() if digest in (*m.blobs, *m.children)), None)
                    if user is not None:
                        tag = next((t.name for t in here.tags.values() if t.digest == user.digest), "")
                        needed = (name, str(user.digest), tag)
            review = self._queue.waiting.get(("blob", idle, digest) if idle else ("bytes", "", digest))
            return Standing(*needed, idle, review.since if review else None, bool(review and review.pushed))

    # --- retention

    def tag_records(self, repository: str, after: str, limit: int) -> list[TagRecord]:
        with self._lock:
            tags = sorted(self._find(repository).tags.values(), key=lambda tag: tag.name)
            return [tag for tag in tags if tag.name > after][:limit]

    def untag(self, repository: str, tags: Iterable[TagRecord]) -> list[str]:
        with self._lock:
            here = self._find(repository)
            same = {name: replace(tag, pulled=0) for name, tag in here.tags.items()}
            gone = [one.name for one in tags if same.get(one.name) == replace(one, pulled=0)]
            for name in gone:
                self._queue.put("manifest", repository, self._changed(repository).tags.pop(name).digest)
            self._vanish(repository)
            return gone

    def note_pulls(self, pulls: Iterable[tuple[str, str]], instant: int) -> None:
        with self._lock:
            for name, reference in pulls:
                here = self._find(name)
                for tag in list(here.tags.values()):
                    if reference in (tag.name, tag.digest):
                        here.tags[tag.name] = replace(tag, pulled=instant)
