"""`lamella update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.completion import complete_containers
from cli.container_table import LIMITS, SUPERVISION
from cli.exit import Exit
from cli.flags import parameter, with_options
from cli.settings import Settings
from cli.spelling import DockerCommand

if TYPE_CHECKING:
    pass

_CHANGED = (
    "memory", "memory_swap", "memory_reservation", "cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems",
    "pids_limit", "blkio_weight",
)  # fmt: skip
FLAGS = tuple(flag for flag in LIMITS if parameter(flag[0]) in _CHANGED)
_RESTART = tuple((names, {**options, "default": None}) for names, options in SUPERVISION if names == ("--restart",))


@click.command(cls=DockerCommand, short_help="Change the limits and the restart policy of containers")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_containers)
@with_options((*FLAGS, *_RESTART))
@click.pass_obj
def update(settings: Settings, /, names: tuple[str, ...], **flags: Any) -> None:
    """Change the limits and the restart policy of containers; of those that run, from now on.

    \b
    Examples:
      lamella update --memory 512m --cpus 1.5 web
      lamella update --restart unless-stopped web db
    """
    from cli.containers import Workshop, each_container
    from cli.updating import change

    if all(value in (None, "") for value in flags.values()):
        raise click.UsageError("you must provide one or more flags when using this command")
    with Workshop(settings) as shop:
        raise Exit(each_container(shop, names, lambda found: change(shop, found, flags)))
