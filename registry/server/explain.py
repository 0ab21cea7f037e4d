"""What a collection would do, and why: of each tag that a rule is about, of each blob on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.units import human_duration
from core.value import Value
from image.digest import Digest
from registry.server.collector import Collector
from registry.server.metadata.protocol import MetadataStore
from registry.server.metadata.upkeep import Review, Standing
from registry.server.policy import SECOND, Policy
from registry.server.storage.protocol import RegistryBlobs


class Fate(Value):
    """`name`: a digest, or repository:tag. `size` in bytes, 0 for a tag. `stays`: after this look at what is due."""

    name: str
    size: int
    stays: bool
    why: str


def tag_fates(collector: Collector) -> Iterator[Fate]:
    """Of each tag that a retention rule is about."""
    for repository in collector.repositories():
        for one in collector.verdicts(repository):
            yield Fate(f"{repository}:{one.tag.name}", 0, one.stays, one.why)


def blob_fates(collector: Collector, metadata: MetadataStore, blobs: RegistryBlobs, policy: Policy) -> Iterator[Fate]:
    """Of each blob on the disk. Nothing is locked: what happens meanwhile may change it."""
    for digest in collector.stored():
        size = blobs.stat(digest)
        if size is not None:
            found = metadata.standing(digest)
            if not found.manifest:
                yield _idle(digest, size, found, policy, time.time_ns())
            else:
                yield _needed(digest, size, found, metadata.doubted(found.repository, Digest(found.manifest)), policy)


def _needed(digest: Digest, size: int, found: Standing, review: Review | None, policy: Policy) -> Fate:
    """Of a blob that a manifest needs: as long as nothing names that, it waits for the same review, and then for its own."""
    if found.tag:
        return Fate(digest, size, True, f"needed by {found.repository}:{found.tag}")
    why = f"needed by {found.repository}@{found.manifest}"
    if review is None or not policy.untagged:
        return Fate(digest, size, True, why)
    left = review.since + (policy.unreferenced if review.pushed else policy.delay) - time.time_ns()
    when = f"to go in {_span(left)}" if left > 0 else "to go now"
    return Fate(digest, size, left > 0 or policy.delay > 0, f"{why}, which nothing names: {when}")


def _idle(digest: Digest, size: int, found: Standing, policy: Policy, now: int) -> Fate:
    if found.since is None:
        why = f"{found.idle} has it" if found.idle else "no repository has it: a push is ending, or a crash left it"
        return Fate(digest, size, True, f"{why}; it will be reviewed")
    left = found.since + (policy.unreferenced if found.pushed else policy.delay) - now
    history = "pushed" if found.pushed else "released"
    whose = f"no manifest of {found.idle} needs it" if found.idle else "no repository has it"
    if left > 0:
        return Fate(digest, size, True, f"{whose}, {history} {_span(now - found.since)} ago: to go in {_span(left)}")
    return Fate(digest, size, False, f"{whose}, {history} {_span(now - found.since)} ago")


def _span(nanoseconds: int) -> str:
    return human_duration(max(0, nanoseconds) / SECOND).lower()
