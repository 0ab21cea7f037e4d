"""What a container has written, copied into a layer of its own while the container goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from layer.pack import Packed, pack
from snapshot.duplicate import duplicate
from snapshot.entering import enter
from snapshot.layers import packed_layer
from snapshot.thin import drop_stubs, drop_unchanged
from store.disk import disk_errors
from store.layers import Layer
from store.store import Store
from store.temporary import Claim


class Capture:
    """A layer to be: `take`, then `enter`. A context manager; what was not entered by its end is gone."""

    def __init__(self, store: Store) -> None:
        self._store = store
        fd, home = store.temporaries.directory()
        self._claim = Claim(store.root, fd, home)
        self._copy = self._claim.home / "diff"

    def take(self, source: Path) -> None:
        """Copy `source`, a directory in overlay's format. Raises OSError, Unavailable for a full disk."""
        with disk_errors(self._store.root):
            duplicate(source, self._copy)

    def enter(self, lowers: Sequence[Path], stubs: Iterable[bytes]) -> Layer | None:
        """Give the copy its row, held by this process's lease and durable; None where it holds no change to `lowers`
        (bottom first). The mount points `stubs` are left out. Raises InvalidInput for what a layer cannot hold."""
        with disk_errors(self._store.root):
            drop_stubs(self._copy, lowers, stubs)
            drop_unchanged(self._copy, lowers)
            packed = pack_and_sync(self._store, self._copy)
            if not packed.entries:
                return None
            name = self._claim.place(self._copy)
            self._store.sync_layers()  # by now little is left to wait for
        winner, stays = enter(self._store, packed_layer(name, packed))
        self._claim.settle(keep=stays)
        return winner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._claim.settle(keep=False)


def pack_and_sync(store: Store, directory: Path) -> Packed:
    """Hash what the disk is writing down at the same time."""
    import threading

    import core.syscalls  # noqa: F401  # a thread that loads something waits for ever for one that Ctrl-C met while it did

    failed: list[OSError] = []

    def flush() -> None:
        try:
            store.sync_layers()
        except OSError as error:
            failed.append(error)

    flusher = threading.Thread(target=flush, name="sync", daemon=True)
    flusher.start()
    try:
        packed = pack(directory)
    finally:
        flusher.join()
    if failed:
        raise failed[0]
    return packed
