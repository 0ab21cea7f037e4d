"""`lamella ps`."""

from __future__ import annotations

from typing import Any

import click

from cli.flags import with_options
from cli.ps_flags import PS
from cli.settings import Settings


@click.command(short_help="List containers")
@with_options(PS)
@click.pass_obj
def ps(settings: Settings, /, **flags: Any) -> None:
    """List containers.

    \b
    Examples:
      lamella ps -a
      lamella ps --filter status=exited --format '{{.Names}}: {{.Status}}'
      lamella rm $(lamella ps -aq -f status=exited)
    """
    from cli.ps_listing import list_containers

    list_containers(settings, flags)
