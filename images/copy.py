"""An image from one endpoint to another, its digests unchanged: blobs first, then the manifests, the name last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from core.errors import NotFound, Unsupported
from core.progress import Progress, Silent
from image.descriptor import Descriptor
from image.manifest import MAX_BYTES, Index, Manifest, parse_any
from image.media_types import is_foreign
from image.platform import Platform, host_platform
from images.endpoint import Endpoint, verified
from images.indexed import Counted

if TYPE_CHECKING:
    from core.progress import Task
    from layer.pipeline import Readable

DEPTH = 3  # of an index in an index


def copy(
    source: Endpoint, destination: Endpoint, *, platform: Platform | None = None, every: bool = False,
    progress: Progress | None = None,
) -> Descriptor:  # fmt: skip
    """Copy what `source` names to `destination`; returns what the name there points to now.

    Of an index, the image for `platform` (this machine's where it is None), or with `every` all of them and the index
    itself. What the destination has is not sent. Harmless to repeat. Raises NotFound, Integrity, Unavailable, Unsupported.
    """
    return _Copy(source, destination, progress or Silent()).run(platform, every)


class _Copy:
    def __init__(self, source: Endpoint, destination: Endpoint, progress: Progress) -> None:
        self._source = source
        self._destination = destination
        self._progress = progress
        self._done: set[str] = set()

    def run(self, platform: Platform | None, every: bool) -> Descriptor:
        top, raw = self._source.resolve()
        found = parse_any(raw, top.media_type)
        if not every:
            top, found = self._choose(top, found, platform)
        self._send(top, found, 0)
        return top

    def _choose(
        self, top: Descriptor, found: Manifest | Index, platform: Platform | None
    ) -> tuple[Descriptor, Manifest | Index]:
        for _ in range(DEPTH):
            if isinstance(found, Manifest):
                return top, found
            chosen = found.choose(platform or host_platform())
            if chosen is None:
                offered = sorted(
                    {str(m.platform) for m in found.manifests if m.platform and m.platform.os != "unknown"}
                )
                raise NotFound(
                    f"there is no image for {platform or host_platform()}",
                    f"there is: {', '.join(offered[:12]) or 'none'}; choose with --platform, or copy --all",
                )
            top, found = chosen, self._fetch(chosen)
        raise Unsupported(f"its indexes are nested more than {DEPTH} deep")

    def _fetch(self, wanted: Descriptor) -> Manifest | Index:
        if wanted.size > MAX_BYTES:
            raise Unsupported(f"a manifest of {wanted.size} bytes is too big")
        return parse_any(self._source.fetch(wanted), wanted.media_type)

    def _send(self, what: Descriptor, found: Manifest | Index, depth: int) -> None:
        if depth > DEPTH:
            raise Unsupported(f"its indexes are nested more than {DEPTH} deep")
        if isinstance(found, Manifest):
            for blob in (found.config, *found.layers):
                self._blob(blob)
        else:
            for child in found.manifests:
                if child.digest not in self._done:
                    self._send(child, self._fetch(child), depth + 1)
        self._destination.publish(what, found.raw, top=not depth)
        self._done.add(what.digest)

    def _blob(self, blob: Descriptor) -> None:
        if blob.digest in self._done or (is_foreign(blob.media_type) and blob.urls):
            return
        task = self._progress.task(blob.digest.short, blob.size)
        try:
            if self._destination.stat(blob):
                task.advance(blob.size)
            else:
                self._destination.write(blob, verified(blob, lambda: self._open(blob, task)))
        except BaseException as error:
            task.fail(str(error))
            raise
        task.finish()
        self._done.add(blob.digest)

    def _open(self, blob: Descriptor, task: Task) -> AbstractContextManager[Readable]:
        return _counted(self._source.open(blob), task)


@contextmanager
def _counted(opened: AbstractContextManager[Readable], task: Task) -> Iterator[Readable]:
    with opened as stream:
        yield Counted(stream, task.advance)
