"""`lamella build`: options to a request, the request built in a contained child, the outcome on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.spelling import DockerCommand

if TYPE_CHECKING:
    from cli.build_input import Input
    from cli.settings import Settings

_IGNORED_FLAGS = ("--rm", "--force-rm", "--compress", "--squash", "--load")
_IGNORED_OPTIONS = (
    "--isolation", "--security-opt", "-m", "--memory", "--memory-swap", "-c", "--cpu-shares", "--cpu-period",
    "--cpu-quota", "--cpuset-cpus", "--cpuset-mems", "--cgroup-parent", "--shm-size", "--ulimit",
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
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME", help="Name the image, as name[:tag] (repeatable).")
@click.option("-f", "--file", "file", metavar="FILE", help="The Dockerfile; - reads it from stdin [PATH/Dockerfile].")
@click.option(
    "--build-arg",
    "args",
    multiple=True,
    metavar="KEY[=VALUE]",
    help="Set an ARG; without a value, from the environment.",
)
@click.option("--target", default="", metavar="STAGE", help="Build this stage instead of the last one.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Add a label to the image.")
@click.option("--no-cache", is_flag=True, help="Run every step again.")
@click.option(
    "--no-cache-filter", "no_cache_stages", multiple=True, metavar="STAGE", help="Run this stage's steps again."
)
@click.option("--pull", is_flag=True, help="Ask the registry for newer base images.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but the image's ID.")
@click.option("--iidfile", metavar="FILE", help="Write the image's ID to a file.")
@click.option(
    "--progress", default="auto", envvar="BUILDKIT_PROGRESS", metavar="KIND", help="auto, plain, tty, rawjson or quiet."
)
@click.option(
    "--platform", default="", envvar="DOCKER_DEFAULT_PLATFORM", metavar="OS/ARCH", help="Must be this machine's."
)
@click.option(
    "--network",
    default="default",
    type=click.Choice(["default", "none", "host"]),
    help="What RUN steps see of the network.",
)
@click.option(
    "--add-host", "add_hosts", multiple=True, metavar="HOST:IP", help="Add a line to /etc/hosts of RUN steps."
)
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
    from cli.build_input import read_options
    from cli.exit import protect
    from core.namespaces import contained

    _need_root()
    given = read_options(options, settings)
    return contained(lambda: protect(lambda: _build(settings, given)))


def _need_root() -> None:
    import os

    from core.errors import Unsupported

    if os.geteuid() != 0:
        raise Unsupported("building needs root", "run it with sudo, or as root")


def _build(settings: Settings, given: Input) -> int:
    """The build itself, alone in its process."""
    from builder.build import build as build_image
    from builder.failure import StepFailed
    from cli.build_input import prepared
    from cli.build_source import LocalFirst
    from cli.build_tools import open_workshop
    from cli.progress import display

    screen = display(given.progress, quiet=given.quiet)
    try:
        with open_workshop(settings) as workshop, prepared(given, workshop.store) as request:
            from runtime.step import step_runner

            source = LocalFirst(settings, workshop.store, workshop.layers, screen)
            result = build_image(
                request, workshop.store, workshop.layers, workshop.snapshotter,
                lambda: step_runner(settings.root, screen), source, screen,
            )  # fmt: skip
            failed = None
    except StepFailed as error:
        failed = error
    finally:
        screen.close()
    if failed:
        _explain(failed, request.dockerfile)
        raise failed
    if given.iidfile:
        Path(given.iidfile).write_text(result.image.id)
    if given.quiet:
        click.echo(result.image.id)
    return 0


def _explain(failed: Any, dockerfile: bytes) -> None:
    """The end of the step's output, and the place in the Dockerfile, as BuildKit shows them."""
    from cli.progress import shown

    lines = [shown(line) for line in failed.tail.splitlines()[-TAIL_LINES:]]
    if lines:
        lines = ["------", f" > {failed.title}:", *lines, "------"]
    span = failed.instruction.span
    source = dockerfile.decode("utf-8", "replace").splitlines()
    lines += [f"{span.file}:{span.line}", "-" * 20]
    for number in range(max(1, span.line - AROUND), min(len(source), span.end_line + AROUND) + 1):
        mark = ">>>" if span.line <= number <= span.end_line else "   "
        lines.append(f"{number:>4} | {mark} {source[number - 1]}")
    sys.stderr.write("\n".join([*lines, "-" * 20]) + "\n")


TAIL_LINES = 20
AROUND = 2
