"""`lamella top`."""

from __future__ import annotations

import click

from cli.completion import complete_running
from cli.settings import Settings


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    short_help="Show the processes of a container",
)
@click.argument("name", metavar="CONTAINER", shell_complete=complete_running)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[PS_OPTION]...")
@click.pass_obj
def top(settings: Settings, name: str, options: tuple[str, ...]) -> None:
    """Show the processes of a running container as `ps` of this machine does.

    \b
    Examples:
      lamella top web
      lamella top web -o pid,rss,args
    """
    from cli.containers import Workshop
    from cli.output import write
    from runtime.top import top as look

    with Workshop(settings) as shop:
        titles, rows = look(shop.containers, shop.containers.find(name), options)
    write(_columns([titles, *rows]))


def _columns(rows: list[list[str]]) -> str:
    """As Docker lays them out: 20 wide, 3 blanks between."""
    widths = [max(20, *(len(row[at]) + 3 for row in rows)) for at in range(len(rows[0]) - 1)]
    return "".join(
        "".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)) + row[-1] + "\n" for row in rows
    )
