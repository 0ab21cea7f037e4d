"""`lamella run` without click, which alone takes as long to load as a container takes to start.

Only what is spelt in the plainest way is read here; at the first doubt (an unknown flag, a missing value, help, a
cluster that ends in a value) click gets the same words, with its messages. Both read the one table of flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# What the tree's own flags could come from.
_ELSEWHERE = ("LAMELLA_NO_SYNC", "LAMELLA_DEBUG", "_LAMELLA_COMPLETE")


def quick(argv: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Run `argv` if it is a plain `run`; the exit code, or None where it is for click."""
    if list(argv[:1]) != ["run"] or any(environ.get(name) for name in _ELSEWHERE):
        return None
    flags = parse(argv[1:])
    if flags is None:
        return None
    from cli.exit import ENGINE_FAILURE, protect
    from cli.running import run
    from cli.settings import Settings

    def work() -> int:
        return run(Settings.read(root=environ.get("LAMELLA_ROOT"), sync=True, debug=False), flags)

    return protect(work, ENGINE_FAILURE)


def parse(words: Sequence[str]) -> dict[str, Any] | None:
    """The parameters of `run` as click would give them; None at the first doubt."""
    from cli.container_flags import RUN

    known: dict[str, tuple[str, dict[str, Any]]] = {}
    flags: dict[str, Any] = {}
    for names, options in RUN:
        name = next(n for n in names if n.startswith("--")).partition("/")[0][2:].replace("-", "_")
        flags[name] = options.get(
            "default", False if options.get("is_flag") else () if options.get("multiple") else None
        )
        known |= {spelling: (name, options) for spelling in names if "/" not in spelling}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        if not _take(rest, known, flags):
            return None
    return flags | {"image": rest[0], "command": tuple(rest[1:])} if rest else None


def _take(rest: list[str], known: dict[str, tuple[str, dict[str, Any]]], flags: dict[str, Any]) -> bool:
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


def _store(flags: dict[str, Any], name: str, options: dict[str, Any], value: str) -> bool:
    if value not in options.get("choices", (value,)):
        return False
    if options.get("type") is int:
        if not value.isdecimal():
            return False
        flags[name] = int(value)
    else:
        flags[name] = (*flags[name], value) if options.get("multiple") else value
    return True
