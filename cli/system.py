"""`lamella system`: what concerns the whole store, not one image or container."""

from __future__ import annotations

import click

from cli.main import COMMANDS, LazyGroup

TABLE = {
    "info": COMMANDS["info"],
}


@click.group(cls=LazyGroup, table=TABLE, short_help="Manage the store as a whole")
def system() -> None:
    """Manage the store as a whole.

    \b
    Examples:
      lamella system info
    """
