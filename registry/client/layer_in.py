"""One layer coming in: download → sha256 → decompress → sha256 → unpack in one pass, the compressed blob kept beside it; or
download → sha256 → unpack, where the blob is the tar itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import Integrity, InvalidInput
from core.progress import Task
from image.descriptor import Descriptor
from image.digest import DiffID
from layer.compression import whole
from layer.pipeline import Readable
from registry.client.download import Download
from registry.client.errors import WrongBytes
from registry.client.pipe import PIECE, Pipe
from registry.client.remote import Repository
from registry.client.retry import Cancelled

JUDGED_PIECES = 64
GRACE_SECONDS = 1.0
LARGE = 32 << 20

if TYPE_CHECKING:
    from snapshot.layers import Layers
    from store.layers import Layer
    from store.store import Store


def bring_in(
    store: Store, layers: Layers, sources: Sequence[Repository], diff_id: DiffID, blob: Descriptor, task: Task
) -> Layer:
    """The layer `diff_id` in the store, out of `blob`, up to `Layers.enter`. Nothing stays when this raises. A blob that is
    here already is fetched again only where it is of no use.

    Raises WrongBytes where the blob or its content is not what the manifest says, and whatever the download raises.
    """
    incoming: Readable
    if store.blobs.stat(blob.digest) == blob.size:
        with contextlib.suppress(Integrity, InvalidInput), store.blobs.open(blob.digest) as file:
            layer = _unpack(layers, diff_id, blob, file)
            task.advance(blob.size)
            return layer
    download = Download(sources, blob, task.advance)
    if blob.digest.hex == diff_id.hex:
        return _plain(layers, diff_id, download)
    incoming = Incoming(store, download, blob)
    try:
        return _unpack(layers, diff_id, blob, incoming)
    except (InvalidInput, Integrity) as error:
        incoming.judge(error)
        raise
    except BaseException as error:
        incoming.give_up(error)
        raise


def _plain(layers: Layers, diff_id: DiffID, download: Download) -> Layer:
    """A tar that is not compressed need not be kept beside its files."""
    ahead = Ahead(download)
    try:
        with layers.receive(ahead, algorithm=diff_id.algorithm, recorded=True) as arrival:
            if arrival.diff_id == diff_id:
                return arrival.keep_recipe()
            raise WrongBytes(f"{download.what}: the bytes hash to {arrival.diff_id}", "nothing was stored; try again")
    except WrongBytes:
        raise
    except (InvalidInput, Integrity) as error:
        raise type(error)(f"{download.what}: {error.message}", error.hint) from error
    finally:
        ahead.close()
        download.close()


def _unpack(layers: Layers, diff_id: DiffID, blob: Descriptor, compressed: Readable) -> Layer:
    ahead = Ahead(whole(compressed))
    try:
        return layers.unpack(diff_id, blob, ahead)
    finally:
        ahead.close()


class Ahead:
    """A Readable that reads `stream` in a thread of its own, a few pieces ahead: decompressing beside unpacking."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._pipe = Pipe()
        self._thread = threading.Thread(target=self._pump, name="decompress", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        try:
            while data := self._stream.read(PIECE):
                self._pipe.write(data)
            self._pipe.finish()
        except BaseException as error:
            self._pipe.fail(error)

    def read(self, n: int = -1, /) -> bytes:
        """As Readable; raises what `stream` raised."""
        return self._pipe.read(n)

    def close(self) -> None:
        """End the thread; one that waits for the network ends when that does."""
        self._pipe.fail()
        self._thread.join(GRACE_SECONDS)


class Incoming:
    """A Readable over a download which writes every byte into the blob store on its way, from a thread of its own.

    Its end is only reached once the blob is committed: verified and durable.
    """

    def __init__(self, store: Store, download: Download, blob: Descriptor) -> None:
        self._store = store
        self._download = download
        self._blob = blob
        self._pipe = Pipe()
        self._thread = threading.Thread(target=self._pump, name="download", daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        try:
            with self._store.blobs.writer(self._blob.digest.algorithm, aside=self._blob.size >= LARGE) as writer:
                while data := self._download.read(PIECE):
                    self._pipe.write(data)
                    writer.write(data)
                try:
                    writer.commit(self._blob.digest)
                except Integrity as error:
                    raise WrongBytes(
                        f"{self._download.what}: {error.message}", "nothing was stored; try again"
                    ) from error
            self._pipe.finish()
        except BaseException as error:
            self._pipe.fail(error)
        finally:
            self._download.close()

    def read(self, n: int = -1, /) -> bytes:
        """As Readable; raises what ended the download."""
        return self._pipe.read(n)

    def judge(self, error: BaseException) -> None:
        """The content made no sense: find out whether these are the right bytes at all, which is what to blame first.

        Raises WrongBytes where they are not; a long rest is not fetched for that.
        """
        with contextlib.suppress(Cancelled):
            for _ in range(JUDGED_PIECES):
                if not self._pipe.read(PIECE):
                    return
        self.give_up(error)

    def give_up(self, error: BaseException) -> None:
        """Stop the download and wait until it has left no trace."""
        self._pipe.fail(error)
        self._thread.join(GRACE_SECONDS)
