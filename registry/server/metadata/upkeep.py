"""What keeps the store small: a queue of what may have lost its last user, and the facts that retention decides by.

Whatever may have become garbage is noted in the very transaction that may have made it so; after a delay, in one
transaction, it is looked at again and removed only if nobody needs it. Three kinds are reviewed: a repository's
**manifest** that has no tag, no index that lists it and no subject; a repository's **blob** that none of its manifests
refers to; a blob's **bytes** that no repository has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from image.digest import Digest


@dataclass(frozen=True, slots=True)
class Limits:
    """What is due: what was `released` (deleted, untagged) and what was `pushed` but never referred to since before
    these instants (nanoseconds). `untagged` off: manifests stay, whatever refers to them."""

    released: int
    pushed: int
    untagged: bool = True


@dataclass(frozen=True, slots=True)
class Review:
    """Something in the queue, since when, and whether because it was pushed (else: released)."""

    repository: str
    digest: Digest
    since: int
    pushed: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """Why a blob is there: the first manifest that needs it, with a tag of that (or ''), the first repository that has it
    without needing it, and since when the queue has held it."""

    repository: str = ""
    manifest: str = ""
    tag: str = ""
    idle: str = ""
    since: int | None = None
    pushed: bool = False


@dataclass(frozen=True, slots=True)
class TagRecord:
    """A tag and its history; instants in nanoseconds, `pulled` 0 where nobody has."""

    name: str
    digest: Digest
    pushed: int
    pulled: int = 0


class Reviews(Protocol):
    """The queue."""

    def doubted(self, repository: str, digest: Digest) -> Review | None:
        """The review that a manifest or blob of a repository waits for."""

    def postpone(self, repository: str, digest: Digest) -> None:
        """Begin that review's delay anew, as if it had just been pushed: somebody has asked for it."""

    def review(self, limits: Limits, limit: int) -> tuple[int, int]:
        """Decide about at most `limit` manifests and blobs that are due, in one transaction: how many were looked at, and
        how many of those removed."""

    def due_bytes(self, limits: Limits, limit: int) -> list[Digest]:
        """At most `limit` blobs whose bytes are due."""

    def forget_bytes(self, digests: Sequence[Digest]) -> set[Digest]:
        """End the review of these; those that no repository has and whose bytes must go now.

        The caller holds each exclusively (RegistryBlobs.hold), so that nobody brings one back before its bytes are gone.
        """

    def adopt(self, digests: Sequence[Digest]) -> int:
        """Have those reviewed that neither a repository nor the queue knows, as released just now; how many those are."""

    def standing(self, digest: Digest) -> Standing:
        """Who needs a blob, for those who ask why it is there."""


class Retention(Protocol):
    """Tags as they age."""

    def tag_records(self, repository: str, after: str, limit: int) -> list[TagRecord]:
        """At most `limit` tags that sort after `after`, by bytes."""

    def untag(self, repository: str, tags: Iterable[TagRecord]) -> list[str]:
        """Delete those that nobody has pushed since, in one transaction; their names."""

    def note_pulls(self, pulls: Iterable[tuple[str, str]], instant: int) -> None:
        """Of (repository, tag or digest). A power loss may undo it."""
