"""The image config: how an image runs and what its layers are (image-spec config.md, with Docker's fields)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from core.errors import InvalidInput
from core.value import Value, field, replace
from image.digest import DiffID, Digest
from image.documents import canonical_json, parse_object
from image.platform import Platform, host_platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self


class HealthCheck(Value):
    """Times are nanoseconds, 0 means inherit (Docker's `Healthcheck`)."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        numbers = (data.get(k) or 0 for k in ("Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"))
        try:
            return cls(_words(data.get("Test")) or (), *(int(n) for n in numbers))
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the image config's Healthcheck makes no sense: {error}") from error

    def to_json(self) -> dict[str, Any]:
        names = {"Interval": self.interval, "Timeout": self.timeout, "StartPeriod": self.start_period,
                 "StartInterval": self.start_interval, "Retries": self.retries}  # fmt: skip
        return {"Test": list(self.test)} | {k: v for k, v in names.items() if v}


class ContainerConfig(Value):
    """The `config` object: defaults for a container. None means not set, which is not the same as empty.

    `env` keeps the order and the `NAME=value` form; fields this version does not know are kept in `extra`.
    """

    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    working_dir: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] | None = None
    healthcheck: HealthCheck | None = None
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """From parsed JSON that nobody vouches for. Raises InvalidInput."""
        if data is None:
            data = {}
        if not isinstance(data, dict):
            raise InvalidInput("the image's config object is not an object")
        health = data.get("Healthcheck")
        return cls(
            _words(data.get("Env")) or (), _words(data.get("Cmd")), _words(data.get("Entrypoint")),
            str(data.get("WorkingDir") or ""), str(data.get("User") or ""), _labels(data.get("Labels")),
            _keys(data.get("ExposedPorts")), _keys(data.get("Volumes")), str(data.get("StopSignal") or ""),
            _words(data.get("Shell")), HealthCheck.from_json(health) if isinstance(health, dict) else None,
            _words(data.get("OnBuild")) or (), bool(data.get("ArgsEscaped")),
            {k: v for k, v in data.items() if k not in _KNOWN},
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        lists = {"Env": self.env, "OnBuild": self.on_build}
        optional = {"Cmd": self.cmd, "Entrypoint": self.entrypoint, "Shell": self.shell}
        keys = {"ExposedPorts": self.exposed_ports, "Volumes": self.volumes}
        texts = {"WorkingDir": self.working_dir, "User": self.user, "StopSignal": self.stop_signal}
        data: dict[str, Any] = {k: list(v) for k, v in lists.items() if v}
        data |= {k: list(v) for k, v in optional.items() if v is not None}
        data |= {k: {name: {} for name in sorted(v)} for k, v in keys.items() if v}
        data |= {k: v for k, v in texts.items() if v}
        if self.labels:
            data["Labels"] = dict(self.labels)
        if self.healthcheck:
            data["Healthcheck"] = self.healthcheck.to_json()
        if self.args_escaped:
            data["ArgsEscaped"] = True
        return data | dict(self.extra)


_KNOWN = {
    "Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels", "ExposedPorts", "Volumes", "StopSignal", "Shell",
    "Healthcheck", "OnBuild", "ArgsEscaped",
}  # fmt: skip


class History(Value):
    """How one layer, or a change of the config alone (`empty_layer`), came to be."""

    created: str = ""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False

    @classmethod
    def from_json(cls, data: Any) -> Self:
        if not isinstance(data, dict):
            raise InvalidInput("a history entry is not an object")
        created, created_by, comment, author = (
            str(data.get(k) or "") for k in ("created", "created_by", "comment", "author")
        )
        return cls(created, created_by, comment, author, bool(data.get("empty_layer")))

    def to_json(self) -> dict[str, Any]:
        texts = {"created": self.created, "created_by": self.created_by, "comment": self.comment, "author": self.author}
        return {k: v for k, v in texts.items() if v} | ({"empty_layer": True} if self.empty_layer else {})


class ImageConfig(Value):
    """The whole config blob. `created` is RFC 3339; unknown fields are kept in `extra`.

    `raw` are the bytes it was read from; one that was built or changed has none until `encode` gives them.
    """

    platform: Platform
    config: ContainerConfig = field(default_factory=ContainerConfig)
    diff_ids: tuple[DiffID, ...] = ()
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    raw: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Raises InvalidInput for what is no image config."""
        data = parse_object(raw, "the image config")
        rootfs = data.get("rootfs")
        diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
        if not isinstance(diff_ids, list) or not all(isinstance(d, str) for d in diff_ids):
            raise InvalidInput("the image config has no list of diff_ids")
        return cls(
            Platform.from_json(data), ContainerConfig.from_json(data.get("config")), tuple(map(DiffID.parse, diff_ids)),
            _history(data.get("history")), str(data.get("created") or ""),
            str(data.get("author") or ""), {k: v for k, v in data.items() if k not in _KNOWN_IMAGE}, raw,
        )  # fmt: skip

    def encode(self) -> bytes:
        """The config blob: the very bytes it was parsed from, else ours (sorted, the same for equal values)."""
        if self.raw is not None:
            return self.raw
        data: dict[str, Any] = dict(self.extra) | self.platform.to_json()
        data["config"] = self.config.to_json()
        data["rootfs"] = {"type": "layers", "diff_ids": [str(d) for d in self.diff_ids]}
        data["history"] = [h.to_json() for h in self.history]
        if self.created:
            data["created"] = self.created
        if self.author:
            data["author"] = self.author
        return canonical_json(data)

    @property
    def id(self) -> Digest:
        """The image ID: the sha256 of the config blob."""
        return Digest.of(self.encode())

    def changed(self, **fields: Any) -> ImageConfig:
        """A copy with `fields` replaced, which no longer has the original bytes."""
        return replace(self, **fields, raw=None)


_KNOWN_IMAGE = {"architecture", "os", "variant", "os.version", "config", "rootfs", "history", "created", "author"}


def scratch() -> ImageConfig:
    """The config that `FROM scratch` starts with: this machine's platform and nothing else."""
    return ImageConfig(host_platform())


def _words(data: Any) -> tuple[str, ...] | None:
    if data is None:
        return None
    if isinstance(data, str):
        return (data,)
    if not isinstance(data, Sequence) or not all(isinstance(word, str) for word in data):
        raise InvalidInput(f"expected a list of strings in the image config, found {str(data)[:80]}")
    return tuple(data)


def _labels(data: Any) -> dict[str, str]:
    if not isinstance(data, dict):
        return {}
    return {str(k): str(v) for k, v in data.items()}


def _history(data: Any) -> tuple[History, ...]:
    if not isinstance(data, list | None):
        raise InvalidInput("the history in the image config is not a list")
    return tuple(map(History.from_json, data or ()))


def _keys(data: Any) -> tuple[str, ...]:
    return tuple(sorted(map(str, data))) if isinstance(data, dict | list) else ()
