"""`inspect` of a container, in Docker's shape."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from core.clock import format_instant
from runtime.cgroups import OOM
from runtime.container import Container
from runtime.extras import Extras
from runtime.inspect_walls import walls
from runtime.log_options import LOG, LogOptions
from runtime.mounts import Mount
from runtime.restart import read_restarts
from runtime.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.containers import Containers

NEVER = "0001-01-01T00:00:00Z"


def inspect(containers: Containers, container: Container) -> dict[str, Any]:
    """Everything about `container` as `docker inspect` shows it."""
    directory, status = containers.directory(container), containers.status(container)
    return {
        "Id": container.id,
        "Created": container.created,
        "Path": container.command[0],
        "Args": list(container.command[1:]),
        "State": _state(status) | {"OOMKilled": out_of_memory(directory)} | _health(container, directory, status),
        "Image": container.image,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": "" if _log(container).driver == "none" else str(directory / LOG),
        "Name": f"/{container.name}",
        "RestartCount": read_restarts(directory).count if container.restart else 0,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": _host_config(container),
        "GraphDriver": {"Name": "overlay2", "Data": None},
        "Mounts": [described for mount in container.mounts if (described := _mount(mount, containers))],
        "Config": _config(container),
        "NetworkSettings": _network(containers, container),
    }


def _log(container: Container) -> LogOptions:
    return container.logging or LogOptions()


def _state(status: Status) -> dict[str, Any]:
    return {
        "Status": status.state,
        "Running": status.running or status.state == "restarting",  # Docker counts it as both
        "Paused": status.paused,
        "Restarting": status.state == "restarting",
        "Dead": False,
        "Pid": first_process(status.keeper) if status.running else 0,
        "ExitCode": status.exit_code,
        "Error": "",
        "StartedAt": format_instant(status.started) if status.started else NEVER,
        "FinishedAt": format_instant(status.finished) if status.finished else NEVER,
    }


def _health(container: Container, directory: Path, status: Status) -> dict[str, Any]:
    if not (container.health and container.health.command) or not status.started:
        return {}
    from runtime.health import read_record

    return {"Health": read_record(directory, status).to_json()}


def out_of_memory(directory: Path) -> bool:
    """Whether, when it ended, the kernel had killed of it for want of memory."""
    return (directory / OOM).exists()


def first_process(keeper: int) -> int:
    """The container's own number 1 as the host numbers it: the first process below the keeper in one more pid namespace."""
    depth, pid = len(_namespace_pids(keeper)), keeper
    if depth == len(_namespace_pids(os.getpid())):  # numbered with us: conmon has no other child
        return next(iter(children(keeper)), 0)
    while pid:
        if len(_namespace_pids(pid)) > depth:
            return pid
        pid = next(iter(children(pid)), 0)
    return 0


def _namespace_pids(pid: int) -> list[str]:
    return next(
        (line.split()[1:] for line in _read(f"/proc/{pid}/status").splitlines() if line.startswith("NSpid:")), []
    )


def children(pid: int) -> list[int]:
    return [int(word) for word in _read(f"/proc/{pid}/task/{pid}/children").split()]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _config(container: Container) -> dict[str, Any]:
    extras = container.extras or Extras()
    return {
        "Hostname": container.hostname,
        "Domainname": extras.domainname,
        "User": container.user,
        "AttachStdin": "stdin" in extras.attached if extras.attached else container.stdin_open,
        "AttachStdout": not extras.attached or "stdout" in extras.attached,
        "AttachStderr": not extras.attached or "stderr" in extras.attached,
        "ExposedPorts": {port: {} for port in container.exposed_ports},
        "Tty": container.tty,
        "OpenStdin": container.stdin_open,
        "StdinOnce": container.stdin_open,
        "Env": list(container.env),
        "Cmd": list(container.cmd) or None,
        "Image": container.image_name,
        "Volumes": {path: {} for path in container.volumes} or None,
        "WorkingDir": container.cwd,
        "Entrypoint": list(container.entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(container.labels),
        "StopSignal": container.stop_signal,
        "StopTimeout": container.stop_timeout,
        **({"Healthcheck": container.health.to_json()} if container.health else {}),
    }


def _host_config(container: Container) -> dict[str, Any]:
    binds = [mount.flag for mount in container.mounts if mount.flag]
    asked = [_asked(m) for m in container.mounts if not m.flag and not m.own and m.kind != "tmpfs"]
    from_others = container.volume_flags.volumes_from if container.volume_flags else ()
    tmpfs = {m.target: ",".join(m.options) for m in container.mounts if m.kind == "tmpfs"}
    return {
        "Binds": binds or None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": _log(container).driver, "Config": dict(_log(container).options)},
        "NetworkMode": container.network,
        "PortBindings": _port_bindings(container),
        "RestartPolicy": container.restart.to_json() if container.restart else {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": container.auto_remove,
        "GroupAdd": list((container.extras or Extras()).groups) or None,
        **({"Annotations": container.extras.annotated()} if container.extras and container.extras.annotations else {}),
        "CapAdd": list(container.cap_add) or None,
        "CapDrop": list(container.cap_drop) or None,
        "ExtraHosts": list(container.add_hosts) or None,
        "Privileged": container.privileged,
        "PublishAllPorts": container.net is not None and container.net.publish_all,
        "ReadonlyRootfs": container.read_only,
        "Tmpfs": tmpfs or None,
        "VolumesFrom": list(from_others) or None,
        "VolumeDriver": container.volume_flags.volume_driver if container.volume_flags else "",
        **({"Mounts": asked} if asked else {}),
        "ShmSize": container.shm_size,
        "Init": container.init,
        "Isolation": "",
        **_NOT_THERE,
        **walls(container),
        **_names(container),
    }


# What no container has here, under the names where scripts look.
_NOT_THERE: dict[str, Any] = {
    "Links": None, "Dns": [], "DnsOptions": [], "DnsSearch": [],
    "DeviceRequests": None,
}  # fmt: skip


def _port_bindings(container: Container) -> dict[str, Any]:
    if not container.ports:
        return {}
    from runtime.attached import bindings

    return bindings(container)


def _names(container: Container) -> dict[str, Any]:
    net = container.net
    if net is None:
        return {}
    return {
        "Links": list(net.links) or None,
        "Dns": list(net.dns),
        "DnsOptions": list(net.dns_options),
        "DnsSearch": list(net.dns_search),
    }


def _network(containers: Containers, container: Container) -> dict[str, Any]:
    if container.net is not None:
        from runtime.attached import Attached

        return Attached(containers.root).settings(container)
    addresses: dict[str, Any] = {
        "EndpointID": "", "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "IPv6Gateway": "", "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0, "MacAddress": "",
    }  # fmt: skip
    network = {"IPAMConfig": None, "Links": None, "Aliases": None, "NetworkID": "", "DriverOpts": None, **addresses}
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": {},
        **addresses,
        "Networks": {container.network: network},
    }


def _mount(mount: Mount, containers: Containers) -> dict[str, Any] | None:
    """None for what --tmpfs asked for: Docker shows that in HostConfig alone."""
    if mount.kind == "volume":
        place = containers.store.volumes.path(mount.name)
        return {
            "Type": "volume", "Name": mount.name, "Source": str(place), "Destination": mount.target, "Driver": mount.driver,
            "Mode": mount.mode, "RW": not mount.read_only, "Propagation": "",
        }  # fmt: skip
    propagation = next((word for word in mount.options if word.endswith(("private", "slave"))), "rprivate")
    return {
        "Type": mount.kind, "Source": mount.name if mount.kind == "image" else mount.source, "Destination": mount.target,
        "Mode": mount.mode, "RW": not mount.read_only, "Propagation": propagation if mount.kind == "bind" else "",
    }  # fmt: skip


def _asked(mount: Mount) -> dict[str, Any]:
    """A mount of --mount as HostConfig has it."""
    asked: dict[str, Any] = {"Type": mount.kind, "Source": mount.name or mount.source, "Target": mount.target}
    return asked | ({"ReadOnly": True} if mount.read_only else {})
