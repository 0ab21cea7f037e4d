"""The layers that a build has made: hashed in a thread of its own while the next step runs, entered into the store later.

A step needs only the directory of the layer below it. Its DiffID is waited for at the end, or at a checkpoint of a
build that takes long, so that what was finished is not lost when it is killed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from core.errors import LamellaError
from image.digest import DiffID
from store.records import Record

if TYPE_CHECKING:
    from layer.cloned import Original
    from layer.pack import Packed
    from snapshot.layers import Layers
    from snapshot.protocol import Snapshotter
    from store.leases import Lease
    from store.store import Store

CHECKPOINT_SECONDS = 5.0
NOT_CLONED: Mapping[int, Original] = MappingProxyType({})


class Made:
    """One layer of a stage's result. `diff_id` is None until it is known; `created` is when (ns since the epoch)."""

    __slots__ = ("created", "diff_id", "directory", "entered", "key", "packed")

    def __init__(self, directory: str, key: Callable[[], str], created: int, diff_id: DiffID | None = None) -> None:
        self.directory = directory
        self.key = key
        self.created = created
        self.diff_id = diff_id
        self.packed: Packed | None = None
        self.entered = diff_id is not None


class Journal:
    """Hashes in the order of `add`. Its threads start with the first layer and end with `close`."""

    def __init__(self, store: Store, snapshotter: Snapshotter, layers: Layers, lease: Lease) -> None:
        self._store = store
        self._snapshotter = snapshotter
        self._layers = layers
        self._lease = lease
        self._made: list[Made] = []
        self._notes: list[Record] = []
        self._todo: deque[tuple[Made, Mapping[int, Original]]] = deque()
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._beginning = threading.Lock()
        self._failure: BaseException | None = None
        self._closing = False
        self._synced = 0
        self._checkpoint = time.monotonic()

    def add(self, made: Made, originals: Mapping[int, Original] = NOT_CLONED) -> None:
        """Take over a sealed layer, in which these inodes are clones. Raises what an earlier one's hashing raised."""
        with self._changed:
            self._raise_failure()
            self._made.append(made)
            self._todo.append((made, originals))
            self._changed.notify_all()
        self.begin()

    def note(self, record: Record) -> None:
        """Enter `record`, which has no layer, together with the layers."""
        self._notes.append(record)

    def begin(self, prelude: Callable[[], object] = lambda: None) -> None:
        """Start the thread, if it does not run yet, and one beside it that does `prelude`, whose LamellaErrors and OSErrors
        are dropped."""
        with self._beginning:
            for work in () if self._threads else (self._work, lambda: _quietly(prelude)):
                thread = threading.Thread(target=work, name="layers", daemon=True)
                thread.start()
                self._threads.append(thread)

    def wait(self) -> None:
        """Until every layer is hashed, on the disk, and knows its key: three things that need not wait for each other.

        Raises what hashing, the disk or a key raised.
        """
        if not self._made:
            return
        flusher = threading.Thread(target=self._flush, name="sync", daemon=True)
        flusher.start()
        for made in self._made:
            made.key()
        flusher.join()
        with self._changed:
            while self._todo and not self._failure:
                self._changed.wait()
            self._raise_failure()

    def _flush(self) -> None:
        made = list(self._made)
        try:
            self._store.sync_layers()
            self._synced = len(made)
        except OSError as error:
            self._failure = error

    def enter(self) -> None:
        """Make all that is hashed known to the store, with its cache records, in one transaction; nothing may be mounted
        on these layers any more. Layers with a twin in the store give way to it. Harmless to repeat."""
        waiting = [made for made in self._made if made.packed and not made.entered]
        if not waiting and not self._notes:
            return
        for made in waiting:
            made.key()  # not inside the transaction: it may have to read the context
        if self._synced < len(self._made):
            self._store.sync_layers()
        with self._store.transaction():
            for made in waiting:
                self._enter(made)
            for note in self._notes:
                self._store.records.add(note)
        self._notes.clear()
        for made in waiting:
            self._snapshotter.settle(made.directory)

    def _enter(self, made: Made) -> None:
        assert made.packed is not None
        layer = self._layers.adopt(made.directory, made.packed)
        self._lease.hold_layer(layer.diff_id)
        self._store.records.add(Record(made.key(), layer.diff_id, b"{}", made.created, made.created))
        made.directory, made.entered = layer.directory, True

    def close(self) -> None:
        """End the thread; what is not hashed by then is forgotten, and collected as garbage some day. Harmless to repeat."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        while self._threads:
            self._threads.pop().join()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        from layer.cloned import pack_cloned

        while True:
            with self._changed:
                while not self._todo and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                made, originals = self._todo[0]
            try:
                made.packed = pack_cloned(self._store.layer_path(made.directory), originals)
                made.diff_id = made.packed.diff_id
                self._keep_what_is_done()
            except BaseException as error:
                self._failure = error
            with self._changed:
                self._todo.popleft()
                self._changed.notify_all()
                if self._failure:
                    return

    def _keep_what_is_done(self) -> None:
        """At a checkpoint, enter the layers that have no twin: a later step may be mounted on any of them."""
        if time.monotonic() - self._checkpoint < CHECKPOINT_SECONDS:
            return
        done = [made for made in self._made if made.packed and not made.entered]
        for made in done:
            made.key()  # not inside the transaction: another thread may be at it, and want to write as well
        self._store.sync_layers()
        with self._store.transaction():
            for made in done:
                if made.diff_id and self._store.layers.get(made.diff_id) is None:
                    self._enter(made)
        for made in done:
            if made.entered:
                self._snapshotter.settle(made.directory)
        self._checkpoint = time.monotonic()


def _quietly(work: Callable[[], object]) -> None:
    with contextlib.suppress(LamellaError, OSError):
        work()
