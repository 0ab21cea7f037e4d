"""`lamella start`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers
from cli.exit import Exit, protect
from cli.settings import Settings
from cli.spelling import DockerCommand
from core.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.containers import Workshop
    from runtime.attach import Manner
    from runtime.container import Container


@click.command(cls=DockerCommand, short_help="Start created or stopped containers")
@click.argument("names", nargs=-1, metavar="CONTAINER...", shell_complete=complete_containers)
@click.option("-a", "--attach", is_flag=True, help="Stay with it: show its output, end with its exit code.")
@click.option("-i", "--interactive", is_flag=True, help="Give it our stdin.")
@click.option(
    "--all", "everything", is_flag=True, help="Those that their restart policy wants, as when the machine comes up."
)
@click.option("--detach-keys", "keys", metavar="KEYS", help="Keys that leave it to itself.  [default: ctrl-p,ctrl-q]")
@click.option("--sig-proxy/--no-sig-proxy", "signals", default=True, help="Pass signals on to it [on].")
@click.pass_obj
def start(
    settings: Settings, names: tuple[str, ...], attach: bool, interactive: bool, everything: bool, keys: str | None,
    signals: bool,
) -> None:  # fmt: skip
    """Start created or stopped containers.

    \b
    Examples:
      lamella start web db
      lamella start -a job
      lamella start --all
    """
    from cli.containers import Workshop, each

    if everything == bool(names):
        raise click.UsageError("name containers, or say --all")
    if attach or interactive:
        if len(names) != 1:
            raise Conflict("you cannot start and attach multiple containers at once")
        with Workshop(settings) as shop:
            container = shop.containers.find(names[0])
        from cli.detach_keys import detach_keys
        from runtime.attach import STREAMS, Manner

        manner = Manner(STREAMS if interactive else STREAMS[1:], detach_keys(settings, keys), signals)
        raise Exit(_start(settings, container, manner))
    with Workshop(settings) as shop:
        shop.sweep()  # which also goes on with restarts that the machine's end has cut short
        names = tuple(_always(shop)) if everything else names

    failed = list(names)

    def one(name: str) -> None:
        with Workshop(settings) as shop:
            container = shop.containers.find(name)
        start_apart(settings, container)
        click.echo(name)
        failed.remove(name)

    code = each(names, one)
    if failed:
        click.echo(f"lamella: failed to start containers: {', '.join(failed)}", err=True)
    raise Exit(code)


def _always(shop: Workshop) -> Iterator[str]:
    """Those that come back with the machine, also when somebody has stopped them."""
    for found in reversed(shop.containers.all()):
        if found.restart and found.restart.name == "always" and shop.containers.status(found).state == "exited":
            yield found.name


def _start(settings: Settings, container: Container, manner: Manner | None) -> int:
    from cli.containers import Workshop
    from cli.running import run_monitored

    with Workshop(settings) as shop:
        status = shop.containers.status(container)
        if status.state == "restarting":
            return _restarting(manner is not None)
        if manner and status.paused:
            raise Conflict("You cannot attach to a paused container, unpause it first")
        lock = shop.containers.lock_to_start(container)
        if lock is None:  # it runs already, which is no error
            if shop.containers.status(container).paused:
                raise Conflict(
                    "cannot start a paused container, try unpause instead", f"lamella unpause {container.name}"
                )
            from cli.notify import tell_systemd
            from runtime.attach import attach

            tell_systemd(settings.environ, shop.containers.status(container).keeper)
            return (attach(shop.containers, container, shop.state, manner) or 0) if manner else 0
        try:
            shop.containers.check(container)
            shop.containers.set_running(container, True)
        except BaseException:
            lock.release()
            raise
        return run_monitored(shop, container, lock, manner, show_id=False)


def _restarting(attached: bool) -> int:
    """It runs as good as already."""
    if attached:
        raise Conflict("You cannot attach to a restarting container, wait until it is running")
    return 0


def start_apart(settings: Settings, container: Container) -> None:
    """In a process of its own: one process has one keeper."""
    from runtime.streams import wait

    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os._exit(protect(lambda: _start(settings, container, None)))
    if wait(pid):
        raise Exit(1)
