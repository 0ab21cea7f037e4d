"""`lamella completion`, and what completes the names of images and containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from cli.settings import Settings
    from store.store import Store

MAX_NAMES = 500  # a shell that shows more helps nobody
_VARIABLE = "_LAMELLA_COMPLETE"


@click.command(short_help="Print a script that completes commands in your shell")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes commands, options, images and containers in your shell.

    \b
    Examples:
      lamella completion bash > /etc/bash_completion.d/lamella
      lamella completion zsh > "${fpath[1]}/_lamella"
      lamella completion fish > ~/.config/fish/completions/lamella.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(click.Command("lamella"), {}, "lamella", _VARIABLE)
    click.echo(script.source_template % script.source_vars())


def complete_images(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of images that begin like `incomplete`, and IDs where it may be the beginning of one."""
    return _complete(ctx, incomplete, _image_names)


def complete_containers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of all containers that begin like `incomplete`."""
    return _complete(
        ctx, incomplete, lambda store, _: (hold.name for hold in store.holds.all() if hold.kind == "container")
    )


def complete_places(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Containers for the beginning of CONTAINER:PATH; files where it is the beginning of a path of this machine."""
    from click.shell_completion import CompletionItem

    if incomplete.startswith(("/", ".", "~")) or ":" in incomplete:
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(f"{name}:") for name in complete_containers(ctx, parameter, incomplete)]


def complete_running(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of running containers that begin like `incomplete`."""
    return _complete(
        ctx,
        incomplete,
        lambda store, _: (hold.name for hold in store.holds.all() if hold.running and hold.kind == "container"),
    )


def complete_volumes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of volumes that begin like `incomplete`."""
    return _complete(ctx, incomplete, lambda store, text: store.volumes.beginning(text, MAX_NAMES))


def complete_objects(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of containers, images and volumes that begin like `incomplete`."""
    return [
        name
        for complete in (complete_containers, complete_images, complete_volumes)
        for name in complete(ctx, parameter, incomplete)
    ]


def complete_networks(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of networks that begin like `incomplete`."""

    def names(store: Store, _: str) -> Iterable[str]:
        from network.tables import Networks

        networks = Networks(store.root)
        try:
            return [network.name for network in networks.all()]
        finally:
            networks.close()

    return _complete(ctx, incomplete, names)


def complete_network_drivers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Drivers of which networks can be created, and plug-ins, that begin like `incomplete`."""
    from core.plugins import names
    from network.drivers import DRIVERS

    found = [name for name in DRIVERS if name not in ("host", "null")] + names()
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)][:MAX_NAMES]


def complete_ipam_drivers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Our own, and plug-ins, that begin like `incomplete`."""
    from core.plugins import names
    from network.model import DEFAULT_IPAM

    return [name for name in (DEFAULT_IPAM, *names()) if name.startswith(incomplete)][:MAX_NAMES]


def _image_names(store: Store, incomplete: str) -> Iterable[str]:
    for hidden in ("docker.io/library/", "docker.io/", ""):  # what a familiar name leaves out
        for name in store.tags.beginning(hidden + incomplete, MAX_NAMES):
            yield name.familiar_repository
            yield name.familiar
    if len(incomplete) > 1 and not incomplete.strip("0123456789abcdef"):
        yield from (image.id.short for image in store.images.find(incomplete[:64], limit=20))


def _complete(ctx: click.Context, incomplete: str, names: Callable[[Store, str], Iterable[str]]) -> list[str]:
    from cli.wiring import open_store
    from core.errors import LamellaError

    settings = _settings(ctx)
    if not (settings.root / "catalog.db").exists():  # pressing the tab key makes no store
        return []
    try:
        with open_store(settings) as store:
            found = dict.fromkeys(name for name in names(store, incomplete) if name.startswith(incomplete))
    except (LamellaError, OSError):
        return []
    return list(found)[:MAX_NAMES]


def _settings(ctx: click.Context) -> Settings:
    from cli.settings import Settings

    return Settings.read(root=ctx.find_root().params.get("root"), sync=False, debug=False)
