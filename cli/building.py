"""What `build` does: options to a request, the request built in a contained child, the outcome on the screen.

Nothing here needs click (see `cli.quick`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cli.exit import protect

if TYPE_CHECKING:
    from builder.checks.memory import Told
    from builder.dockerfile.source import Finding
    from builder.foresight import Foresight
    from builder.request import BuildRequest
    from builder.sources.web import Outside
    from cli.build_input import Input
    from cli.progress import Display
    from cli.settings import Settings


def build(settings: Settings, options: Mapping[str, Any]) -> int:
    """Build as the options of `lamella build` say; the exit code.

    The child is made before anything else is loaded: what a process has touched before it forks is copied afterwards.
    """
    if options["check"] or options["call"]:  # nothing runs, nothing is mounted
        return protect(lambda: _build(settings, options))
    from core.namespaces import contained

    return contained(lambda: protect(lambda: _build(settings, options)))


def _build(settings: Settings, options: Mapping[str, Any]) -> int:
    """The build itself, alone in its process."""
    from cli.build_input import prepared, read_options

    given = read_options(options, settings)
    if given.call:
        from cli.build_call import answer

        with prepared(given, settings) as request:
            return answer(settings, given.call, request)
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
    findings: list[Finding] = []
    try:
        with prepared(given, settings) as request, _foreseeing(request) as foreseen:
            from builder.failure import StepFailed

            try:
                return _solve(settings, given, request, screen, foreseen, findings.extend)
            except StepFailed as error:
                screen.close()
                _explain(error, request.dockerfile)
                raise
            finally:
                screen.close()
                _tell(settings, given, screen, findings, request.dockerfile)
    finally:
        screen.close()


def _tell(settings: Settings, given: Input, screen: Display, findings: Sequence[Finding], dockerfile: bytes) -> None:
    """The checks' findings, where the build's progress was shown."""
    if not findings or given.quiet or given.progress in ("quiet", "none"):
        return
    from cli.build_findings import report, summary

    if given.progress == "rawjson":
        report(screen, findings, dockerfile)
    else:
        sys.stderr.write(summary(findings, dockerfile, expand=settings.debug, terminal=sys.stderr.isatty()))


@contextlib.contextmanager
def _foreseeing(request: BuildRequest) -> Iterator[Foresight | None]:
    """A child that looks at the context meanwhile; nothing is open yet that it could hold on to."""
    if request.no_cache or request.sent:
        yield None
        return
    from builder.foresight import Foresight

    ahead = Foresight(request.dockerfile, request.context, request.dockerfile_path)
    try:
        yield ahead
    finally:
        ahead.close()


def _solve(
    settings: Settings, given: Input, request: BuildRequest, screen: Display, foreseen: Foresight | None, told: Told
) -> str:
    from builder.build import build as build_image
    from cli.build_source import LocalFirst
    from cli.build_tools import open_workshop
    from runtime.step import step_runner

    with open_workshop(settings) as workshop:
        source = LocalFirst(settings, workshop.store, workshop.layers, screen)
        result = build_image(
            request, workshop.store, workshop.layers, workshop.snapshotter,
            lambda: step_runner(settings.root, screen), source, screen, foreseen, told, lambda: _outside(settings, request),
        )  # fmt: skip
        if given.push or given.metadata_file:
            from cli.build_after import finish

            finish(settings, given, request, result, workshop, screen)
        return result.image.id


def _outside(settings: Settings, request: BuildRequest) -> Outside:
    from cli.build_web import outside

    return outside(settings, request.secrets.get, request.agents.get("default"))


def _explain(failed: Any, dockerfile: bytes) -> None:
    """The end of the step's output, and the place in the Dockerfile, as BuildKit shows them."""
    from cli.excerpt import excerpt
    from cli.progress import shown

    lines = [shown(line) for line in failed.tail.splitlines()[-TAIL_LINES:]]
    if lines:
        lines = ["------", f" > {failed.title}:", *lines, "------"]
    lines += excerpt(failed.instruction.span, dockerfile)
    sys.stderr.write("\n".join([*lines, ""]))


TAIL_LINES = 20
