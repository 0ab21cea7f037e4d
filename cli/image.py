"""`lamella image`: the image commands under the names that Docker's newer command tree gives them."""

from __future__ import annotations

import click

from cli.main import COMMANDS, LazyGroup

TABLE = {
    "build": COMMANDS["build"],
    "df": ("cli.system_df:df", "Show what takes up the disk"),
    "cp": ("cli.image_cp:cp", "Copy an image between the store, registries, layouts and archives"),
    "history": COMMANDS["history"],
    "import": COMMANDS["import"],
    "inspect": ("cli.inspect:image_inspect", "Show everything about images"),
    "load": COMMANDS["load"],
    "ls": COMMANDS["images"],
    "mount": ("cli.image_mount:mount", "Show images in the file system, or list those that are shown"),
    "prune": ("cli.image_prune:prune", "Remove images that nobody needs"),
    "pull": COMMANDS["pull"],
    "push": COMMANDS["push"],
    "rm": COMMANDS["rmi"],
    "save": COMMANDS["save"],
    "tag": COMMANDS["tag"],
    "unmount": ("cli.image_mount:unmount", "End what `image mount` shows"),
}
HIDDEN = {"list": TABLE["ls"], "remove": TABLE["rm"], "umount": TABLE["unmount"]}


@click.group(cls=LazyGroup, table=TABLE, hidden=HIDDEN, short_help="Manage images")
def image() -> None:
    """Manage images.

    \b
    Examples:
      lamella image ls -f dangling=true
      lamella image prune
    """
