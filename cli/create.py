"""`lamella create`."""

from __future__ import annotations

from typing import Any

import click

from cli.container_command import CONTEXT, EngineCommand, with_flags
from cli.container_table import SHARED
from cli.exit import Exit, protect
from cli.settings import Settings


@click.command(cls=EngineCommand, context_settings=CONTEXT, short_help="Create a container without starting it")
@with_flags(SHARED)
@click.pass_obj
def create(settings: Settings, /, **flags: Any) -> None:
    """Create a container without starting it, and print its ID.

    \b
    Example:
      lamella start -a $(lamella create alpine echo hello)
    """
    from cli import creating

    raise Exit(protect(lambda: creating.create(settings, flags)))
