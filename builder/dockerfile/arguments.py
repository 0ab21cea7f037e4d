"""One function for each instruction: from a logical line's arguments to the instruction's value."""

from __future__ import annotations

import re
from collections.abc import Callable

from builder.dockerfile.expand import SPACES
from builder.dockerfile.flags import Flags
from builder.dockerfile.heredoc import Heredoc, parse_heredoc
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Declaration,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Network,
    Pair,
    Run,
    Security,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)  # fmt: skip
from builder.dockerfile.lexer import Line
from builder.dockerfile.mounts import parse_mount
from builder.dockerfile.words import WordsError, blank_separated, exec_form, quoted_words, split_two
from core.errors import InvalidInput
from core.units import parse_duration

Parser = Callable[[Line, Flags, str], Instruction]

_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")
_NETWORKS: dict[str, Network] = {"default": "default", "none": "none", "host": "host"}
_SECURITY: dict[str, Security] = {"sandbox": "sandbox", "insecure": "insecure"}
_MILLISECOND = 10**6
MAX_RETRIES = 2**31 - 1


def _from(line: Line, flags: Flags, escape: str) -> Instruction:
    words = blank_separated(line.rest)
    stage = ""
    if len(words) == 3 and words[1].upper() == "AS":
        stage = words[2].lower()
        if not _STAGE_NAME.fullmatch(stage):
            raise line.error(
                f"invalid stage name: {words[2]!r}",
                "it starts with a letter and has only letters, digits, '_', '-', '.'",
            )
    elif len(words) != 1:
        raise line.error("FROM needs an image, and nothing more than AS and a name", "write it as FROM IMAGE AS NAME")
    return From(line.span, line.text, line.source, words[0], stage, flags.text("platform"))


def _command(line: Line) -> Command:
    words = exec_form(line.rest)
    return Command((line.rest,), True) if words is None else Command(words, False)


def _run(line: Line, flags: Flags, escape: str) -> Instruction:
    network = _NETWORKS.get(flags.text("network") or "default")
    security = _SECURITY.get(flags.text("security") or "sandbox")
    if network is None:
        raise line.error(f"unknown network mode: {flags.text('network')!r}", "there are default, none and host")
    if security is None:
        raise line.error(f"unknown security mode: {flags.text('security')!r}", "there are sandbox and insecure")
    mounts = tuple(parse_mount(raw) for raw in flags.list("mount"))
    return Run(
        line.span,
        line.text,
        line.source,
        _command(line),
        mounts,
        network,
        security,
        flags.list("device"),
        line.heredocs,
    )


def _sources(line: Line) -> tuple[tuple[str, ...], str, tuple[Heredoc, ...]]:
    """Sources, destination, and the sources that are heredocs."""
    exact = exec_form(line.rest)
    if exact is not None:
        words, announced = list(exact), []
    else:
        words = blank_separated(line.rest)
        announced = [word for word in words if parse_heredoc(word)]
    if len(words) < 2:
        raise WordsError("needs at least one source and a destination")
    if words[-1] in announced:
        raise WordsError("a heredoc cannot be the destination")
    if len(announced) != len(line.heredocs):
        raise WordsError("a heredoc's word has no spaces here")
    for doc in line.heredocs:
        if "/" in doc.name or doc.name in (".", ".."):
            raise WordsError(f"the heredoc {doc.name!r} becomes a file's name, so it cannot be a path")
    return tuple(word for word in words[:-1] if word not in announced), words[-1], line.heredocs


def _copy(line: Line, flags: Flags, escape: str) -> Instruction:
    sources, destination, heredocs = _sources(line)
    origin = flags.text("from")
    if "$" in origin:
        raise line.error(
            f"--from={origin} cannot have a variable", "name a stage of its own: FROM $IMAGE AS name, then --from=name"
        )
    return Copy(
        line.span, line.text, line.source, sources, destination, heredocs, flags.text("chown"), flags.text("chmod"),
        flags.bool("link"), flags.list("exclude"), origin, flags.bool("parents"),
    )  # fmt: skip


def _add(line: Line, flags: Flags, escape: str) -> Instruction:
    sources, destination, heredocs = _sources(line)
    return Add(
        line.span, line.text, line.source, sources, destination, heredocs, flags.text("chown"), flags.text("chmod"),
        flags.bool("link"), flags.list("exclude"), flags.text("checksum"), flags.bools.get("keep-git-dir"),
        flags.bools.get("unpack"),
    )  # fmt: skip


def _pairs(line: Line, escape: str) -> tuple[Pair, ...]:
    words = quoted_words(line.rest, escape)
    if not words:
        raise WordsError("needs at least one name and value")
    if "=" not in words[0]:
        parts = split_two(line.rest)
        if len(parts) < 2:
            raise line.error(f"{parts[0]!r} has no value", f"write it as {line.name.upper()} {parts[0]}=VALUE")
        return (Pair(parts[0], parts[1], legacy=True),)
    return tuple(_pair(line, word) for word in words)


def _pair(line: Line, word: str) -> Pair:
    key, equals, value = word.partition("=")
    if not equals:
        raise line.error(f"{word!r} has no value", 'quote a value that has spaces: NAME="some words"')
    if not key:
        raise line.error(f"{word!r} has no name before the =")
    return Pair(key, value)


def _env(line: Line, flags: Flags, escape: str) -> Instruction:
    return Env(line.span, line.text, line.source, _pairs(line, escape))


def _label(line: Line, flags: Flags, escape: str) -> Instruction:
    return Label(line.span, line.text, line.source, _pairs(line, escape))


def _arg(line: Line, flags: Flags, escape: str) -> Instruction:
    words = quoted_words(line.rest, escape)
    if not words:
        raise WordsError("needs at least one name")
    declarations = []
    for word in words:
        key, equals, value = word.partition("=")
        if not key:
            raise line.error(f"{word!r} has no name before the =")
        declarations.append(Declaration(key, value if equals else None))
    return Arg(line.span, line.text, line.source, tuple(declarations))


def _cmd(line: Line, flags: Flags, escape: str) -> Instruction:
    return Cmd(line.span, line.text, line.source, _command(line))


def _entrypoint(line: Line, flags: Flags, escape: str) -> Instruction:
    return Entrypoint(line.span, line.text, line.source, _command(line))


def _shell(line: Line, flags: Flags, escape: str) -> Instruction:
    words = exec_form(line.rest)
    if not words:
        raise line.error("SHELL needs a JSON array of words", 'write it like SHELL ["/bin/bash", "-c"]')
    return Shell(line.span, line.text, line.source, words)


def _expose(line: Line, flags: Flags, escape: str) -> Instruction:
    words = blank_separated(line.rest)
    if not words:
        raise WordsError("needs at least one port")
    return Expose(line.span, line.text, line.source, tuple(words))


def _volume(line: Line, flags: Flags, escape: str) -> Instruction:
    exact = exec_form(line.rest)
    paths = [path.strip(SPACES) for path in (blank_separated(line.rest) if exact is None else exact)]
    if not paths or not all(paths):
        raise WordsError("needs a path, and this one is empty" if paths else "needs at least one path")
    return Volume(line.span, line.text, line.source, tuple(paths))


def _one(line: Line, what: str) -> str:
    if not line.rest:
        raise WordsError(f"needs {what}")
    return line.rest


def _user(line: Line, flags: Flags, escape: str) -> Instruction:
    return User(line.span, line.text, line.source, _one(line, "a user, such as 1000 or name:group"))


def _workdir(line: Line, flags: Flags, escape: str) -> Instruction:
    return Workdir(line.span, line.text, line.source, _one(line, "a path"))


def _stopsignal(line: Line, flags: Flags, escape: str) -> Instruction:
    return Stopsignal(line.span, line.text, line.source, _one(line, "a signal, such as SIGTERM"))


def _maintainer(line: Line, flags: Flags, escape: str) -> Instruction:
    return Maintainer(line.span, line.text, line.source, _one(line, "a name"))


def _healthcheck(line: Line, flags: Flags, escape: str) -> Instruction:
    kind, *rest = split_two(line.rest) or [""]
    if kind.upper() == "NONE":
        if rest:
            raise WordsError("NONE takes no arguments")
        return Healthcheck(line.span, line.text, line.source, ("NONE",))
    if kind.upper() != "CMD" or not rest:
        raise line.error(
            "HEALTHCHECK needs NONE, or CMD and a command",
            "write it like HEALTHCHECK --interval=30s CMD curl -f localhost",
        )
    words = exec_form(rest[0])
    if words == ():
        raise WordsError("CMD needs a command")
    test = ("CMD-SHELL", rest[0]) if words is None else ("CMD", *words)
    return Healthcheck(
        line.span, line.text, line.source, test, _time(line, flags, "interval"), _time(line, flags, "timeout"),
        _time(line, flags, "start-period"), _time(line, flags, "start-interval"), _retries(line, flags),
    )  # fmt: skip


def _time(line: Line, flags: Flags, name: str) -> int:
    text = flags.text(name)
    if not text:
        return 0
    try:
        time = parse_duration(text)
    except InvalidInput as error:
        raise line.error(f"--{name}: {error.message}", error.hint) from None
    if time and time < _MILLISECOND:
        raise line.error(f"--{name} is under a millisecond: {text}")
    return time


def _retries(line: Line, flags: Flags) -> int:
    text = flags.text("retries")
    if not text:
        return 0
    if not re.fullmatch(r"\+?[0-9]{1,10}", text) or int(text) > MAX_RETRIES:
        raise line.error(f"--retries is no number of tries: {text!r}")
    return int(text)


# Every instruction but ONBUILD, which holds another.
PARSERS: dict[str, Parser] = {
    "ADD": _add, "ARG": _arg, "CMD": _cmd, "COPY": _copy, "ENTRYPOINT": _entrypoint, "ENV": _env, "EXPOSE": _expose,
    "FROM": _from, "HEALTHCHECK": _healthcheck, "LABEL": _label, "MAINTAINER": _maintainer, "RUN": _run,
    "SHELL": _shell, "STOPSIGNAL": _stopsignal, "USER": _user, "VOLUME": _volume, "WORKDIR": _workdir,
}  # fmt: skip
