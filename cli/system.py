"""`lamella system`: what concerns the whole store, not one image or container."""

from __future__ import annotations

import click

from cli.main import COMMANDS, LazyGroup

TABLE = {
    "df": ("cli.system_df:df", "Show what takes up the disk"),
    "events": COMMANDS["events"],
    "info": COMMANDS["info"],
    "migrate": ("cli.system_migrate:migrate", "Bring databases of an older lamella up to date"),
    "prune": ("cli.system_prune:prune", "Remove containers, images and build cache that nobody needs"),
}


@click.group(cls=LazyGroup, table=TABLE, short_help="Manage the store as a whole")
def system() -> None:
    """Manage the store as a whole.

    \b
    Examples:
      lamella system df
      lamella system prune
    """
