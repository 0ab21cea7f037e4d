"""`lamella build`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cli.build_flags import BUILD
from cli.flags import with_options
from cli.spelling import DockerCommand

if TYPE_CHECKING:
    from cli.settings import Settings

_IGNORED_FLAGS = ("--rm", "--force-rm", "--compress", "--load")
_IGNORED_OPTIONS = (
    "--isolation", "--security-opt", "-m", "--memory", "--memory-swap", "-c", "--cpu-shares", "--cpu-period",
    "--cpu-quota", "--cpu-rt-period", "--cpu-rt-runtime", "--cpuset-cpus", "--cpuset-mems", "--cgroup-parent",
)  # fmt: skip


def _legacy(command: Callable[..., Any]) -> Callable[..., Any]:
    """Docker's options that say nothing to this builder: accepted, hidden, without effect."""
    for name in _IGNORED_FLAGS:
        command = click.option(f"{name}/--no-{name[2:]}", default=None, hidden=True, expose_value=False)(command)
    for name in _IGNORED_OPTIONS:
        parameter = "legacy_" + name.strip("-").replace("-", "_")
        command = click.option(name, parameter, multiple=True, hidden=True, expose_value=False)(command)
    return command


@click.command(cls=DockerCommand, short_help="Build an image from a Dockerfile")
@click.argument("path", metavar="PATH|-")
@with_options(BUILD)
@_legacy
@click.pass_obj
def build(settings: Settings, /, **options: Any) -> int:
    """Build an image from a Dockerfile and the files in PATH (- reads a Dockerfile, or a tar of a context, from stdin).

    \b
    Examples:
      lamella build -t app .
      lamella build -t app:1.0 -f deploy/Dockerfile --build-arg VERSION=1.0 .
      lamella build -q --target test .
    """  # fmt: skip
    from cli.building import build as build_image

    return build_image(settings, options)
