"""`lamella version`."""

from __future__ import annotations

import click


@click.command(short_help="Show the version")
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="json, or a Go template such as '{{.Version}}'.")
def version(template: str | None) -> None:
    """Show the version.

    \b
    Example:
      lamella version --format json
    """
    from core.version import VERSION

    if not template:
        click.echo(f"lamella {VERSION}")
        return
    import platform

    from cli.output import render
    from image.platform import host_platform

    side = {
        "Version": VERSION,
        "ApiVersion": "",
        "Os": "linux",
        "Arch": host_platform().architecture,
        "PythonVersion": platform.python_version(),
    }
    click.echo(render(template, {**side, "Client": side, "Server": side}))
