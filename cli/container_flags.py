"""What the flags of `cli.container_table` mean: the Request they make."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.mounts import Mount


def make_request(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: str) -> Any:
    """The Request that parsed flags mean. Raises InvalidInput, Unsupported."""
    from runtime.request import Request

    mounts, anonymous, wishes = mounted(flags, cwd)
    network, net = networking(flags)
    entrypoint = flags["entrypoint"]
    return Request(
        image_name=flags["image"], args=tuple(flags["command"]),
        entrypoint=None if entrypoint is None else tuple(filter(None, (entrypoint,))),
        env=environment(flags["env_file"], flags["env"], environ), cwd=flags["workdir"], user=flags["user"],
        name=flags["name"], hostname=flags["hostname"], labels=labels(flags["label_file"], flags["label"]),
        network=network, net=net, stop_signal=flags["stop_signal"], stop_timeout=flags["stop_timeout"],
        mounts=mounts, volumes=anonymous, volumes_from=tuple(flags["volumes_from"]),
        volume_driver=flags["volume_driver"] or "", volume_wishes=wishes,
        ports=tuple(flags["publish"]), add_hosts=tuple(flags["add_host"]), cap_add=tuple(flags["cap_add"]),
        cap_drop=tuple(flags["cap_drop"]), shm_size=shm_size(flags["shm_size"]), seccomp=seccomp(flags["security_opt"]),
        tty=flags["tty"], stdin_open=flags["interactive"], read_only=flags["read_only"], privileged=flags["privileged"],
        init=flags["init"], auto_remove=flags["rm"], **fenced(flags), **supervised(flags), **extra(flags),
        made_by=(cwd, *command_words(sys.argv)),
    )  # fmt: skip


def extra(flags: Mapping[str, Any]) -> dict[str, Any]:
    """What few runs ask for: further groups, a domain name, some streams only, annotations, a log of another kind."""
    found: dict[str, Any] = {}
    if flags["group_add"] or flags["domainname"] or flags["attach"] or flags["annotation"]:
        from runtime.extras import Extras

        groups, annotations = tuple(flags["group_add"]), tuple(flags["annotation"])
        found["extras"] = Extras(flags["domainname"], groups, streams(flags["attach"]), annotations)
    if flags["log_driver"] or flags["log_opt"]:
        from runtime.log_options import parse

        found["logging"] = logging = parse(flags["log_driver"], tuple(flags["log_opt"]))
        if logging and logging.files > 1:
            sys.stderr.write(f"WARNING: max-file={logging.files} keeps one file of {logging.files} times the size\n")
    if flags["platform"]:
        check_platform(flags["platform"])
    return found


def streams(words: tuple[str, ...]) -> tuple[str, ...]:
    """The streams that -a names, in any case. Raises InvalidInput."""
    from core.errors import InvalidInput

    for word in words:
        if word.lower() not in ("stdin", "stdout", "stderr"):
            raise InvalidInput(
                f'invalid argument "{word}" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'
            )
    return tuple(dict.fromkeys(word.lower() for word in words))


def check_platform(text: str) -> None:
    """Raises Unsupported for a platform that is not this machine's."""
    from core.errors import Unsupported
    from image.platform import Platform, host_platform

    ours = host_platform()
    if text != ours.os and Platform.parse(text) != ours:
        raise Unsupported(f"this machine runs {ours} only, not {text}", "images run on this machine's platform only")


def command_words(argv: Sequence[str]) -> Sequence[str]:
    """What follows `run` or `create` in our own command line; nothing where we were called in another way."""
    at = next(
        (at for at, word in enumerate(argv) if at and word in ("run", "create") and argv[at - 1] != "--root"), None
    )
    return () if at is None else argv[at + 1 :]


def mounted(flags: Mapping[str, Any], cwd: str) -> tuple[tuple[Mount, ...], tuple[str, ...], tuple[Any, ...]]:
    """The mounts and the anonymous volumes that -v, --mount and --tmpfs ask for, and how volumes are to be made."""
    if not (flags["volume"] or flags["mount"] or flags["tmpfs"]):
        return (), (), ()
    found: list[Mount] = []
    anonymous: tuple[str, ...] = ()
    wishes: tuple[Any, ...] = ()
    if flags["tmpfs"]:
        from cli.mount_flags import tmpfs

        found += tmpfs(flags["tmpfs"])
    if flags["mount"]:
        from cli.mount_spec import mounts

        asked, wishes = mounts(flags["mount"], cwd)
        found += asked
    if flags["volume"]:
        from cli.volume_flags import volumes

        binds, anonymous = volumes(flags["volume"], cwd)
        found += binds
    return _all_different(found), anonymous, wishes


def _all_different(mounts: list[Mount]) -> tuple[Mount, ...]:
    targets: set[str] = set()
    for mount in mounts:
        if mount.target in targets:
            from core.errors import InvalidInput

            raise InvalidInput(f"Duplicate mount point: {mount.target}", "mount one thing at a place")
        targets.add(mount.target)
    return tuple(mounts)


# Of the tables ISOLATION and LIMITS, all that a plain run does not have.
_FENCES = (
    "security_opt", "pid", "ipc", "uts", "userns", "uidmap", "gidmap", "cgroupns", "ulimit", "sysctl", "device", "device_cgroup_rule",
    "oom_score_adj", "runtime", "gpus", "storage_opt", "isolation", "memory", "memory_swap", "memory_reservation",
    "memory_swappiness", "oom_kill_disable", "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems",
    "pids_limit", "blkio_weight", "blkio_weight_device", "device_read_bps", "device_write_bps", "device_read_iops",
    "device_write_iops", "cgroup_parent",
)  # fmt: skip


def fenced(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The limits and the unusual walls that the flags ask for; warns of what this host cannot do."""
    if all(flags[name] in (None, (), False) for name in _FENCES):
        return {}
    from cli.fencing import fences

    found, warnings = fences(flags)
    for warning in warnings:
        sys.stderr.write(f"WARNING: {warning}\n")
    return found


# Of the table SUPERVISION, what a plain run does not have.
_SUPERVISION = (
    "health_cmd", "health_interval", "health_timeout", "health_retries", "health_start_period", "health_start_interval",
    "no_healthcheck",
)  # fmt: skip


def supervised(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The restart policy and the health check that the flags ask for."""
    if flags["restart"] in ("", "no") and not any(flags[name] for name in _SUPERVISION):
        return {}
    from cli.supervision_flags import health, restart

    return {"restart": restart(flags), "health": health(flags)}


def shm_size(text: str | None) -> int:
    """Bytes; Docker's 64 MiB where nothing is asked for."""
    if text is None:
        return 64 << 20
    from core.units import parse_size

    return parse_size(text)


def networking(flags: Mapping[str, Any]) -> tuple[str, Any]:
    """The network's mode, and what else is asked of it; None where that is nothing."""
    networks = flags["network"]
    if not wants_networks(flags) and not any(flags[name] for name in _NETWORK_FLAGS):
        return networks[0], None
    from cli.network_flags import parse

    return parse(networks, flags)


def wants_networks(flags: Mapping[str, Any]) -> bool:
    """Whether the container is to come onto networks of its own; see `cli.default_network` for where none is named."""
    return flags["network"] not in (("host",), ("none",))


_NETWORK_FLAGS = (
    "publish", "publish_all", "network_alias", "ip", "ip6", "mac_address", "link", "dns", "dns_search", "dns_option", "expose",
)  # fmt: skip


def environment(files: tuple[str, ...], flags: tuple[str, ...], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Variables from files, then from flags; a bare NAME takes our own value, or takes the variable away."""
    found = []
    for text in (*(line for file in files for line in lines(file, "--env-file")), *flags):
        name, equals, _ = text.partition("=")
        if not name:
            from core.errors import InvalidInput

            raise InvalidInput(f"invalid environment variable: {text}", "write it as NAME=value")
        found.append(text if equals or name not in environ else f"{name}={environ[name]}")
    return tuple(found)


def labels(files: tuple[str, ...], flags: tuple[str, ...]) -> dict[str, str]:
    """Labels from files, then from flags."""
    texts = [*(line for file in files for line in lines(file, "--label-file")), *flags]
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def lines(path: str, flag: str) -> list[str]:
    """The lines of a file that say something."""
    from core.errors import InvalidInput

    try:
        with open(path, encoding="utf-8") as file:
            texts = [line.lstrip().rstrip("\r\n") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read {flag} {path}: {getattr(error, 'strerror', None) or error}") from error
    return [text for text in texts if text and not text.startswith("#")]


def seccomp(options: tuple[str, ...]) -> str:
    """The profile that `--security-opt` chooses; `cli.isolation_flags` reads the other options."""
    chosen = "default"
    for option in options:
        key, _, value = option.partition("=" if "=" in option else ":")
        if key == "seccomp":
            chosen = value if value in ("default", "builtin", "unconfined") else os.path.abspath(value)
    return chosen
