"""`lamella commit`, also `lamella container commit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers

if TYPE_CHECKING:
    from cli.settings import Settings
    from image.config import ContainerConfig
    from runtime.container import Container


@click.command(short_help="Make an image of a container")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_containers)
@click.argument("reference", metavar="[REPOSITORY[:TAG]]", required=False)
@click.option("-a", "--author", default="", metavar="TEXT", help="Who made it, such as 'Ada <ada@example.org>'.")
@click.option(
    "-c", "--change", "changes", multiple=True, metavar="INSTRUCTION",
    help="Change the image by a Dockerfile instruction: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD,"
    " STOPSIGNAL, USER, VOLUME or WORKDIR (repeatable).",
)  # fmt: skip
@click.option("-m", "--message", default="", metavar="TEXT", help="A comment for the image's history.")
@click.option("-p", "--pause/--no-pause", default=True, help="Let the container stand still meanwhile [on].")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's ID, which is all that is printed anyway.")
@click.pass_obj
def commit(
    settings: Settings, name: str, reference: str | None, author: str, changes: tuple[str, ...], message: str,
    pause: bool, quiet: bool,
) -> None:  # fmt: skip
    """Make an image of what a container has become: its files without its volumes, and its settings.

    \b
    Examples:
      lamella commit web web:snapshot
      lamella commit -m 'with curl' -c 'CMD ["curl", "--version"]' job tools
    """
    from cli.containers import Workshop
    from image.reference import Reference
    from runtime.commit import Wish
    from runtime.commit import commit as make

    names = (Reference.parse(reference).tagged(),) if reference else ()
    with Workshop(settings) as shop:
        shop.sweep()
        container = shop.containers.find(name)
        wish = Wish(names, message, author, pause, lambda config: _changed(config, container, changes))
        click.echo(make(shop.containers, container, wish).id)


def _changed(config: ContainerConfig, container: Container, changes: tuple[str, ...]) -> ContainerConfig:
    """With the ports that were published, which Docker exposes, and what `--change` says."""
    import contextlib

    from builder.change import changed
    from builder.dockerfile.expand import ExpansionError
    from builder.dockerfile.ports import exposed
    from core.value import replace

    with contextlib.suppress(ExpansionError):
        ports = {*config.exposed_ports, *exposed(container.ports)}
        config = replace(config, exposed_ports=tuple(sorted(ports)))
    return changed(config, changes) if changes else config
