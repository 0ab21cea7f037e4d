"""`lamella diff`, also `lamella container diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cli.completion import complete_containers

if TYPE_CHECKING:
    from cli.settings import Settings
    from layer.changes import Change

_JSON = {"A": "added", "C": "changed", "D": "deleted"}


@click.command(short_help="Show what a container has changed in its files")
@click.argument("name", metavar="CONTAINER", shell_complete=complete_containers)
@click.option("--format", "template", metavar="FORMAT", help="json, or a Go template with .Kind and .Path.")
@click.pass_obj
def diff(settings: Settings, name: str, template: str | None) -> None:
    """Show the files and directories that a container has added (A), changed (C) or deleted (D).

    \b
    Examples:
      lamella diff web
      lamella diff --format json web
    """
    from cli.containers import Workshop
    from runtime.changes import changes

    with Workshop(settings) as shop:
        found = changes(shop.containers, shop.containers.find(name))
    _show(sorted(found, key=lambda change: change.path.split("/")), template)


def _show(found: list[Change], template: str | None) -> None:
    import json

    from cli.output import render, write

    if template == "json":
        listed = {word: [one.path for one in found if one.kind == kind] for kind, word in _JSON.items()}
        write(json.dumps({word: paths for word, paths in listed.items() if paths}, indent=4) + "\n")
        return
    for one in found:
        fields = {"Kind": one.kind, "Path": one.path}
        write((render(template, fields) if template else f"{one.kind} {one.path}") + "\n")
