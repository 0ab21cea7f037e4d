"""`lamella exec`."""

from __future__ import annotations

from typing import Any

import click

from cli.completion import complete_running
from cli.exec_flags import EXEC
from cli.exit import Exit, protect
from cli.flags import with_options
from cli.settings import Settings
from cli.spelling import DockerCommand


@click.command(
    "exec",
    cls=DockerCommand,
    context_settings={"allow_interspersed_args": False},
    short_help="Run a command in a running container",
)
@with_options(EXEC)
@click.argument("name", metavar="CONTAINER", shell_complete=complete_running)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
def exec_(settings: Settings, /, **flags: Any) -> None:
    """Run a command in a running container; the exit code is the command's.

    \b
    Examples:
      lamella exec web ls /srv
      lamella exec -it web sh
    """
    from cli.executing import execute

    raise Exit(protect(lambda: execute(settings, flags)))
