"""All rules over one file, as far as it has been planned."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING

from builder.checks.memory import BUILD_ARG
from builder.checks.options import Options, options_of, parse_options
from builder.checks.report import Report
from builder.checks.stages import StageChecks
from builder.checks.text import check_bases, check_text
from builder.dockerfile.instructions import Dockerfile
from builder.dockerfile.source import Finding, Span
from builder.request import BuildRequest
from builder.scope import Scope
from builder.stages import BaseImage, Stage
from core.errors import InvalidInput, LamellaError
from core.value import replace

if TYPE_CHECKING:
    from builder.dockerfile.ignore import Ignore
    from builder.plan import Planner


class CheckFailed(InvalidInput):
    """The file asks for its findings to be errors (`# check=error=true`), and has some."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        rules = dict.fromkeys(finding.rule for finding in findings)
        super().__init__(
            f"lint violation found for rules: {', '.join(rules)}",
            "correct them, or leave error=true out of the check directive",
        )


def options_for(request: BuildRequest, dockerfile: Dockerfile) -> Options:
    """What the build arg says, else the directive. Raises DockerfileError, InvalidInput."""
    given = request.args.get(BUILD_ARG)
    try:
        return parse_options(dockerfile.directives.check if given is None else given)
    except InvalidInput as error:
        if given is not None:
            raise InvalidInput(f"{BUILD_ARG}: {error.message}", error.hint) from None
        span = Span(dockerfile.name, 1, 1)
        raise InvalidInput(f"{span}: {error.message}", error.hint) from None


def unknown_rules(dockerfile: Dockerfile, options: Options) -> list[str]:
    """A sentence for each name, in the directive or above an instruction, that is no rule's."""
    everywhere = [options, *(options_of(comments) for comments in dockerfile.comments.values())]
    return list(dict.fromkeys(sentence for one in everywhere for sentence in one.unknown()))


def verdict(
    request: BuildRequest, dockerfile: Dockerfile, planner: Planner | None, ignore: Ignore, options: Options,
    unknown: Container[str] = (),
) -> tuple[Finding, ...]:  # fmt: skip
    """What the rules find in the whole text and, one instruction after the other, in the stages that `planner` has planned.

    `unknown` are names of images whose configs could not be had.
    """
    report = Report(dockerfile, options)
    check_text(dockerfile, report)
    if planner is None:
        return report.findings()
    check_bases(dockerfile, planner.scope.globals, _defaults(request, dockerfile), report)
    done: dict[int, StageChecks] = {}
    for number in sorted(planner.seen):
        base = planner.bases.get(number)
        below = done.get(base.number) if isinstance(base, Stage) else None
        blind = isinstance(base, BaseImage) and base.name in unknown
        if isinstance(base, BaseImage) and not blind:
            _base_platform(request, dockerfile, number, base, report)
        checks = done[number] = StageChecks(report, dockerfile.escape, ignore, below, blind=blind)
        for state, instruction in planner.seen[number]:
            checks.see(state, instruction)
    return report.findings()


def _defaults(request: BuildRequest, dockerfile: Dockerfile) -> dict[str, str] | None:
    try:
        return Scope(replace(request, args={}), dockerfile).globals
    except LamellaError:
        return None


def _base_platform(request: BuildRequest, dockerfile: Dockerfile, number: int, base: BaseImage, report: Report) -> None:
    start = dockerfile.stages[number].start
    actual, expected = base.config.platform, request.platform
    if not start.platform and (actual.os, actual.architecture) != (expected.os, expected.architecture):
        message = f'Base image {base.name} was pulled with platform "{actual}", expected "{expected}" for current build'
        report.add("InvalidBaseImagePlatform", start, message)
