"""A container as an image: what it has written as one more layer, its settings as the image's (Docker's rules)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from core.clock import format_instant
from core.value import Value, replace
from image.config import ContainerConfig, History, ImageConfig
from image.digest import DiffID, Digest
from image.reference import Reference
from images.publish import publish
from runtime.container import Container
from runtime.containers import Containers
from runtime.directories import NoSuchContainer
from runtime.enter import NotRunning
from runtime.frozen import frozen
from runtime.streams import PATH
from runtime.stubs import OWN
from snapshot.capture import Capture
from snapshot.lending import lend
from store.images import Image
from store.layers import Layer

PATIENCE_SECONDS = 5.0
# What Docker writes into a config about the container that it came from, and its version: not true of the new image.
_OF_THE_BASE = ("container", "container_config", "comment", "docker_version")


class Wish(Value):
    """What the user asks for. `change` is done to the container's settings; `pause`: let it stand still meanwhile."""

    names: tuple[Reference, ...] = ()
    message: str = ""
    author: str = ""
    pause: bool = True
    change: Callable[[ContainerConfig], ContainerConfig] = lambda config: config


def commit(containers: Containers, container: Container, wish: Wish) -> Image:
    """The image of `container` as it is now, durable when this returns; the container goes on with what it has written.

    Volumes are no part of it. Raises NotFound, Unavailable, InvalidInput for a `change` that makes no sense.
    """
    store = containers.store
    store.leases.session.hold_image(Digest.parse(container.image))
    base = store.images.config(Digest.parse(container.image))
    settings = wish.change(settings_of(container, base.config))
    store.layers.stack(base.diff_ids)  # what is compared with a damaged layer would be wrong itself
    layer = _layer(containers, container, pause=wish.pause)
    config = _config(base, settings, container, wish, layer.diff_id if layer else None)
    parent = Digest.parse(container.image)
    image = publish(store, config, tags=wish.names, parent=parent if store.images.get(parent) else None)
    names = ",".join(name.familiar for name in wish.names)
    containers.note(container, "commit", comment=wish.message, imageID=image.id, imageRef=names)
    return image


def _layer(containers: Containers, container: Container, *, pause: bool) -> Layer | None:
    """What it has written: where it runs, a copy; else the thing itself, if it lies in a directory of its own."""
    store, lowers = containers.store, containers.layers(container)
    upper: Callable[[str], Path] | None = getattr(containers.snapshotter, "upper", None)
    with Capture(store) as copy:
        with _held(containers, container, pause=pause) as stopped:
            if stopped and upper:
                return lend(store, container.id, upper(container.id).parent, lowers, OWN)
            with containers.snapshotter.written(container.id) as written:
                copy.take(written)
        if containers.load(container.id) is None:  # removed by force meanwhile: the copy may be a part only
            raise NoSuchContainer(container.name)
        return copy.enter(lowers, OWN)


@contextlib.contextmanager
def _held(containers: Containers, container: Container, *, pause: bool) -> Iterator[bool]:
    """For the block nobody starts or removes the container, which does not run if this gives True; one that runs stands still
    if `pause` says so."""
    with contextlib.ExitStack() as stack:
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            lock = containers.lock(container)
            if lock:
                stack.callback(lock.release)
                break
            if not pause and containers.status(container).running:
                break
            try:
                stack.enter_context(frozen(containers, container))
                break
            except NotRunning:  # it has just ended, or is about to start
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        yield lock is not None


def settings_of(container: Container, base: ContainerConfig) -> ContainerConfig:
    """What a container like this one would need an image to say. ONBUILD is for builds; it is not inherited."""
    added = {f"HOSTNAME={container.hostname}", PATH} - set(base.env)
    return replace(
        base, env=tuple(pair for pair in container.env if pair not in added), cmd=container.cmd or None,
        entrypoint=container.entrypoint or None, user=container.user, labels=dict(container.labels),
        working_dir=base.working_dir if container.cwd == (base.working_dir or "/") else container.cwd,
        exposed_ports=container.exposed_ports,
        volumes=tuple(sorted({*base.volumes, *container.volumes})), on_build=(), args_escaped=False,
        stop_signal=base.stop_signal if container.stop_signal == (base.stop_signal or "SIGTERM") else container.stop_signal,
    )  # fmt: skip


def _config(
    base: ImageConfig, settings: ContainerConfig, container: Container, wish: Wish, diff_id: DiffID | None
) -> ImageConfig:
    created = format_instant(time.time_ns())
    step = History(created, " ".join(container.cmd), wish.message, wish.author, empty_layer=diff_id is None)
    return base.changed(
        config=settings, diff_ids=(*base.diff_ids, *([diff_id] if diff_id else [])), history=(*base.history, step),
        created=created, author=wish.author,
        extra={name: value for name, value in base.extra.items() if name not in _OF_THE_BASE},
    )  # fmt: skip
