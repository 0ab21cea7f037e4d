"""The store of facts, in three small interfaces that one class implements.

Every method is blocking and safe to call from several threads; a method that writes returns when the fact is durable,
and does all of it or nothing. Names, tags and digests come in checked. Several processes may work on one store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from image.digest import Digest


@dataclass(frozen=True, slots=True)
class ManifestRecord:
    """A manifest as it was pushed: `content` byte for byte, `media_type` without parameters.

    `blobs` and `children` are what it refers to; `subject`, `artifact_type` and `annotations` are what a list of
    referrers repeats.
    """

    digest: Digest
    media_type: str
    content: bytes = field(repr=False)
    blobs: tuple[Digest, ...] = ()
    children: tuple[Digest, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a reader of a manifest needs."""

    digest: Digest
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Referrer:
    """A row of a referrers list; `size` in bytes."""

    digest: Digest
    media_type: str
    size: int
    artifact_type: str
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


class BlobLinks(Protocol):
    """Which repository may hand out which blob. A blob's bytes are stored once, however many repositories link it."""

    def link_blob(self, repository: str, digest: Digest, size: int) -> None:
        """Note that `repository` has the blob of `size` bytes. Harmless to repeat."""

    def mount_blob(self, repository: str, digest: Digest, source: str | None) -> bool:
        """Link what `source` (or, with None, any repository) has; False where it has no such blob."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Bytes of a blob that the repository has, else None."""

    def unlink_blob(self, repository: str, digest: Digest) -> bool:
        """Forget it; False where the repository did not have it. The bytes are a collector's business."""

    def missing(self, repository: str, blobs: Iterable[Digest], children: Iterable[Digest]) -> list[Digest]:
        """Those of `blobs` and of the manifests `children` that the repository does not have."""


class ManifestIndex(Protocol):
    """Manifests and tags. A tag points to a manifest of its own repository; deleting that deletes the tag."""

    def put_manifest(self, repository: str, manifest: ManifestRecord, tags: Sequence[str]) -> None:
        """Keep the manifest and point `tags` to it, in one transaction. Harmless to repeat."""

    def manifest(self, repository: str, reference: str) -> Stored | None:
        """By tag, or by digest where `reference` contains a colon."""

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        """With every tag that points to it; False where there is none."""

    def delete_tag(self, repository: str, tag: str) -> bool:
        """The manifest stays. False where there is no such tag."""

    def tags(self, repository: str, after: str, limit: int) -> list[str] | None:
        """At most `limit` tags that sort after `after`, by bytes; None for a repository nobody has pushed to."""

    def referrers(self, repository: str, subject: Digest, artifact_type: str, after: str, limit: int) -> list[Referrer]:
        """Manifests whose subject is `subject`, by digest; of one artifact type unless that is empty."""

    def repositories(self, after: str, limit: int) -> list[str]:
        """At most `limit` names of repositories with a manifest that sort after `after`, by bytes."""


class MetadataStore(BlobLinks, ManifestIndex, Protocol):
    """All of it, opened once a process."""

    def version(self) -> int:
        """A number that changes when anybody has written: what was read under one number still holds under it.

        Meant for one thread of a process, the one that answers from a cache.
        """

    def close(self) -> None:
        """Let go of files and connections. Harmless to repeat."""
