"""Volumes as tar archives: nobody's files are locked in here. An archive that comes is hostile input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import Conflict
from core.removal import remove
from layer.compression import decompressor
from layer.flat import flatten
from layer.limits import DEFAULT
from layer.pack import Write
from layer.pipeline import Readable
from layer.reader import Archive, Entry
from layer.unpack import Unpacker
from runtime.copy_up import alone, finish, put
from runtime.volume_sources import opened
from store.disk import disk_errors
from store.volumes import Volume, VolumeNotFound

if TYPE_CHECKING:
    from runtime.containers import Containers


class NotEmpty(Conflict):
    """The volume has something in it that would be mixed with what comes."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"volume {name} is not empty", "import into another one, or take away what is in it with --replace"
        )


def export(containers: Containers, name: str, write: Write) -> None:
    """Give all that is in the volume to `write` as a tar, piece by piece. Raises VolumeNotFound, OSError."""
    volume = containers.store.volumes.find(name)
    if volume.plain:
        finish(containers.store.volumes.home(name))
    with opened(containers, volume) as path:
        flatten(path, write)


def import_(containers: Containers, name: str, stream: Readable, *, replace: bool = False) -> None:
    """Fill the volume from a tar, compressed or not; it is made where it is missing. An archive that is refused (InvalidInput,
    Integrity) changes nothing, unless the volume is more than its directory. Raises NotEmpty."""
    volumes = containers.store.volumes
    before = volumes.get(name)
    volume = before or volumes.add(Volume(name))
    try:
        with disk_errors(containers.store.root):
            _fill(containers, volume, decompressor(stream), replace)
    except BaseException:
        if before is None:
            volumes.remove_unused(name)
            volumes.sweep()
        raise


def _fill(containers: Containers, volume: Volume, stream: Readable, replace: bool) -> None:
    volumes = containers.store.volumes
    if volume.plain:
        finish(volumes.home(volume.name))
        with alone(volumes.home(volume.name)):
            _check_empty(volume, volumes.path(volume.name), replace)
            put(
                volumes.home(volume.name),
                lambda place: _unpack(stream, place),
                sync=containers.store.sync,
                replace=replace,
            )
        return
    with opened(containers, volume) as path:
        _check_empty(volume, path, replace)
        for name in os.listdir(path):
            remove(path / name)
        _unpack(stream, path)


def _check_empty(volume: Volume, path: Path, replace: bool) -> None:
    if not path.is_dir():
        raise VolumeNotFound(volume.name)
    if os.listdir(path) and not replace:
        raise NotEmpty(volume.name)


def _unpack(stream: Readable, place: Path) -> None:
    if not place.exists():
        place.mkdir(0o755)
        place.chmod(0o755)
    archive = Archive(stream, DEFAULT)
    with _VolumeUnpacker(archive, place) as unpacker:
        unpacker.run()
    archive.drain()


class _VolumeUnpacker(Unpacker):
    """In a volume no name marks a deletion, and the archive says what the volume's own directory is like."""

    def root(self, entry: Entry) -> None:
        super().root(entry)
        self.final(b"", entry)

    def child(self, entry: Entry, parent: bytes, base: bytes) -> None:
        self.put(entry, self.tree.directory(parent), base)
