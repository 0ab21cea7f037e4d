"""`lamella volume prune`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from core.errors import InvalidInput

if TYPE_CHECKING:
    from cli.settings import Settings
    from store.volumes import Volume

FILTERS = ("all", "label", "label!")
GOING = {
    False: "anonymous local volumes not used by at least one container",
    True: "all local volumes not used by at least one container",
}


@click.command(short_help="Remove volumes that no container has")
@click.option("-a", "--all", "everything", is_flag=True, help="Also those with a name.")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=KEY[=VALUE], label!=KEY[=VALUE], all=true."
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(settings: Settings, everything: bool, filters: tuple[str, ...], force: bool) -> None:
    """Remove the anonymous volumes that no container has, running or not. With -a those with a name as well. Volumes of
    plug-ins and volumes with driver options stay.

    \b
    Examples:
      lamella volume prune
      lamella volume prune -af --filter label!=keep
    """
    from cli.containers import Workshop
    from cli.image_prune import confirmed, say_total
    from cli.volume_ls import parse_filters, truth
    from runtime.volume_verbs import prune as prune_volumes

    wanted = parse_filters(filters, FILTERS)
    if everything and "all" in wanted:
        raise InvalidInput("conflicting options: cannot specify both --all and --filter all=1", "give only one of them")
    everything = everything or ("all" in wanted and truth("all", wanted["all"]))
    if not force and not confirmed(f"This will remove {GOING[everything]}."):
        return
    with Workshop(settings, making_room=True) as shop:
        shop.sweep()
        pruned = prune_volumes(shop.store, accepting(wanted), everything=everything)
    say_deleted(pruned.names)
    say_total(pruned.bytes)


def accepting(wanted: dict[str, list[str]]) -> Callable[[Volume], bool]:
    """Whether a volume has all the labels that are wanted, and none of those that are not."""
    from cli.volume_ls import has_label

    def accept(volume: Volume) -> bool:
        return all(has_label(volume, text) for text in wanted.get("label", ())) and not any(
            has_label(volume, text) for text in wanted.get("label!", ())
        )

    return accept


def say_deleted(names: list[str]) -> None:
    """What went, in Docker's words; nothing where nothing did."""
    if names:
        click.echo("Deleted Volumes:\n" + "".join(f"{name}\n" for name in names))
