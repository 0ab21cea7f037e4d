"""`lamella healthcheck`, and what a timer of systemd starts."""

from __future__ import annotations

import click

from cli.completion import complete_running
from cli.exit import ENGINE_FAILURE, Exit, protect
from cli.main import LazyGroup
from cli.settings import Settings

TABLE = {"run": ("cli.healthcheck:run", "Check now how a container is")}


@click.group(cls=LazyGroup, table=TABLE, short_help="Check how containers are")
def healthcheck() -> None:
    """Check how containers are."""


@click.command(short_help="Check now how a container is")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_running)
@click.pass_obj
def run(settings: Settings, name: str) -> None:
    """Run a container's health check once, now.

    It counts like one that was due: `lamella ps` and `lamella inspect` tell of it. Exits with 0 if the container is well,
    with 1 if it is not, and with 125 if it could not be asked.

    \b
    Example:
      lamella healthcheck run web || lamella logs --tail 20 web
    """
    raise Exit(protect(lambda: _asked(settings, name), ENGINE_FAILURE))


def _asked(settings: Settings, name: str) -> int:
    """Ask, and say in a word how it is if it is not well; the exit code."""
    from cli.containers import Workshop
    from core.errors import InvalidInput
    from runtime.checkup import check
    from runtime.health import STARTING, UNHEALTHY

    with Workshop(settings) as shop:
        shop.sweep()
        found = shop.containers.find(name)
        if not (found.health and found.health.command):
            raise InvalidInput(f"container {name} has no health check", "make it with --health-cmd COMMAND")
        record = check(shop.containers, found, shop.state)
    if record.log[-1]["ExitCode"] == 0:
        return 0
    click.echo(STARTING if record.status == STARTING else UNHEALTHY)
    return 1


@click.command(hidden=True)
@click.argument("id")
@click.pass_obj
def check(settings: Settings, id: str) -> None:
    """What the timer of the container ID starts; it ends that where nobody wants it any more."""
    import contextlib

    from cli.seeing_to import keep_time
    from core.errors import Conflict
    from core.locks import is_locked
    from runtime.checkup import check as ask
    from runtime.directories import Directories
    from runtime.state import state_directory
    from runtime.supervision import dismiss, is_timed
    from runtime.timers import stop_time

    directories = Directories(settings.root)
    directory, found = directories.directory(id), directories.load(id)
    if found and is_timed(directory):
        with contextlib.suppress(Conflict):  # it stands still, or has ended
            ask(directories, found, state_directory(settings.root))
    if not found or not is_timed(directory):
        stop_time(directory)
    elif (status := directories.status(found)).running:
        keep_time(settings, directory, found, status)
    elif not is_locked(directory / "state"):  # nor is it just being started
        dismiss(directory)
