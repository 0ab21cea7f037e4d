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
@click.option("--detach-keys", "keys", metavar="KEYS", help="Keys that leave it to itself.  [default: ctrl-p,ctrl-q]")
@click.option("--sig-proxy/--no-sig-proxy", "signals", default=True, help="Pass signals on to it [on].")
@click.pass_obj
def attach(settings: Settings, name: str, no_stdin: bool, keys: str | None, signals: bool) -> None:
    """Join a running container's input and output; the exit code is the container's.

    Ctrl-P Ctrl-Q leaves a container with a terminal to itself again.

    \b
    Example:
      lamella attach web
    """
    from cli.containers import Workshop
    from cli.detach_keys import detach_keys
    from core.errors import Conflict, InvalidInput
    from runtime.attach import STREAMS, Manner
    from runtime.attach import attach as join

    manner = Manner(STREAMS[1:] if no_stdin else STREAMS, detach_keys(settings, keys), signals)

    def work() -> int:
        with Workshop(settings) as shop:
            found = shop.containers.find(name)
            status = shop.containers.status(found)
            if not status.running:
                raise Conflict("You cannot attach to a stopped container, start it first", f"lamella start -a {name}")
            if status.paused:
                raise Conflict("You cannot attach to a paused container, unpause it first", f"lamella unpause {name}")
            if found.tty and found.stdin_open and not no_stdin and not os.isatty(0):
                raise InvalidInput("the input device is not a TTY", "give --no-stdin, or run it in a terminal")
            shop.containers.note(found, "attach")
            code = join(shop.containers, found, shop.state, manner)
            if code is None:
                shop.containers.note(found, "detach")
            return code or 0

    raise Exit(protect(work))
