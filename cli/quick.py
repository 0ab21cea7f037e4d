"""`lamella run`, `exec`, `build` and `ps` without click, which alone takes as long to load as a container takes to start.

Only what is spelt in the plainest way is read here; at the first doubt (an unknown flag, a missing value, help, a
cluster that ends in a value) click gets the same words, with its messages. Both read the one table of flags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

# What the tree's own flags could come from.
_ELSEWHERE = ("LAMELLA_NO_SYNC", "LAMELLA_DEBUG", "_LAMELLA_COMPLETE")
Known: TypeAlias = "dict[str, tuple[str, dict[str, Any]]]"
Flags: TypeAlias = "dict[str, Any]"


def quick(argv: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Do what `argv` says if it is a plain `run`, `exec`, `build` or `ps`; the exit code, or None where it is for click."""
    reader, work, failure = _COMMANDS.get(argv[0] if argv else "", (None, None, 0))
    if reader is None or work is None or any(environ.get(name) for name in _ELSEWHERE):
        return None
    flags = reader(argv[1:], environ)
    if flags is None:
        return None
    from cli.exit import protect
    from cli.settings import Settings

    settings = Settings.read(root=environ.get("LAMELLA_ROOT"), sync=True, debug=False)
    return protect(lambda: work(settings, flags), failure)


def _run(settings: Any, flags: Flags) -> int:
    from cli.running import run

    return run(settings, flags)


def _exec(settings: Any, flags: Flags) -> int:
    from cli.executing import execute

    return execute(settings, flags)


def _build(settings: Any, flags: Flags) -> int:
    from cli.building import build

    return build(settings, flags)


def _ps(settings: Any, flags: Flags) -> None:
    from cli.ps_listing import list_containers

    list_containers(settings, flags)


def parse_run(words: Sequence[str], environ: Mapping[str, str]) -> Flags | None:
    """The parameters of `run` as click would give them; None at the first doubt."""
    from cli.container_table import RUN

    flags, rest = _leading(RUN, words, environ)
    return flags | {"image": rest[0], "command": tuple(rest[1:])} if rest else None


def parse_exec(words: Sequence[str], environ: Mapping[str, str]) -> Flags | None:
    """The parameters of `exec` as click would give them; None at the first doubt."""
    from cli.exec_flags import EXEC

    flags, rest = _leading(EXEC, words, environ)
    return flags | {"name": rest[0], "command": tuple(rest[1:])} if len(rest) > 1 else None


def _leading(table: Sequence[Any], words: Sequence[str], environ: Mapping[str, str]) -> tuple[Flags, list[str]]:
    """The flags before the first word that is none, and what comes from there on: nothing at the first doubt."""
    known, flags = _table(table, environ)
    rest = list(words)
    while rest and rest[0].startswith("-"):
        if not _take(rest, known, flags):
            return flags, []
    return flags, rest


def parse_ps(words: Sequence[str], environ: Mapping[str, str]) -> Flags | None:
    """The parameters of `ps` as click would give them; None at the first doubt."""
    from cli.ps_flags import PS

    flags, rest = _leading(PS, [*words, "."], environ)
    return flags if rest == ["."] else None


def parse_build(words: Sequence[str], environ: Mapping[str, str]) -> Flags | None:
    """The parameters of `build` as click would give them; None at the first doubt. Flags may follow the path."""
    from cli.build_flags import BUILD

    known, flags = _table(BUILD, environ)
    rest = list(words)
    paths: list[str] = []
    while rest:
        if rest[0].startswith("-") and rest[0] != "-":
            if not _take(rest, known, flags):
                return None
        else:
            paths.append(rest.pop(0))
    return flags | {"path": paths[0]} if len(paths) == 1 else None


def _table(table: Sequence[Any], environ: Mapping[str, str]) -> tuple[Known, Flags]:
    """Every spelling of the flags, and what they are when they are not given."""
    from cli.flags import parameter

    known: Known = {}
    flags: Flags = {}
    for names, options in table:
        name = parameter(names)
        flags[name] = options.get(
            "default", False if options.get("is_flag") else () if options.get("multiple") else None
        )
        if environ.get(options.get("envvar", "")):
            flags[name] = environ[options["envvar"]]
        known |= {spelling: (name, options) for spelling in names if spelling[0] == "-" and "/" not in spelling}
    return known, flags


def _take(rest: list[str], known: Known, flags: Flags) -> bool:
    """Read the first flag of `rest` into `flags`; False where that is for click to do."""
    word = rest.pop(0)
    long = word.startswith("--")
    spelling, equals, value = word.partition("=") if long else (word, "", "")
    if not long and len(word) > 2:  # switches written together: -it
        rest[:0] = [f"-{letter}" for letter in word[1:]]
        return all(f"-{letter}" in known and known[f"-{letter}"][1].get("is_flag") for letter in word[1:])
    if spelling not in known:
        return False
    name, options = known[spelling]
    if options.get("is_flag"):
        flags[name] = True
        return not equals
    if not equals:
        if not rest:
            return False
        value = rest.pop(0)
    return _store(flags, name, options, value)


def _store(flags: Flags, name: str, options: dict[str, Any], value: str) -> bool:
    if value not in options.get("choices", (value,)):
        return False
    if options.get("type") is int:
        if not value.isdecimal():
            return False
        flags[name] = int(value)
    else:
        flags[name] = (*flags[name], value) if options.get("multiple") else value
    return True


Reader: TypeAlias = "Callable[[Sequence[str], Mapping[str, str]], Flags | None]"
# How a command's words are read, what does it, and the exit code when lamella itself fails (as in `cli.exit`).
_COMMANDS: dict[str, tuple[Reader | None, Callable[[Any, Flags], int | None] | None, int]] = {
    "run": (parse_run, _run, 125),
    "exec": (parse_exec, _exec, 1),
    "build": (parse_build, _build, 1),
    "ps": (parse_ps, _ps, 1),
}
