"""What a user asks for, merged with what the image says, gives a container (Docker's rules at create)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from core.clock import now
from core.errors import InvalidInput
from core.paths import clean
from core.value import Value, field
from image.config import ContainerConfig
from runtime.container import Container
from runtime.mounts import Mount
from runtime.streams import PATH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from image.config import HealthCheck
    from runtime.extras import Extras
    from runtime.health import Health
    from runtime.isolation import Isolation
    from runtime.limits import Limits
    from runtime.log_options import LogOptions
    from runtime.networking import Networking
    from runtime.restart import Restart

MAX_PATH = 4096  # bytes, with the NUL at the end


class Request(Value):
    """The flags of `run` and `create` as values. None and empty mean: as the image has it.

    `volume_wishes` are `runtime.volumes.Wish`es, for volumes that are to be made in a special way.
    """

    image_name: str
    args: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    name: str = ""
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    network: str = "host"
    stop_signal: str = ""
    stop_timeout: int | None = None
    mounts: tuple[Mount, ...] = ()
    volumes: tuple[str, ...] = ()
    volumes_from: tuple[str, ...] = ()
    volume_driver: str = ""
    volume_wishes: tuple[Any, ...] = ()
    ports: tuple[str, ...] = ()
    add_hosts: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    shm_size: int = 64 << 20
    seccomp: str = "default"
    tty: bool = False
    stdin_open: bool = False
    read_only: bool = False
    privileged: bool = False
    init: bool = False
    auto_remove: bool = False
    limits: Limits | None = None
    isolation: Isolation | None = None
    restart: Restart | None = None
    health: HealthCheck | None = None
    made_by: tuple[str, ...] = ()
    net: Networking | None = None
    extras: Extras | None = None
    logging: LogOptions | None = None


def merge(request: Request, id: str, name: str, image: str, config: ContainerConfig) -> Container:
    """The container that `request` makes of an image with `config`. Raises InvalidInput where there is nothing to run."""
    from runtime.capabilities import choose
    from runtime.signals import number_of

    entrypoint, cmd = command(request, config)
    choose(add=request.cap_add, drop=request.cap_drop)  # so that a wrong name is said now
    stop_signal = request.stop_signal or config.stop_signal or "SIGTERM"
    number_of(stop_signal)
    hostname = request.hostname or (os.uname().nodename if request.network == "host" else id[:12])
    check_paths(request.cwd or config.working_dir, (*config.volumes, *request.volumes))
    return Container(
        id=id, name=name, image=image, image_name=request.image_name, created=now(), entrypoint=entrypoint, cmd=cmd,
        env=merged_env(config.env, (f"HOSTNAME={hostname}", *request.env)), cwd=request.cwd or config.working_dir or "/",
        user=request.user or config.user, hostname=hostname, labels={**config.labels, **request.labels},
        network=request.network, stop_signal=stop_signal, stop_timeout=request.stop_timeout, mounts=request.mounts,
        volumes=tuple(dict.fromkeys((*config.volumes, *request.volumes))),
        ports=request.ports, exposed_ports=config.exposed_ports, add_hosts=request.add_hosts, cap_add=request.cap_add,
        cap_drop=request.cap_drop, shm_size=request.shm_size, seccomp=request.seccomp, tty=request.tty,
        stdin_open=request.stdin_open, read_only=request.read_only, privileged=request.privileged, init=request.init,
        auto_remove=request.auto_remove, limits=request.limits, isolation=request.isolation, restart=request.restart,
        health=_health(request, config), made_by=request.made_by, net=request.net, extras=request.extras,
        logging=request.logging,
    )  # fmt: skip


def _health(request: Request, config: ContainerConfig) -> Health | None:
    if request.health is None and config.healthcheck is None:
        return None
    from runtime.health import merge

    return merge(request.health, config.healthcheck, config.shell)


def check_paths(cwd: str, volumes: Iterable[str]) -> None:
    """Whether the kernel can take what an image calls its paths. Raises InvalidInput."""
    for what, path in (("working directory", cwd), *(("volume", volume) for volume in volumes)):
        if "\0" in path or len(os.fsencode(path)) >= MAX_PATH:
            raise InvalidInput(
                f"the {what} {path[:60]!r} cannot be a path", "a path has no NUL, and less than 4096 bytes"
            )
        if what == "volume":
            _check_volume(path)


def _check_volume(path: str) -> None:
    """What an image fills must not stand where runtimes and masks trust the kernel's own files (CVE-2019-16884,
    CVE-2025-31133). Raises InvalidInput."""
    place = clean(path)
    if place == "/":
        raise InvalidInput(f"invalid volume {path!r}: it would hide the whole image", "give it a directory")
    if place == "/dev" or f"{place}/".startswith(("/proc/", "/sys/")):
        raise InvalidInput(f"invalid volume {path!r}: it would hide what the kernel has there", "give it another place")


def command(request: Request, config: ContainerConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entrypoint and arguments: the image's CMD counts only where its ENTRYPOINT was not replaced."""
    if request.entrypoint is not None:
        entrypoint, cmd = request.entrypoint, request.args
    else:
        entrypoint, cmd = config.entrypoint or (), request.args or config.cmd or ()
    if not entrypoint + cmd:
        raise InvalidInput("no command specified", "the image has neither CMD nor ENTRYPOINT: name a command")
    return entrypoint, cmd


def merged_env(base: Iterable[str], own: Sequence[str]) -> tuple[str, ...]:
    """`base` with the values of `own` put over it by name; a bare name in `own` takes the variable away. PATH is always set."""
    values = {"PATH": PATH}
    for pair in (*base, *own):
        name, equals, _ = pair.partition("=")
        if equals:
            values[name] = pair
        else:
            values.pop(name, None)
    return tuple(values.values())
