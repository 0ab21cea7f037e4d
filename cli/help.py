"""`lamella help`."""

from __future__ import annotations

import click


@click.command(short_help="Show this page, or the help of a command")
@click.argument("words", nargs=-1, metavar="[COMMAND...]")
@click.pass_context
def help_(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show all commands by section, or the help of one.

    \b
    Examples:
      lamella help
      lamella help image prune
    """
    here = ctx.find_root()
    command: click.Command = here.command
    for word in words:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{here.command_path} has no command {word!r}", here)
        _, found, _ = command.resolve_command(here, [word])
        assert found is not None
        here, command = click.Context(found, parent=here, info_name=word), found
    click.echo(command.get_help(here))
