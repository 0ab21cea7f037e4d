"""A container as it was created: everything that does not change afterwards, kept as config.json in its directory."""

from __future__ import annotations

from collections.abc import Mapping

from core import plain_json as json
from core.errors import Integrity
from core.value import Value, field
from runtime.mounts import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

    from runtime.extras import Extras
    from runtime.health import Health
    from runtime.isolation import Isolation
    from runtime.limits import Limits
    from runtime.log_options import LogOptions
    from runtime.networking import Networking
    from runtime.restart import Restart
    from runtime.volumes import Asked

# Fields that few containers have, each a Value of plain fields in a module that is loaded only for those that have it.
PARTS: dict[str, str] = {
    "limits": "runtime.limits:Limits",
    "isolation": "runtime.isolation:Isolation",
    "restart": "runtime.restart:Restart",
    "health": "runtime.health:Health",
    "net": "runtime.networking:Networking",
    "volume_flags": "runtime.volumes:Asked",
    "extras": "runtime.extras:Extras",
    "logging": "runtime.log_options:LogOptions",
}


class Container(Value):
    """`id` is 64 hex digits, `image` the image's ID, `image_name` what the user called it, `created` RFC 3339.

    `volumes` are container paths that get an anonymous volume each unless something else is mounted there;
    `stop_timeout` is in seconds, None is the default, -1 for ever; `shm_size` is in bytes; `seccomp` is `default`, `unconfined` or a profile's path;
    `made_by` are the directory and the words of the command that made it, where there was one.
    """

    id: str
    name: str
    image: str
    image_name: str
    created: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    hostname: str
    labels: Mapping[str, str] = field(hash=False)
    network: str
    stop_signal: str
    stop_timeout: int | None
    mounts: tuple[Mount, ...]
    volumes: tuple[str, ...]
    ports: tuple[str, ...]
    exposed_ports: tuple[str, ...]
    add_hosts: tuple[str, ...]
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    shm_size: int
    seccomp: str
    tty: bool
    stdin_open: bool
    read_only: bool
    privileged: bool
    init: bool
    auto_remove: bool
    limits: Limits | None = None
    isolation: Isolation | None = None
    restart: Restart | None = None
    health: Health | None = None
    made_by: tuple[str, ...] = ()
    net: Networking | None = None
    volume_flags: Asked | None = None
    extras: Extras | None = None
    logging: LogOptions | None = None

    @property
    def supervised(self) -> bool:
        """Whether it is to have a supervisor while it runs."""
        return bool(self.restart or (self.health and self.health.command))

    @property
    def short_id(self) -> str:
        """The first 12 digits, as people read them."""
        return self.id[:12]

    @property
    def command(self) -> tuple[str, ...]:
        """What is executed."""
        return self.entrypoint + self.cmd

    @property
    def plain(self) -> bool:
        """Whether its walls are the usual ones, and nothing is limited: the machine's usual runtime starts it as it is."""
        loose = self.privileged or any("dev" in mount.options for mount in self.mounts)
        return not loose and self.limits is None and self.isolation is None

    def encode(self) -> bytes:
        """As JSON."""
        data = dict(vars(self))
        data["labels"] = dict(self.labels)
        data["mounts"] = [list(vars(mount).values()) for mount in self.mounts]
        for name in PARTS:
            data[name] = dict(vars(data[name])) if data[name] else None
        return json.dumps(data, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes, where: str) -> Self:
        """What `encode` gave. Raises Integrity, naming `where`."""
        try:
            data: dict[str, Any] = json.loads(raw)
            data = {name: data[name] for name in cls._fields if name in data}
            for name, value in data.items():
                if value.__class__ is list:
                    data[name] = tuple(value)
                elif value and name in PARTS:
                    data[name] = _part(PARTS[name], value)
            data["mounts"] = tuple(Mount(*map(_frozen, fields)) for fields in data["mounts"])
            return cls(**data)
        except (ValueError, KeyError, TypeError) as error:
            raise Integrity(f"{where} is damaged: {error}", "remove the container's directory") from error


def _part(target: str, data: dict[str, Any]) -> Any:
    module, _, name = target.partition(":")
    kind = getattr(__import__(module, fromlist=[name]), name)
    return kind(**{key: _frozen(value) for key, value in data.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
