"""Which volumes a new container gets: those it asks for, those of other containers, one for each path the image declares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from core.paths import clean
from core.value import Value, field, replace
from runtime.mounts import Mount
from store.holds import Hold
from store.volumes import ANONYMOUS, LOCAL, Volume

if TYPE_CHECKING:
    from runtime.container import Container
    from runtime.containers import Containers
    from runtime.request import Request
    from store.images import Image
    from store.store import Store


class Wish(Value):
    """How the volume at `target` is to be made, where it is not there yet."""

    target: str
    labels: Mapping[str, str] | None = field(default=None, hash=False)
    options: Mapping[str, str] | None = field(default=None, hash=False)


class Asked(Value):
    """What `inspect` says of the flags, of containers that had them."""

    volumes_from: tuple[str, ...] = ()
    volume_driver: str = ""


def with_drivers(store: Store, request: Request, find: Callable[[], Image]) -> Request:
    """The request with a name for each volume that a plug-in has to make, which it has made then: nobody else must wait for
    that, so it comes before the container's own transaction."""
    with store.transaction():
        declared = store.images.config(find().id).config.volumes
    covered = {mount.target for mount in request.mounts}
    bare = [clean(v) for v in dict.fromkeys((*declared, *request.volumes))] if request.volume_driver else []
    mounts = [*request.mounts, *(_anonymous(target) for target in bare if target not in covered)]
    return replace(request, mounts=tuple(_driven(store, request, mount) for mount in mounts))


def _driven(store: Store, request: Request, mount: Mount) -> Mount:
    from runtime.volume_verbs import create

    driver = mount.driver or request.volume_driver
    if mount.kind != "volume" or driver in ("", LOCAL):
        return mount
    if mount.name and not mount.driver and store.volumes.get(mount.name):
        return mount  # it is there already, whoever drives it
    named = mount if mount.name else _anonymous(mount.target, mount)
    create(store, _volume(request, named, driver))
    return replace(named, driver=driver)


def settle(containers: Containers, container: Container, request: Request) -> Container:
    """The container with all its volumes made and held; inside the transaction that holds its image.

    Raises NotFound for a container of --volumes-from or an image that is not there, Conflict, InvalidInput.
    """
    own = {mount.target: mount for mount in request.mounts}
    inherited = {m.target: m for text in request.volumes_from for m in _of(containers, text) if m.target not in own}
    mounts = {**inherited, **own}
    for target in map(clean, container.volumes):
        mounts.setdefault(target, _anonymous(target))
    held = [_hold(containers.store, container, request, mount, n) for n, mount in enumerate(mounts.values())]
    asked = Asked(request.volumes_from, request.volume_driver)
    return replace(container, mounts=tuple(held), volume_flags=asked if asked != Asked() else None)


def _of(containers: Containers, text: str) -> list[Mount]:
    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise InvalidInput(f"invalid mode: {mode}", "write CONTAINER[:ro|rw]")
    other = containers.find(name)
    return [
        replace(m, read_only=m.read_only or mode == "ro", copy=False)
        for m in other.mounts
        if m.flag or m.kind != "tmpfs"
    ]


def _anonymous(target: str, like: Mount | None = None) -> Mount:
    mount = like or Mount("", target, "volume", options=("rprivate", "nodev"))
    return replace(mount, name=os.urandom(32).hex(), own=True)


def _hold(store: Store, container: Container, request: Request, mount: Mount, number: int) -> Mount:
    from runtime.volume_verbs import create

    if mount.kind == "image":
        return _hold_image(store, container, mount, number)
    if mount.kind != "volume":
        return mount
    named = mount if mount.name else _anonymous(mount.target, mount)
    volume = store.volumes.get(named.name) or create(store, _volume(request, named, LOCAL))
    store.volumes.hold(volume.name, "container", container.id, own=named.own)
    return replace(named, driver=volume.driver)


def _hold_image(store: Store, container: Container, mount: Mount, number: int) -> Mount:
    from images.resolve import resolve

    image = resolve(store, mount.name)
    store.holds.set(Hold("mounted", f"{container.id}.{number}", container.name, image.id, False))
    return replace(mount, source=str(image.id))


def _volume(request: Request, mount: Mount, driver: str) -> Volume:
    """What is to be made for the mount."""
    wish = next((wish for wish in request.volume_wishes if wish.target == mount.target), Wish(mount.target))
    labels = {**(wish.labels or {}), ANONYMOUS: ""} if mount.own else wish.labels
    return Volume(mount.name, driver, labels, wish.options)
