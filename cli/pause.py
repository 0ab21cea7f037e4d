"""`lamella pause` and `lamella unpause`."""

from __future__ import annotations

import click

from cli.completion import complete_running
from cli.exit import Exit
from cli.settings import Settings


@click.command(short_help="Let running containers stand still")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_running)
@click.pass_obj
def pause(settings: Settings, names: tuple[str, ...]) -> None:
    """Let all processes of running containers stand still, until `lamella unpause`.

    \b
    Example:
      lamella pause web
    """
    from cli.containers import Workshop, each_container
    from runtime.pausing import pause as hold

    with Workshop(settings) as shop:
        raise Exit(each_container(shop, names, lambda found: hold(shop.containers, found)))


@click.command(short_help="Let paused containers go on")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_running)
@click.pass_obj
def unpause(settings: Settings, names: tuple[str, ...]) -> None:
    """Let paused containers go on.

    \b
    Example:
      lamella unpause web
    """
    from cli.containers import Workshop, each_container
    from runtime.pausing import unpause as wake

    with Workshop(settings) as shop:
        raise Exit(each_container(shop, names, lambda found: wake(shop.containers, found)))
