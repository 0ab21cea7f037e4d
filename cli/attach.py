"""`lamella attach`."""

from __future__ import annotations

import os

import click

from cli.completion import complete_running
from cli.exit import Exit, protect
from cli.settings import Settings
from cli.spelling import DockerCommand


@click.command(cls=DockerCommand, short_help="Join a running container's input and output")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_running)
@click.option("--no-stdin", is_flag=True, help="Only show its output.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, hidden=True)
@click.pass_obj
def attach(settings: Settings, name: str, no_stdin: bool, sig_proxy: bool) -> None:
    """Join a running container's input and output; the exit code is the container's.

    Ctrl-P Ctrl-Q leaves a container with a terminal to itself again.

    \b
    Example:
      lamella attach web
    """
    from cli.containers import Workshop
    from core.errors import InvalidInput
    from runtime.attach import attach as join

    def work() -> int:
        with Workshop(settings) as shop:
            found = shop.containers.find(name)
            if found.tty and found.stdin_open and not no_stdin and not os.isatty(0):
                raise InvalidInput("the input device is not a TTY", "give --no-stdin, or run it in a terminal")
            return join(shop.containers, found, shop.state, stdin=not no_stdin) or 0

    raise Exit(protect(work))
