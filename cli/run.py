"""`lamella run`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cli.container_flags import CONTEXT, EngineCommand, container_flags, make_request, warn_about_ports
from cli.exit import ENGINE_FAILURE, Exit, leave, protect
from cli.settings import Settings

if TYPE_CHECKING:
    from cli.containers import Workshop
    from core.locks import FileLock
    from runtime.container import Container


@click.command(cls=EngineCommand, context_settings=CONTEXT, short_help="Run a command in a new container")
@container_flags
@click.option("-d", "--detach", is_flag=True, help="Run in the background and print the ID.")
@click.option("-a", "--attach", multiple=True, metavar="STREAM", help="Accepted for Docker's sake: all are attached.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, hidden=True)
@click.option("-q", "--quiet", is_flag=True, help="Do not show the progress of a pull.")
@click.pass_obj
def run(settings: Settings, /, **flags: Any) -> None:
    """Run a command in a new container.

    The exit code is the command's; 125 where lamella failed, 126 where the command cannot be executed, 127 where it is
    not there, 128 and the signal's number where it was killed.

    \b
    Examples:
      lamella run --rm alpine echo hello
      lamella run -d --name web -v ./site:/srv:ro demo/app
      lamella run --rm -it debian bash
    """
    raise Exit(protect(lambda: _run(settings, flags), ENGINE_FAILURE))


def _run(settings: Settings, flags: dict[str, Any]) -> int:
    from cli.containers import Workshop
    from cli.create import check_flags, create_container
    from runtime.probe import choose

    check_flags(flags)
    request = make_request(flags, settings.environ, os.getcwd())
    warn_about_ports(flags)
    with Workshop(settings) as shop:
        container, lock = create_container(shop, request, flags, running=True)
        if not flags["detach"] and container.auto_remove:
            from runtime.foreground import run_foreground

            code = run_foreground(shop.containers, container, lock, choose, shop.state)
            shop.sweep()
            shop.store.leases.close()
            leave(code)
        return run_monitored(shop, container, lock, attached=not flags["detach"])


def run_monitored(shop: Workshop, container: Container, lock: FileLock, *, attached: bool, show_id: bool = True) -> int:
    """Start the container under conmon, and stay with it if `attached`; the exit code."""
    from cli.containers import on_exit
    from runtime.attach import Attachment
    from runtime.conmon import create
    from runtime.probe import choose

    shop.sweep()
    try:
        monitored = create(
            shop.containers, container, lock, choose, shop.state,
            () if attached and not container.auto_remove else on_exit(shop.settings, container),
        )  # fmt: skip
        attachment = Attachment(monitored) if attached else None
        monitored.start(shop.containers.directory(container))
    except BaseException as error:
        lock.release()
        shop.containers.conclude(container, getattr(error, "exit_code", ENGINE_FAILURE))
        raise
    if attachment is None:
        if show_id:
            click.echo(container.id)
        return 0
    return _stay(shop, container, attachment, monitored.keeper)


def _stay(shop: Workshop, container: Container, attachment: Any, keeper: int) -> int:
    from runtime.streams import wait

    if not attachment.run():
        return 0
    code = wait(keeper)
    shop.containers.conclude(container, code)
    return code
