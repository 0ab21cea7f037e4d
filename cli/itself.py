"""lamella's own command line, for what outlives the command: run by conmon, or by a supervisor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cli.settings import Settings

_PROGRAM = "import sys; sys.path[:0] = [{top!r}]; from {module} import main; sys.exit(main())"


def itself(settings: Settings, *words: str) -> list[str]:
    """The command `lamella WORDS` on the same store, from wherever lamella was loaded."""
    flags = ["--root", str(settings.root), *([] if settings.sync else ["--no-sync"])]
    return [sys.executable, "-c", program("lamella.__main__"), *flags, *words]


def supervisor(settings: Settings, id: str) -> list[str]:
    """The command that sees to the container `id`, with as little of Python as it needs."""
    return [sys.executable, "-I", "-S", "-c", program("cli.supervise"), str(settings.root), id, *again(settings, id)]


def again(settings: Settings, id: str) -> list[str]:
    """The command that starts the container `id` as its restart policy asks for."""
    return itself(settings, "container", "again", id)


def program(module: str) -> str:
    """What the interpreter is given to run `module`'s `main`."""
    return _PROGRAM.format(top=str(Path(__file__).parent.parent), module=module)
