"""What every handler works with: the metadata, the blobs, and threads for what blocks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from image.digest import Digest
from registry.server.metadata.protocol import Allowance, MetadataStore
from registry.server.policy import Policy
from registry.server.pulls import Pulls
from registry.server.storage.protocol import RegistryBlobs

P = ParamSpec("P")
T = TypeVar("T")
THREADS = 16


class _Uncancelled(asyncio.Future[Any]):
    """Whoever is cancelled while waiting for it hears of that when it is done: what `asyncio.shield` and a second wait would
    do with three futures more."""

    def cancel(self, msg: Any = None) -> bool:
        return False


def _settle(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:
        loop.call_soon_threadsafe(future.set_exception, error)
    else:
        loop.call_soon_threadsafe(future.set_result, result)


class Registry:
    """One process's registry. Single indexed reads happen on the event loop; all that writes, or waits, in `threads`."""

    def __init__(self, metadata: MetadataStore, blobs: RegistryBlobs, policy: Policy | None = None) -> None:
        self.metadata = metadata
        self.blobs = blobs
        self.policy = policy or Policy()
        self.pulls = Pulls()
        self.claimed: set[str] = set()  # uploads that a request of this process has to do with
        self.closing = False
        self.threads = ThreadPoolExecutor(THREADS, "registry")

    async def do(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` in a thread, and wait for its end even when cancelled: nobody may close what it still uses."""
        return await self.start(work, *args, **kwargs)

    def start(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Begin `work` in a thread; its future, which nobody can cancel."""
        loop = asyncio.get_running_loop()
        future = _Uncancelled(loop=loop)
        self.threads.submit(_settle, loop, future, lambda: work(*args, **kwargs))
        return future

    def allowance(self, repository: str) -> Allowance:
        """What the repository, and the registry, may use."""
        return Allowance(self.policy.quota_of(repository), self.policy.quota)

    async def reassure(self, repository: str, digest: Digest) -> bool:
        """Somebody asks for a manifest or blob: one that waits for its review does so for half of its delay at least.

        Who is told that a blob is there may go on to push a manifest that needs it. False: the answer that was read before
        may not be remembered.
        """
        review = self.metadata.doubted(repository, digest)
        if review is None or time.time_ns() - review.since < self.policy.delay // 2:
            return True
        await self.do(self.metadata.postpone, repository, digest)
        return False

    def close(self) -> None:
        """Finish what was begun, then let go of files. Harmless to repeat."""
        self.threads.shutdown(wait=True, cancel_futures=True)
        self.metadata.close()


async def finished(future: asyncio.Future[Any]) -> None:
    """Wait until `future` is done, however often the caller is cancelled meanwhile; its result is not looked at."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({future})
