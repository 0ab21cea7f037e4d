"""The shared flags of `run` and `create` as click has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from cli.completion import complete_images
from cli.exit import ENGINE_FAILURE, Exit, report
from cli.flags import Flag, with_options
from cli.spelling import DockerCommand
from core.errors import LamellaError

# After IMAGE everything belongs to the container; -h is Docker's short form of --hostname.
CONTEXT: dict[str, Any] = {"allow_interspersed_args": False, "help_option_names": ["--help"]}


class EngineCommand(DockerCommand):
    """A command whose wrong flags end with 125, so that they are not taken for the container's own exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except (click.UsageError, LamellaError) as error:
            raise Exit(report(error, ENGINE_FAILURE)) from error


def with_flags(flags: Sequence[Flag]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `flags`, IMAGE and COMMAND to a command."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        function = click.argument("command", nargs=-1, type=click.UNPROCESSED)(function)
        function = click.argument("image", shell_complete=complete_images)(function)
        return with_options(flags)(function)

    return add
