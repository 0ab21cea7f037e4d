"""`lamella container`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers
from cli.main import COMMANDS, LazyGroup
from cli.settings import Settings

if TYPE_CHECKING:
    from cli.containers import Workshop
    from runtime.container import Container

_VERBS = (
    "run", "create", "start", "stop", "restart", "kill", "pause", "unpause", "rm", "rename", "update", "logs", "exec", "attach", "top",
    "stats", "port", "commit", "cp", "diff", "export", "wait",
)  # fmt: skip
TABLE = {
    "ls": COMMANDS["ps"],
    **{verb: COMMANDS[verb] for verb in _VERBS},
    "inspect": ("cli.container:inspect", "Show everything about containers"),
    "prune": ("cli.container:prune", "Remove all containers that do not run"),
}
HIDDEN = {
    "cleanup": ("cli.container:cleanup", ""),
    "again": ("cli.again:again", ""),
    "check": ("cli.healthcheck:check", ""),
    "list": TABLE["ls"],
    "ps": TABLE["ls"],
    "remove": TABLE["rm"],
}


@click.group(cls=LazyGroup, table=TABLE, hidden=HIDDEN, short_help="Manage containers")
def container() -> None:
    """Manage containers."""


@click.command(short_help="Show everything about containers")
@click.argument("names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=complete_containers)
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="json, or a Go template.")
@click.option("-s", "--size", is_flag=True, help="Also what each has written.")
@click.pass_obj
def inspect(settings: Settings, names: tuple[str, ...], template: str | None, size: bool) -> None:
    """Show everything about containers, as JSON.

    \b
    Example:
      lamella container inspect -f '{{.State.ExitCode}}' job
    """
    import json
    from typing import Any

    from cli.containers import Workshop, each
    from cli.exit import Exit
    from cli.output import render
    from runtime.inspect import inspect as describe
    from runtime.size import written

    found: list[dict[str, Any]] = []
    with Workshop(settings) as shop:
        shop.sweep()

        def one(name: str) -> None:
            one_container = shop.containers.find(name)
            described = describe(shop.containers, one_container)
            if size:
                described["SizeRw"] = written(shop.containers, one_container)
            found.append(described)

        code = each(names, one)
    if template:
        for described in found:
            click.echo(render(template, described))
    else:
        click.echo(json.dumps(found, indent=4))
    raise Exit(code)


@click.command(short_help="Remove all containers that do not run")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="label=…, label!=…, until=….")
@click.pass_obj
def prune(settings: Settings, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all containers that do not run.

    \b
    Example:
      lamella container prune -f --filter until=24h
    """
    from cli.container_prune import deleted_text, prune_containers
    from cli.image_prune import say_total
    from cli.prune_filters import prune_filter

    accept = prune_filter(filters)
    if not force:
        click.echo("WARNING! This will remove all stopped containers.")
        if not click.confirm("Are you sure you want to continue?"):
            return
    removed, freed = prune_containers(settings, accept)
    click.echo(deleted_text(removed), nl=False)
    say_total(freed)


def _is_late(shop: Workshop, found: Container) -> bool:
    """Whether the conmon that started us, whose end is not ours here, is gone, and somebody else does our work by now; if
    not, we end with it."""
    import signal

    from core import syscalls

    syscalls.die_with_parent(signal.SIGKILL)
    return os.getppid() != shop.containers.status(found).keeper


@click.command(hidden=True)
@click.argument("id")
@click.pass_obj
def cleanup(settings: Settings, id: str) -> None:
    """What conmon executes in its own namespaces when the container ID has ended."""
    from cli.containers import Workshop
    from core import syscalls
    from runtime.starting import end_all_below_keeper
    from runtime.status import read_exit

    with Workshop(settings) as shop:
        found = shop.containers.load(id)
        if found is None or not (found.isolation and found.isolation.pid):
            end_all_below_keeper(id)
        elif _is_late(shop, found):
            return
        if found is None:
            return
        root = os.path.realpath(settings.root)
        places = (f"{root}/snapshots/{id}/", f"{root}/volumes/")
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            mounted = [line.split()[1] for line in mounts]
        for path in reversed(mounted):
            if path.startswith(places):
                syscalls.unmount(path)
        shop.containers.finish(found, *read_exit(shop.containers.directory(found)))
