"""Flags as rows of a table: click's options are made from them, and `cli.quick` reads them where words are plain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

# A flag's names (the last may be the parameter's, without dashes), and click's options for it; `choices` are the values
# it takes.
Flag: TypeAlias = "tuple[tuple[str, ...], dict[str, Any]]"


def parameter(names: Sequence[str]) -> str:
    """What the parameter of a flag with these names is called."""
    if not names[-1].startswith("-"):
        return names[-1]
    return next(n for n in names if n.startswith("--")).partition("/")[0][2:].replace("-", "_")


def with_options(flags: Sequence[Flag]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command `flags`, in their order."""
    import click

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for names, options in reversed(flags):
            rest = {key: value for key, value in options.items() if key != "choices"}
            kind: dict[str, Any] = {"type": click.Choice(options["choices"])} if "choices" in options else {}
            function = click.option(*names, **rest, **kind)(function)
        return function

    return add
