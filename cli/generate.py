"""`lamella generate systemd`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers
from cli.main import LazyGroup
from cli.settings import Settings
from cli.unit import POLICIES

if TYPE_CHECKING:
    from cli.unit import Unit
    from runtime.container import Container

TABLE = {"systemd": ("cli.generate:systemd", "Write a systemd unit that runs a container")}


@click.group(cls=LazyGroup, table=TABLE, short_help="Write files for other programs")
def generate() -> None:
    """Write files for other programs."""


@click.command(short_help="Write a systemd unit that runs a container")
@click.argument("name", required=False, metavar="CONTAINER", shell_complete=complete_containers)
@click.option(
    "--new", is_flag=True, help="Make a new container at each start, as this one was made, and remove it at the end."
)
@click.option("-n", "--name", "by_name", is_flag=True, help="Use the container's name, not its ID.")
@click.option("-f", "--files", is_flag=True, help="Write the unit to a file here, and print its path.")
@click.option(
    "--restart-policy",
    type=click.Choice(POLICIES),
    default="on-failure",
    help="When systemd starts it again.  [default: on-failure]",
)
@click.option(
    "-t",
    "--stop-timeout",
    type=int,
    metavar="SECONDS",
    help="How long it may take to stop.  [default: the container's, or 10]",
)
@click.option(
    "-a", "--all", "everything", is_flag=True, help="One unit that starts all containers with a restart policy at boot."
)
@click.pass_obj
def systemd(
    settings: Settings, name: str | None, new: bool, by_name: bool, files: bool, restart_policy: str,
    stop_timeout: int | None, everything: bool,
) -> None:  # fmt: skip
    """Write a systemd unit that runs a container, and starts it again after a reboot.

    \b
    Examples:
      lamella generate systemd --name web > /etc/systemd/system/container-web.service
      lamella generate systemd --new --files --name web
      lamella generate systemd --all > /etc/systemd/system/lamella-restart.service
    """
    from cli.containers import Workshop
    from cli.unit import at_boot

    if everything == bool(name):
        raise click.UsageError("name one container, or say --all")
    if everything:
        return _give("lamella-restart.service", at_boot(_program(settings), str(settings.root)), files)
    with Workshop(settings) as shop:
        container = shop.containers.find(name or "")
    called = container.name if by_name else container.id
    unit = _anew(settings, container) if new else _again(settings, container, called)
    from core.value import replace

    changes = {"restart": restart_policy} | ({} if stop_timeout is None else {"stop_timeout": stop_timeout})
    return _give(f"container-{called}.service", replace(unit, **changes).text(), files)


def _program(settings: Settings) -> list[str]:
    """lamella as it was called, on this store."""
    import shutil

    found = shutil.which(sys.argv[0]) or shutil.which("lamella") or "/usr/local/bin/lamella"
    return [os.path.abspath(found), "--root", str(settings.root)]


def _again(settings: Settings, container: Container, called: str) -> Unit:
    """The container as it is, started and stopped."""
    from cli.unit import Unit

    program, timeout = _program(settings), _timeout(container)
    end = [*program, "stop", "-t", str(timeout), called]
    return Unit(
        f"lamella container {container.name}",
        str(settings.root),
        [*program, "start", called],
        end,
        stop_timeout=timeout,
    )


def _anew(settings: Settings, container: Container) -> Unit:
    """Another one each time, by the flags that made this one."""
    from cli.container_table import RUN
    from cli.unit import Unit, anew
    from core.errors import Unsupported

    if not container.made_by:
        raise Unsupported(f"nothing is known of how {container.name} was made", "leave out --new")
    directory, *words = container.made_by
    switches = [name for names, options in RUN if options.get("is_flag") for name in names]
    flags, rest = anew(words, switches)
    program, timeout, name = _program(settings), _timeout(container), container.name
    begin = [*program, "run", "--name", name, "-d", "--rm", *flags, *rest]
    return Unit(
        f"lamella container {name}", str(settings.root), begin, [*program, "stop", "-t", str(timeout), name],
        [*program, "rm", "-f", name], stop_timeout=timeout, directory=directory,
    )  # fmt: skip


def _timeout(container: Container) -> int:
    return 10 if container.stop_timeout is None else container.stop_timeout


def _give(name: str, text: str, files: bool) -> None:
    from cli.output import write
    from core.files import write_file

    if not files:
        return write(f"# {name}\n{text}")
    from pathlib import Path

    path = Path.cwd() / name
    write_file(path, f"# {name}\n{text}".encode(), mode=0o644)
    return write(f"{path}\n")
