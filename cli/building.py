"""What `build` does: options to a request, the request built in a contained child, the outcome on the screen.

Nothing here needs click (see `cli.quick`).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cli.exit import protect

if TYPE_CHECKING:
    from builder.foresight import Foresight
    from builder.request import BuildRequest
    from cli.build_input import Input
    from cli.progress import Display
    from cli.settings import Settings


def build(settings: Settings, options: Mapping[str, Any]) -> int:
    """Build as the options of `lamella build` say; the exit code.

    The child is made before anything else is loaded: what a process has touched before it forks is copied afterwards.
    """
    from core.namespaces import contained

    _need_root()
    return contained(lambda: protect(lambda: _build(settings, options)))


def _need_root() -> None:
    from core.errors import Unsupported

    if os.geteuid() != 0:
        raise Unsupported("building needs root", "run it with sudo, or as root")


def _build(settings: Settings, options: Mapping[str, Any]) -> int:
    """The build itself, alone in its process."""
    from cli.build_input import read_options

    given = read_options(options, settings)
    id = _build_image(settings, given)
    if given.iidfile:
        with open(given.iidfile, "w") as file:
            file.write(id)
    if given.quiet:
        sys.stdout.write(f"{id}\n")
    return 0


def _build_image(settings: Settings, given: Input) -> str:
    """The ID of what was built. Raises StepFailed when the place in the Dockerfile has been shown."""
    from cli.build_input import prepared
    from cli.progress import display

    screen = display(given.progress, quiet=given.quiet)
    try:
        with prepared(given, settings) as request, _foreseeing(request) as foreseen:
            from builder.failure import StepFailed

            try:
                return _solve(settings, request, screen, foreseen)
            except StepFailed as error:
                screen.close()
                _explain(error, request.dockerfile)
                raise
    finally:
        screen.close()


@contextlib.contextmanager
def _foreseeing(request: BuildRequest) -> Iterator[Foresight | None]:
    """A child that looks at the context meanwhile; nothing is open yet that it could hold on to."""
    if request.no_cache:
        yield None
        return
    from builder.foresight import Foresight

    ahead = Foresight(request.dockerfile, request.context, request.dockerfile_path)
    try:
        yield ahead
    finally:
        ahead.close()


def _solve(settings: Settings, request: BuildRequest, screen: Display, foreseen: Foresight | None) -> str:
    from builder.build import build as build_image
    from cli.build_source import LocalFirst
    from cli.build_tools import open_workshop
    from runtime.step import step_runner

    with open_workshop(settings) as workshop:
        source = LocalFirst(settings, workshop.store, workshop.layers, screen)
        return build_image(
            request, workshop.store, workshop.layers, workshop.snapshotter,
            lambda: step_runner(settings.root, screen), source, screen, foreseen,
        ).image.id  # fmt: skip


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
