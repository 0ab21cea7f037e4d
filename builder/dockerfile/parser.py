"""From logical lines to instructions and stages."""

from __future__ import annotations

import re

from builder.dockerfile.arguments import PARSERS
from builder.dockerfile.expand import ExpansionError
from builder.dockerfile.flags import FlagError, parse_flags
from builder.dockerfile.heredoc import Heredoc
from builder.dockerfile.instructions import Arg, Directives, Dockerfile, From, Instruction, Onbuild, StageSource
from builder.dockerfile.lexer import Lexer, Line
from builder.dockerfile.source import DockerfileError, Span, suggestion
from builder.dockerfile.words import WordsError, split_command
from core.value import replace

_NOT_TRIGGERS = ("ONBUILD", "FROM", "MAINTAINER")
_ONBUILD = re.compile(r"\s*ONBUILD\s*", re.IGNORECASE)
_PROSE = ("LABEL", "MAINTAINER")


def parse(data: bytes, name: str) -> Dockerfile:
    """The whole Dockerfile in `data`; `name` is how errors call the file. Raises DockerfileError at the first mistake."""
    lexer = Lexer.of(data, name)
    global_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    comments: dict[int, tuple[str, ...]] = {}
    while line := lexer.next_line():
        instruction = _instruction(line, lexer.escape)
        if line.comments:
            comments[line.span.line] = line.comments
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            global_args.append(instruction)
        else:
            raise line.error(
                f"{instruction.name} stands before the first FROM", "begin with FROM IMAGE; only ARG may precede it"
            )
    if not stages:
        raise _no_stage(lexer, bool(global_args))
    return Dockerfile(
        name,
        Directives(lexer.escape, lexer.directives.get("syntax", ""), lexer.directives.get("check", "")),
        tuple(global_args),
        tuple(StageSource(start, tuple(instructions)) for start, instructions in stages),
        tuple(lexer.findings),
        comments,
    )


def parse_instructions(data: bytes, name: str) -> list[Instruction]:
    """The instructions in `data`, which is no whole Dockerfile: nothing needs to come first. Raises DockerfileError."""
    lexer = Lexer.of(data, name)
    found = []
    while line := lexer.next_line():
        found.append(_instruction(line, lexer.escape))
    return found


def parse_trigger(text: str, span: Span) -> Instruction:
    """The instruction that an ONBUILD of a base image holds; `span` is where to point at, usually the FROM.

    Raises DockerfileError for what is no instruction or may not be a trigger.
    """
    try:
        lexer = Lexer.of(text.encode("utf-8", "replace"), span.file)
        line = lexer.next_line()
        instruction = _instruction(line, lexer.escape) if line else None
        more = lexer.next_line()
    except DockerfileError as error:
        raise DockerfileError(f"in an ONBUILD of the base image: {error.what}", span, text, error.hint) from None
    if instruction is None or more or instruction.name in _NOT_TRIGGERS:
        raise DockerfileError("an ONBUILD of the base image is not one instruction that may be a trigger", span, text)
    return replace(instruction, span=span)


def _no_stage(lexer: Lexer, has_args: bool) -> DockerfileError:
    last = max(len(lexer.lines), 1)
    what = "there is no FROM" if has_args else "there are no instructions"
    return DockerfileError(what, Span(lexer.file, last, last), "", "begin with FROM IMAGE")


def _instruction(line: Line, escape: str) -> Instruction:
    name = line.name.upper()
    if name not in PARSERS and name != "ONBUILD":
        odd = "\0" in line.name or not line.name.isprintable()
        hint = "save the file as UTF-8" if odd else suggestion(name, [*PARSERS, "ONBUILD"])
        raise line.error(f"unknown instruction: {line.name}", hint)
    line = _readable(line, name)
    try:
        flags = parse_flags(name, line.flags)
        return _onbuild(line, escape) if name == "ONBUILD" else PARSERS[name](line, flags, escape)
    except FlagError as error:
        raise line.error(str(error), error.hint) from None
    except WordsError as error:
        raise line.error(f"{name}: {error}") from None
    except ExpansionError as error:
        raise line.error(error.message, error.hint) from None


def _readable(line: Line, name: str) -> Line:
    """`line`, which must be UTF-8 where its bytes matter; old files have their authors' names in other encodings."""
    parts = [line.text, *(doc.content for doc in line.heredocs)]
    if name not in _PROSE and any("\0" in part for part in [line.text, *line.flags]):
        raise line.error(f"{name} has a NUL byte", "no command, path or variable can have one")
    if not any("\udc80" <= ch <= "\udcff" for part in parts if not part.isascii() for ch in part):
        return line
    if name not in _PROSE:
        raise line.error(f"{name} has bytes that are not UTF-8 text", "save the file as UTF-8")
    text = line.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    rest = line.rest.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return replace(line, text=text, rest=rest)


def _onbuild(line: Line, escape: str) -> Instruction:
    name, flags, rest = split_command(line.rest, escape)
    if not name:
        raise WordsError("needs an instruction")
    if name.upper() in _NOT_TRIGGERS:
        raise line.error(f"{name.upper()} cannot be an ONBUILD trigger")
    # Mistakes in the trigger are found here, where they can be corrected, rather than in somebody's later build.
    _instruction(replace(line, name=name, flags=flags, rest=rest), escape)
    return Onbuild(
        line.span, line.text, line.source, _trigger_text(_ONBUILD.sub("", line.text, count=1), line.heredocs)
    )


def _trigger_text(text: str, heredocs: tuple[Heredoc, ...]) -> str:
    return "\n".join([text, *(doc.content + doc.name for doc in heredocs)])
