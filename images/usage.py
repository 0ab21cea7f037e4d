"""What takes up the disk below the store's root, down to the last block: the sum of all is what `du -s` says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.space import Space
from core.value import Value, field
from store.temporary import lock_directory

if TYPE_CHECKING:
    from images.claims import Claims


class Part(Value):
    """One kind of thing: how many there are, how many of them are in use, bytes of disk, and how many of those bytes go
    when everything is pruned that may be."""

    name: str
    total: int
    active: int
    size: int
    reclaimable: int


class Usage(Value):
    """All parts; and the bytes of each layer (by DiffID), of each container (by ID) and of each volume (by name)."""

    parts: list[Part]
    layers: dict[str, int]
    containers: dict[str, int]
    volumes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(part.size for part in self.parts)


class _Tally(Value):
    total: list[int] = field(default_factory=lambda: [0, 0, 0, 0])  # things, those in use, bytes, reclaimable bytes

    def add(self, size: int, *, active: bool = False, reclaimable: bool = False, count: int = 1) -> int:
        for number, more in enumerate((count, count * active, size, size * reclaimable)):
            self.total[number] += more
        return size

    def part(self, name: str, counts: tuple[int, int] | None = None) -> Part:
        return Part(name, *(counts or self.total[:2]), *self.total[2:])


class _Survey:
    def __init__(self, root: Path, claims: Claims) -> None:
        self.root = root
        self.claims = claims
        self.space = Space(os.lstat(root).st_dev)
        self.images, self.containers, self.cache, self.blobs = _Tally(), _Tally(), _Tally(), _Tally()
        self.logs, self.temporary, self.registry, self.catalog = _Tally(), _Tally(), _Tally(), _Tally()
        self.mounts = [0, 0]  # directories of cache mounts, those in use
        self.by_layer: dict[str, int] = {}
        self.by_container: dict[str, int] = {}
        self.by_volume: dict[str, int] = {}
        self.volumes = _Tally()

    def layers(self, top: Path) -> None:
        for entry in _entries(top):
            claim = self.claims.layers.get(entry.name)
            size = self.space.of(entry.path)
            if claim is None:
                claimed = _busy(self.root / "tmp" / entry.name)
                self.temporary.add(size, active=claimed, reclaimable=not claimed)
                continue
            self.by_layer[claim.diff_id] = size
            owner = {"image": self.images, "container": self.containers, "cache": self.cache}.get(claim.owner or "")
            (owner or self.temporary).add(size, active=claim.kept, reclaimable=not claim.kept)

    def all_blobs(self, top: Path) -> None:
        for algorithm in self._directories(top):
            for fan in self._directories(Path(algorithm.path)):
                for entry in _entries(Path(fan.path)):
                    kept = self.claims.blobs.get(f"{algorithm.name}:{entry.name}")
                    tally = self.temporary if kept is None else self.blobs
                    tally.add(self.space.of(entry.path), active=bool(kept), reclaimable=not kept)

    def _directories(self, top: Path) -> Iterator[os.DirEntry[str]]:
        """Those in `top`, each itself counted with the catalog; what else lies there is nobody's."""
        for entry in _entries(top):
            if entry.is_dir(follow_symlinks=False):
                self.structure(entry.path)
                yield entry
            else:
                self.temporary.add(self.space.of(entry.path), reclaimable=True)

    def structure(self, path: str | Path) -> None:
        self.catalog.add(self.space.one(os.lstat(path)), active=True, count=0)

    def all_containers(self, top: Path) -> None:
        for entry in _entries(top):
            running = self.claims.containers.get(entry.name)
            if running is None:
                self.temporary.add(self.space.of(entry.path), reclaimable=not _busy(Path(entry.path) / "state"))
                continue
            logs = [path for path in _entries(Path(entry.path)) if path.name == "log" or ".log" in path.name]
            size = sum(self.logs.add(self.space.of(log.path), active=running, reclaimable=not running) for log in logs)
            self._container(entry, running, but=size)

    def snapshots(self, top: Path) -> None:
        for entry in _entries(top):
            running = self.claims.containers.get(entry.name)
            if running is None:
                used = entry.name in self.claims.holders or _busy(Path(entry.path))
                self.temporary.add(self.space.of(entry.path), active=used, reclaimable=not used)
            else:
                self._container(entry, running)

    def _container(self, entry: os.DirEntry[str], running: bool, but: int = 0) -> None:
        size = self.containers.add(self.space.of(entry.path) - but, reclaimable=not running)
        self.by_container[entry.name] = self.by_container.get(entry.name, 0) + size

    def caches(self, top: Path) -> None:
        for entry in _entries(top):
            locked = _busy(Path(entry.path) / "lock")
            self.mounts[0] += 1
            self.mounts[1] += locked
            self.cache.add(self.space.of(entry.path), active=locked, reclaimable=not locked)

    def all_volumes(self, top: Path) -> None:
        for entry in _entries(top):
            used, size = self.claims.volumes.get(entry.name), self.space.of(entry.path)
            if used is None:
                self.temporary.add(size)
            else:
                self.by_volume[entry.name] = self.volumes.add(size, active=used, reclaimable=not used)

    def builds(self, top: Path) -> None:
        for entry in _entries(top):
            self.logs.add(self.space.of(entry.path))

    def temporaries(self, top: Path) -> None:
        for entry in _entries(top):
            locked = _busy(Path(entry.path))
            self.temporary.add(self.space.of(entry.path), active=locked, reclaimable=not locked)

    def served(self, top: Path) -> None:
        self.registry.add(self.space.of(top) - self.space.one(os.lstat(top)), active=True)


def usage(root: Path, claims: Claims) -> Usage:
    """Bytes of everything below `root`. To be called with the store closed: what SQLite keeps open would count as well."""
    survey = _Survey(root, claims)
    rooms = {
        "layers": survey.layers, "blobs": survey.all_blobs, "containers": survey.all_containers,
        "snapshots": survey.snapshots, "builds": survey.builds, "tmp": survey.temporaries, "locks": survey.temporaries,
        "registry": survey.served, "caches": survey.caches, "volumes": survey.all_volumes,
    }  # fmt: skip
    survey.structure(root)
    for entry in _entries(root):
        if entry.name in rooms and entry.is_dir(follow_symlinks=False):
            survey.structure(entry.path)
            rooms[entry.name](Path(entry.path))
        else:
            survey.catalog.add(survey.space.of(entry.path), active=True)
    running = sum(claims.containers.values())
    parts = [
        survey.images.part("Images", claims.images),
        survey.containers.part("Containers", (len(claims.containers), running)),
        survey.volumes.part("Local Volumes"),
        survey.cache.part("Build Cache", (claims.records[0] + survey.mounts[0], claims.records[1] + survey.mounts[1])),
        survey.blobs.part("Blobs"),
        survey.logs.part("Logs"),
        survey.temporary.part("Temporary"),
        *([survey.registry.part("Registry")] if (root / "registry").is_dir() else []),
        survey.catalog.part("Catalog"),
    ]
    return Usage(parts, survey.by_layer, survey.by_container, survey.by_volume)


def _entries(top: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(top) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _busy(path: Path) -> bool:
    """Whether somebody has the file or directory locked; what is not there is not."""
    fd = lock_directory(path, wait=False)
    if fd is None:
        return path.exists()
    os.close(fd)
    return False
