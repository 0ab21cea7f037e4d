"""One store: everything below one root directory, opened once by a command, at a cost that does not depend on what is in it."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from core import sqlite
from core.closing import Closing
from core.database import Database
from core.errors import Integrity, Unavailable
from core.files import make_directories
from store import catalog
from store.disk import DiskBlobs
from store.holds import Holds
from store.images import Images
from store.layers import LayerTable
from store.leases import Leases
from store.tags import Tags
from store.temporary import Temporaries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from store.file_digests import FileDigests
    from store.quarantine import Quarantine
    from store.records import Records
    from store.volumes import Volumes

# Only the top is open to others (to pass through, not to list): a layer may contain setuid programs (CVE-2021-41091).
_DIRECTORIES = ("blobs", "layers", "snapshots", "containers", "builds", "tmp", "locks")

# Stores that were left, not closed: a connection that is forgotten is closed.
_LEFT: list[Store] = []


class Store(Closing):
    """The tables and blobs of one root. Usable from several threads; a process that forks opens it in the child."""

    def __init__(self, root: Path, database: Database, *, sync: bool, making_room: bool = False) -> None:
        self.root = root
        self._making_room = making_room
        self.sync = sync
        self.database = database
        self.leases = Leases(database, root)
        self.blobs = DiskBlobs(root, sync=sync, protect=lambda digest: self.leases.session.hold_blob(digest))
        self.images = Images(database, self.blobs)
        self.tags = Tags(database)
        self.layers = LayerTable(database)
        self.holds = Holds(database)
        self.temporaries = Temporaries(root)

    @cached_property
    def file_digests(self) -> FileDigests:
        """What files of build contexts hashed to."""
        from store.file_digests import FileDigests

        return FileDigests(self.root / "files.db")

    @cached_property
    def records(self) -> Records:
        """What build steps gave."""
        from store.records import Records

        return Records(self.database)

    @cached_property
    def quarantine(self) -> Quarantine:
        """What is known to be damaged."""
        from store.quarantine import Quarantine

        return Quarantine(self.database)

    @cached_property
    def volumes(self) -> Volumes:
        """What outlives containers."""
        from store.volumes import Volumes

        return Volumes(self.database, self.root, sync=self.sync)

    @classmethod
    def open(cls, root: Path, *, sync: bool = True, making_room: bool = False) -> Self:
        """The store at `root`, made there when there is none. `sync` off: nothing waits for the disk. `making_room`: to
        remove something from it, for which a full disk has something set aside.

        Raises Unavailable where the place cannot be used, Unsupported where a newer lamella has changed it, Integrity where
        there are layers and no catalog: to a new one all of them would be rubbish.
        """
        path = root / "catalog.db"
        if not os.path.exists(path):  # it is made last: where it is, everything else is
            _refuse_lost_catalog(root)
            _create(root)
        if making_room:
            from store import ballast

            ballast.spend(root)
        database = Database(path, catalog.OWNER, catalog.MIGRATIONS, sync=sync)
        return cls(root, database, sync=sync, making_room=making_room)

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[sqlite.Connection]:
        """Everything inside happens at once and durably, or not at all; other processes write before or after it. With
        `durable` off it does not wait for the disk: for what means nothing after a restart."""
        return self.database.write(durable=durable)

    def layer_path(self, directory: str) -> Path:
        """Where the layer directory with this name is."""
        return self.root / "layers" / directory

    def sync_layers(self) -> None:
        """Everything written to the store's disk so far is durable when this returns (one syncfs; nothing when `sync` is
        off). To be called before the transaction that makes layer directories known to the user."""
        if self.sync:
            from core.syscalls import sync_filesystem

            sync_filesystem(self.root)

    def close(self) -> None:
        """Release this process's lease and the database. Harmless to repeat."""
        self.leases.close()
        if "file_digests" in vars(self):
            self.file_digests.close()
        self.database.close()
        if self._making_room:
            from store import ballast

            ballast.set_aside(self.root)

    def leave(self) -> None:
        """Instead of `close`, in a process that ends now: its lease is released, and the catalog's log stays as it is for
        the next command. A database that its last user closes is tidied up, with two waits for the disk."""
        self.leases.close()
        _LEFT.append(self)


def _refuse_lost_catalog(root: Path) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        layers = os.listdir(root / "layers")
        if layers and not os.path.exists(root / "catalog.db"):  # somebody may just have made both
            raise Integrity(
                f"{root / 'catalog.db'} is gone, and there are {len(layers)} layers that only it knew the names of",
                "put it back, with catalog.db-wal, from a copy; or, to begin anew without them, move the store away",
            )


def _create(root: Path) -> None:
    from store import ballast

    try:
        make_directories(root, 0o711)
        for name in _DIRECTORIES:
            make_directories(root / name, 0o700)
        ballast.set_aside(root)
    except OSError as error:
        raise Unavailable(
            f"cannot make a store at {root}: {error.strerror}", "choose another place with --root, or run as root"
        ) from error
