"""`lamella image`: the image commands under the names that Docker's newer command tree gives them."""

from __future__ import annotations

import click

from cli.main import COMMANDS, LazyGroup

_ALIASES = {"list": "ls", "remove": "rm"}
TABLE = {
    "build": COMMANDS["build"],
    "history": COMMANDS["history"],
    "inspect": ("cli.inspect:image_inspect", "Show everything about images"),
    "ls": COMMANDS["images"],
    "prune": ("cli.image_prune:prune", "Remove images that nobody needs"),
    "pull": COMMANDS["pull"],
    "push": COMMANDS["push"],
    "rm": COMMANDS["rmi"],
    "tag": COMMANDS["tag"],
}


class ImageGroup(LazyGroup):
    """Knows `list` and `remove` too, without showing them."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, [_ALIASES.get(word, word) for word in args[:1]] + args[1:])


@click.group(cls=ImageGroup, table=TABLE, short_help="Manage images")
def image() -> None:
    """Manage images.

    \b
    Examples:
      lamella image ls -f dangling=true
      lamella image prune
    """
