"""`lamella volume`: what containers leave behind on purpose."""

from __future__ import annotations

import click

from cli.main import LazyGroup

TABLE = {
    "create": ("cli.volume_create:create", "Make a volume"),
    "export": ("cli.volume_tar:export", "Write a volume's files as a tar archive"),
    "import": ("cli.volume_tar:import_", "Fill a volume from a tar archive"),
    "inspect": ("cli.volume_inspect:inspect", "Show everything about volumes"),
    "ls": ("cli.volume_ls:ls", "List volumes"),
    "prune": ("cli.volume_prune:prune", "Remove volumes that no container has"),
    "rm": ("cli.volume_rm:rm", "Remove volumes"),
}
HIDDEN = {"list": TABLE["ls"], "remove": TABLE["rm"]}


@click.group(cls=LazyGroup, table=TABLE, hidden=HIDDEN, short_help="Manage volumes")
def volume() -> None:
    """Manage volumes: files that outlive the containers which use them.

    \b
    Examples:
      lamella volume ls
      lamella run -v data:/srv app
      lamella volume export data | tar t
    """
