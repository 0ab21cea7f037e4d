"""`lamella info`."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cli.settings import Settings
    from runtime.engine import Engine
    from store.store import Store

_TEXT = (
    ("Version", "ServerVersion"), ("Root", "DockerRootDir"), ("Images", "Images"), ("Containers", "Containers"),
    (" Running", "ContainersRunning"), (" Stopped", "ContainersStopped"), ("Storage Driver", "Driver"),
    ("Runtime", "DefaultRuntime"), ("Logging Driver", "LoggingDriver"), ("Cgroup Version", "CgroupVersion"),
    ("Kernel Version", "KernelVersion"), ("Operating System", "OperatingSystem"), ("Architecture", "Architecture"),
    ("CPUs", "NCPU"), ("Name", "Name"), ("Rootless", "Rootless"), ("Python Version", "PythonVersion"), ("SQLite Version", "SQLiteVersion"),
)  # fmt: skip


@click.command(short_help="Show what this installation is and can do")
@click.option("-f", "--format", "template", metavar="FORMAT", help="json, or a Go template.")
@click.pass_obj
def info(settings: Settings, template: str | None) -> None:
    """Show what this installation is and can do: where it keeps things, how it stores and runs them, on which machine.

    \b
    Examples:
      lamella info
      lamella info --format '{{.Driver}} {{.DefaultRuntime}}'
    """
    from cli.output import render, write
    from cli.wiring import open_store

    with open_store(settings) as store:
        facts = {**_store_facts(store), **_runtime_facts(settings), **_machine_facts(), **_versions()}
    write(render(template, facts) + "\n" if template else _text(facts))


def _text(facts: dict[str, Any]) -> str:
    from core.units import human_size

    lines = [f"{title}: {facts[key]}" for title, key in _TEXT]
    memory = f"Total Memory: {human_size(facts['MemTotal'], binary=True, digits=4)}"
    runtimes = "".join(f"\n {name}: {entry['path']}" for name, entry in facts["Runtimes"].items())
    warnings = "".join(f"\nWARNING: {warning}" for warning in facts["Warnings"])
    return "\n".join([*lines, memory, f"Runtimes:{runtimes}"]) + warnings + "\n"


def _store_facts(store: Store) -> dict[str, Any]:
    from snapshot.choose import choose

    containers = [hold for hold in store.holds.all() if hold.kind == "container"]
    running = sum(hold.running for hold in containers)
    return {
        "ID": "",
        "Containers": len(containers),
        "ContainersRunning": running,
        "ContainersPaused": 0,
        "ContainersStopped": len(containers) - running,
        "Images": store.images.count(),
        "Driver": {"Overlay": "overlay2", "Copying": "vfs"}.get(kind := type(choose(store.root)).__name__, kind),
        "DriverStatus": [["Snapshotter", kind.lower()]],
        "DockerRootDir": str(store.root),
        "LoggingDriver": "k8s-file",
    }


def _runtime_facts(settings: Settings) -> dict[str, Any]:
    from core.rootless import outer_uid
    from runtime.probe import PACKAGES, installed

    engine = _engine(settings)
    name = engine.name if engine else ""
    runtimes = {found: {"path": path} for found, path, _ in installed()}
    warnings = [] if engine and engine.path else [f"no OCI runtime starts here; {PACKAGES}"]
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    return {
        "Runtimes": runtimes,
        "DefaultRuntime": name or "chroot",
        "CgroupDriver": "cgroupfs" if engine and engine.cgroups else "none",
        "CgroupVersion": "2" if unified else "1",
        "SecurityOptions": ["name=rootless"] if outer_uid() else [],
        "Swarm": {"LocalNodeState": "inactive"},
        "Rootless": bool(outer_uid()),
        "Warnings": warnings,
    }


def _engine(settings: Settings) -> Engine | None:
    """The runtime that would be used; None where nobody may find out."""
    from core.errors import LamellaError
    from core.namespaces import enter_private_mounts
    from runtime.probe import choose
    from runtime.state import state_directory

    with contextlib.suppress(LamellaError, OSError):
        enter_private_mounts()
        return choose(state_directory(settings.root))
    return None


def _machine_facts() -> dict[str, Any]:
    system = os.uname()
    return {
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "KernelVersion": system.release,
        "OperatingSystem": _pretty_name(),
        "OSType": "linux",
        "Architecture": system.machine,
        "Name": system.nodename,
    }


def _pretty_name() -> str:
    with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip('"')
    return "Linux"


def _versions() -> dict[str, Any]:
    """What lamella consists of."""
    import platform
    import sqlite3

    from core.version import VERSION

    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    client: dict[str, Any] = {"Version": VERSION, "Context": "default", "Plugins": [], "Warnings": None}
    return {"ServerVersion": VERSION, "PythonVersion": python, "SQLiteVersion": sqlite, "ClientInfo": client}
