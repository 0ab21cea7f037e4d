"""Rules that look at the file as it is written: every stage of it, whatever is built."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from builder.checks.report import Report
from builder.dockerfile.expand import Expander, ExpansionError
from builder.dockerfile.instructions import Arg, Dockerfile, From, Instruction, Maintainer
from builder.dockerfile.words import blank_separated
from core.errors import InvalidInput
from image.platform import Platform
from image.reference import Reference

RESERVED = ("context", "scratch")


def check_text(dockerfile: Dockerfile, report: Report) -> None:
    """Everything that needs no variable."""
    _continuations(dockerfile, report)
    _stage_names(dockerfile, report)
    _casing(dockerfile, report)
    for one in dockerfile:
        match one:
            case Maintainer():
                report.add("MaintainerDeprecated", one, "Maintainer instruction is deprecated in favor of using label")
            case From():
                _from_words(one, report)
                _description(dockerfile, one, [one.stage] if one.stage else [], report)
            case Arg():
                _description(dockerfile, one, [each.key for each in one.declarations], report)


def _continuations(dockerfile: Dockerfile, report: Report) -> None:
    instructions = [*dockerfile] if dockerfile.findings else []
    starts = [one.span.line for one in instructions]
    for finding in dockerfile.findings:
        about = instructions[bisect_right(starts, finding.span.line) - 1]
        report.add(finding.rule, about, finding.message, finding.span)


def _stage_names(dockerfile: Dockerfile, report: Report) -> None:
    seen: set[str] = set()
    for stage in dockerfile.stages:
        if stage.name in RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{stage.name}"'
            report.add("ReservedStageName", stage.start, message)
        if stage.name and stage.name in seen:
            message = f'Duplicate stage name "{stage.name}", stage names should be unique'
            report.add("DuplicateStageName", stage.start, message)
        seen.add(stage.name)


def name_of(one: Instruction) -> str:
    """The instruction's name as it is written."""
    return one.text.split(None, 1)[0]


def _casing(dockerfile: Dockerfile, report: Report) -> None:
    """The majority is right; a name that is neither lower nor upper case has no vote."""
    voters = [one for stage in dockerfile.stages for one in (stage.start, *stage.instructions)]
    named = [(one, name_of(one)) for one in voters]
    lower = sum(name == name.lower() for _, name in named) > sum(name == name.upper() for _, name in named)
    right = "lowercase" if lower else "uppercase"
    for one, name in named:
        if name != (name.lower() if lower else name.upper()):
            message = f"Command '{name}' should match the case of the command majority ({right})"
            report.add("ConsistentInstructionCasing", one, message)


def _from_words(one: From, report: Report) -> None:
    words = blank_separated(one.text.strip())
    if not one.stage:
        return
    keyword, joint, name = words[0], words[-2], words[-1]
    if name != name.lower():
        report.add("StageNameCasing", one, f"Stage name '{name}' should be lowercase")
    lower = keyword == keyword.lower()
    if (lower or keyword == keyword.upper()) and joint != (joint.lower() if lower else joint.upper()):
        report.add("FromAsCasing", one, f"'{joint}' and '{keyword}' keywords' casing do not match")


def _description(dockerfile: Dockerfile, one: Instruction, names: list[str], report: Report) -> None:
    comments = dockerfile.comments.get(one.span.line, ())
    if comments and names and comments[-1].split(" ")[0] not in names:
        name = names[0] if len(names) == 1 else "<arg_key>"
        message = f"Comment for {one.name} should follow the format: `# {name} <description>`"
        report.add("InvalidDefinitionDescription", one, message)


def check_bases(
    dockerfile: Dockerfile, values: Mapping[str, str], defaults: Mapping[str, str] | None, report: Report
) -> None:
    """What FROM makes of its variables: the global ones are `values`, or `defaults` without any build arg."""
    declared = {one.key for arg in dockerfile.global_args for one in arg.declarations} | values.keys()
    for stage in dockerfile.stages:
        start = stage.start
        if defaults is not None and _is_no_name(start.image, defaults, dockerfile.escape):
            message = f"Default value for ARG {start.image} results in empty or invalid base image name"
            report.add("InvalidDefaultArgInFrom", start, message)
        for text in filter(None, (start.image, start.platform)):
            for name in _used(text, values, dockerfile.escape)[1]:
                if name not in declared:
                    near = report.nearest(name, declared)
                    message = f"FROM argument '{name}' is not declared" + (f" (did you mean {near}?)" if near else "")
                    report.add("UndefinedArgInFrom", start, message)
        if start.platform:
            _platform(start, values, dockerfile.escape, report)


def _is_no_name(image: str, defaults: Mapping[str, str], escape: str) -> bool:
    try:
        Reference.parse(Expander(defaults.get, escape).text(image))
    except ExpansionError:
        return False  # told by whoever expands it in earnest
    except InvalidInput:
        return True
    return False


def _used(text: str, values: Mapping[str, str], escape: str) -> tuple[list[str], list[str], str]:
    """The names in `text` that have a value, those that have none, and what it expands to."""
    known: list[str] = []
    unknown: list[str] = []

    def lookup(name: str) -> str | None:
        if name in values:
            known.append(name)
        return values.get(name)

    try:
        return known, unknown, Expander(lookup, escape, unknown.append).text(text)
    except ExpansionError:
        return [], [], ""


def _platform(start: From, values: Mapping[str, str], escape: str, report: Report) -> None:
    known, unknown, result = _used(start.platform, values, escape)
    if set(known) == {"TARGETPLATFORM"} and not unknown and result == values["TARGETPLATFORM"]:
        message = (
            f"Setting platform to predefined {start.platform} in FROM is redundant as this is the default behavior"
        )
        report.add("RedundantTargetPlatform", start, message)
    if known or unknown:
        return
    try:
        wanted = Platform.parse(result)
    except InvalidInput:
        return
    if wanted.os not in start.stage and wanted.architecture not in start.stage:
        message = f'FROM --platform flag should not use constant value "{result}"'
        report.add("FromPlatformFlagConstDisallowed", start, message)
