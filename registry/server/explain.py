"""What a collection would do, and why: of each tag that a rule is about, of each blob on the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.units import human_duration
from core.value import Value
from image.digest import Digest
from registry.server.collector import Collector
from registry.server.metadata.protocol import MetadataStore
from registry.server.metadata.upkeep import Standing
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
            yield _fate(digest, size, metadata.standing(digest), policy, time.time_ns())


def _fate(digest: Digest, size: int, found: Standing, policy: Policy, now: int) -> Fate:
    if found.manifest:
        where = f"{found.repository}:{found.tag}" if found.tag else f"{found.repository}@{found.manifest}"
        return Fate(digest, size, True, f"needed by {where}")
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
