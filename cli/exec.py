"""`lamella exec`."""

from __future__ import annotations

import os

import click

from cli.completion import complete_running
from cli.container_flags import environment
from cli.exit import Exit, protect
from cli.settings import Settings
from cli.spelling import DockerCommand


@click.command(
    "exec",
    cls=DockerCommand,
    context_settings={"allow_interspersed_args": False},
    short_help="Run a command in a running container",
)
@click.option("-i", "--interactive", is_flag=True, help="Give it our stdin.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait for it.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Read variables from a file.")
@click.option("-w", "--workdir", default="", metavar="DIR", help="Working directory.")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="User name or ID, and group.")
@click.option("--privileged", is_flag=True, help="Give it all capabilities.")
@click.option("--detach-keys", "keys", metavar="KEYS", help="Keys that leave it to itself.  [default: ctrl-p,ctrl-q]")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_running)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_(
    settings: Settings, interactive: bool, tty: bool, detach: bool, env: tuple[str, ...], env_file: tuple[str, ...],
    workdir: str, user: str, privileged: bool, keys: str | None, name: str, command: tuple[str, ...],
) -> None:  # fmt: skip
    """Run a command in a running container; the exit code is the command's.

    \b
    Examples:
      lamella exec web ls /srv
      lamella exec -it web sh
    """
    from cli.containers import Workshop
    from cli.detach_keys import detach_keys
    from core.errors import InvalidInput
    from runtime.executing import Command, execute

    if tty and interactive and not os.isatty(0):
        raise InvalidInput("the input device is not a TTY", "leave out -t, or run it in a terminal")
    wanted = Command(
        command, environment(env_file, env, settings.environ), workdir, user, tty, interactive, detach, privileged,
        detach_keys(settings, keys) if tty else b"",
    )  # fmt: skip

    def work() -> int:
        with Workshop(settings) as shop:
            return execute(shop.containers, shop.containers.find(name), shop.state, wanted)

    raise Exit(protect(work))
