"""The store of facts, in small interfaces that one class implements (those of upkeep are in `upkeep`).

Every method is blocking and safe to call from several threads; a method that writes returns when the fact is durable,
and does all of it or nothing. Names, tags and digests come in checked. Several processes may work on one store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from core.errors import Conflict
from core.units import human_size
from image.digest import Digest
from registry.server.metadata.upkeep import Retention, Reviews


class QuotaExceeded(Conflict):
    """What was to be added does not fit; nothing was."""

    def __init__(self, where: str, used: int, more: int, limit: int) -> None:
        shown = [human_size(size, binary=True) for size in (used, more, limit)]
        super().__init__(
            f"{where} uses {shown[0]}, and {shown[1]} more would pass its quota of {shown[2]}",
            "delete tags that nobody needs, and wait for the next collection",
        )
        self.used, self.more, self.limit = used, more, limit


class ImmutableTag(Conflict):
    """The tag may not be moved or deleted."""

    def __init__(self, tag: str, digest: Digest) -> None:
        super().__init__(f"the tag {tag} is immutable and points to {digest}", "push under another tag")
        self.tag, self.digest = tag, digest


@dataclass(frozen=True, slots=True)
class Allowance:
    """Bytes that a repository, and all of them together, may use: each blob once a repository, and once in all; manifests
    as they are. None: as many as there is room for."""

    repository: int | None = None
    registry: int | None = None


FREE = Allowance()


def never(tag: str) -> bool:
    """No tag is immutable."""
    return False


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

    def link_blob(self, repository: str, digest: Digest, size: int, allowance: Allowance = FREE) -> None:
        """Note that `repository` has the blob of `size` bytes. Harmless to repeat. Raises QuotaExceeded.

        Until a manifest refers to the blob it is under review (see `upkeep`); doing it again begins that anew.
        """

    def mount_blob(self, repository: str, digest: Digest, source: str | None, allowance: Allowance = FREE) -> bool:
        """Link what `source` (or, with None, any repository) has; False where it has no such blob. Raises as `link_blob`."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Bytes of a blob that the repository has, else None."""

    def unlink_blob(self, repository: str, digest: Digest) -> bool:
        """Forget it; False where the repository did not have it. The bytes are a collector's business."""

    def used(self, repository: str | None) -> int:
        """Bytes that count towards the Allowance of a repository, or of all of them together."""


class ManifestIndex(Protocol):
    """Manifests and tags. A tag points to a manifest of its own repository; deleting that deletes the tag."""

    def put_manifest(
        self, repository: str, manifest: ManifestRecord, tags: Sequence[str], *, fixed: Collection[str] = (),
        allowance: Allowance = FREE,
    ) -> list[Digest]:  # fmt: skip
        """Keep the manifest and point `tags` to it, in one transaction. Harmless to repeat.

        What it refers to and the repository does not have comes back; all the rest stays as long as the manifest does.
        Raises ImmutableTag where one of the tags is in `fixed` and points elsewhere, and QuotaExceeded.
        """

    def manifest(self, repository: str, reference: str) -> Stored | None:
        """By tag, or by digest where `reference` contains a colon."""

    def delete_manifest(self, repository: str, digest: Digest, fixed: Callable[[str], bool] = never) -> bool:
        """With every tag that points to it; False where there is none. Raises ImmutableTag where `fixed` says so of a tag."""

    def delete_tag(self, repository: str, tag: str) -> bool:
        """The manifest stays. False where there is no such tag."""

    def tags(self, repository: str, after: str, limit: int) -> list[str] | None:
        """At most `limit` tags that sort after `after`, by bytes; None for a repository nobody has pushed to."""

    def referrers(self, repository: str, subject: Digest, artifact_type: str, after: str, limit: int) -> list[Referrer]:
        """Manifests whose subject is `subject`, by digest; of one artifact type unless that is empty."""

    def repositories(self, after: str, limit: int) -> list[str]:
        """At most `limit` names of repositories with a manifest that sort after `after`, by bytes."""


class MetadataStore(BlobLinks, ManifestIndex, Reviews, Retention, Protocol):
    """All of it, opened once a process."""

    def version(self) -> int:
        """A number that changes when anybody has written: what was read under one number still holds under it.

        Meant for one thread of a process, the one that answers from a cache.
        """

    def close(self) -> None:
        """Let go of files and connections. Harmless to repeat."""
