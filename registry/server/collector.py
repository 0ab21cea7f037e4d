"""Space comes back: tags that no rule keeps, then what nothing refers to any more, then the bytes nobody has.

Safe beside any number of pushes, mounts, deletions and other collectors: each removal is decided in the transaction that
forgets it, and bytes go only while nobody can be about to link them. Killed at any moment it leaves at worst bytes that
no row names, which `adopt` finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from core.errors import InvalidInput
from core.value import Value
from image.digest import Digest
from registry.server.metadata.protocol import MetadataStore
from registry.server.metadata.upkeep import Limits, TagRecord
from registry.server.policy import Policy
from registry.server.retention import TagVerdict, decide
from registry.server.storage.protocol import RegistryBlobs

T = TypeVar("T")
BATCH = 100  # decisions in one transaction: others wait for it
REMOVERS = 8  # one file after the other a disk that discards removes some hundreds a second, side by side thousands
FREED = 200  # blobs that one transaction forgets; their bytes go after it
PAGE = 5_000


class Collected(Value):
    """What went: tags, manifests and blobs of repositories (`entries`), blobs from the disk and their bytes."""

    tags: int = 0
    entries: int = 0
    blobs: int = 0
    bytes: int = 0

    def __add__(self, other: Collected) -> Collected:
        mine, others = self.__dict__, other.__dict__
        return Collected(**{name: mine[name] + others[name] for name in self._fields})


class Collector:
    """One look at all that is due. `stop` ends it early, between two transactions."""

    def __init__(
        self, metadata: MetadataStore, blobs: RegistryBlobs, policy: Policy, stop: Callable[[], bool] = lambda: False,
        *, rest: float = 0.0,
    ) -> None:  # fmt: skip
        """`rest`: how long to pause after each transaction, as a part of what it took, so that writers get their turn."""
        self._metadata, self._blobs, self._policy = metadata, blobs, policy
        self._stop = stop
        self._rest = rest

    def collect(self) -> Collected:
        """Remove what is due. What that releases is due after another delay, with a delay of 0 at once."""
        return Collected(entries=self._review()) + self._free()

    def retain(self) -> Collected:
        """Delete the tags that the retention rules do not keep."""
        count = 0
        for name in self.repositories():
            for part in _batches((one.tag for one in self.verdicts(name) if not one.stays), BATCH):
                if not self._stop():
                    count += len(self._metadata.untag(name, part))
        return Collected(tags=count)

    def adopt(self) -> int:
        """Have reviewed what is on the disk and nobody knows (a crash left it): how many blobs that is."""
        return sum(self._metadata.adopt(part) for part in _batches(self.stored(), 10 * BATCH) if not self._stop())

    def verdicts(self, repository: str) -> list[TagVerdict]:
        """What the rules say of the repository's tags."""
        policy = self._policy
        return decide(
            repository, self._tags(repository), policy.retention, time.time_ns(),
            lambda tag: policy.is_immutable(repository, tag),
        )  # fmt: skip

    def repositories(self) -> Iterator[str]:
        """Those that a retention rule may be about."""
        after = ""
        while self._policy.retention and (page := self._metadata.repositories(after, PAGE)):
            yield from page
            after = page[-1]

    def stored(self) -> Iterator[Digest]:
        """Every blob on the disk; files with other names are nobody's business."""
        for name in self._blobs.walk():
            try:
                yield Digest.parse(name)
            except InvalidInput:
                continue

    def limits(self) -> Limits:
        """Since when what is due now has waited."""
        now = time.time_ns()
        return Limits(now - self._policy.delay, now - self._policy.unreferenced, self._policy.untagged)

    def _tags(self, repository: str) -> Iterator[TagRecord]:
        after = ""
        while page := self._metadata.tag_records(repository, after, PAGE):
            yield from page
            after = page[-1].name

    def _review(self) -> int:
        removed = 0
        while not self._stop():
            begun = time.monotonic()
            looked_at, gone = self._metadata.review(self.limits(), BATCH)
            removed += gone
            if not looked_at:
                break
            self._pause(begun)
        return removed

    def _free(self) -> Collected:
        """Order: nobody may link them any more, the rows are forgotten, the bytes go."""
        total = Collected()
        with ThreadPoolExecutor(REMOVERS, "collector") as pool:
            while not self._stop() and (due := self._metadata.due_bytes(self.limits(), FREED)):
                begun = time.monotonic()
                with self._blobs.exclude(due) as free:
                    gone = self._metadata.forget_bytes(free) if free else set()
                    removed = [size for size in pool.map(self._remove, gone) if size is not None]
                total += Collected(blobs=len(removed), bytes=sum(removed))
                if not free:
                    break  # all are being pushed anew: the next look will find them linked
                self._pause(begun)
        return total

    def _remove(self, digest: Digest) -> int | None:
        """Bytes of a blob that is gone now; None where there was none."""
        size = self._blobs.stat(digest)
        return size if size is not None and self._blobs.delete(digest) else None

    def _pause(self, begun: float) -> None:
        if self._rest:
            time.sleep((time.monotonic() - begun) * self._rest)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while part := list(islice(source, size)):
        yield part
