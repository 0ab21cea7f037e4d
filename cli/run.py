"""`lamella run`."""

from __future__ import annotations

from typing import Any

import click

from cli.container_command import CONTEXT, EngineCommand, with_flags
from cli.container_table import RUN
from cli.exit import ENGINE_FAILURE, Exit, protect
from cli.settings import Settings


@click.command(cls=EngineCommand, context_settings=CONTEXT, short_help="Run a command in a new container")
@with_flags(RUN)
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
    from cli import running

    raise Exit(protect(lambda: running.run(settings, flags), ENGINE_FAILURE))
