"""How the commands of an ordinary user come into the user namespace that they are root of."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# What touches no layer, container or mount stays outside.
_OUTSIDE = ("help", "version", "completion", "login", "logout", "registry")
_GROUPS = ("builder", "container", "generate", "healthcheck", "image", "network", "system", "volume")


def enter(argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Become root in the store's user namespace, if the command in `argv` needs that. Raises as `core.rootless.enter` does."""
    words, root = _read(argv)
    if not words or words[0] in _OUTSIDE or _is_help(words) or "_LAMELLA_COMPLETE" in environ:
        return
    from cli.settings import Settings
    from core.rootless import enter as enter_namespace
    from runtime.state import state_directory

    settings = Settings.read(root=root or environ.get("LAMELLA_ROOT"), sync=True, debug=False)
    enter_namespace(state_directory(settings.root), lambda: _keepers(settings.root), _warn)


def _read(argv: Sequence[str]) -> tuple[Sequence[str], str]:
    """The command with its words and the value of --root, of which the rest of lamella will know better."""
    words, root = list(argv), ""
    while words and words[0].startswith("-"):
        name, equals, value = words.pop(0).partition("=")
        if name == "--root":
            root = value if equals or not words else words.pop(0)
    return words, root


def _is_help(words: Sequence[str]) -> bool:
    """Whether only the help of a command is asked for. Elsewhere the same words may be a container's, and -h a host's name."""
    rest = words[2:] if words[0] in _GROUPS and words[1:2] not in (["-h"], ["--help"]) else words[1:]
    return list(rest) in (["-h"], ["--help"])


def _keepers(root: Path) -> Iterator[int]:
    """The processes that keep the containers of the store."""
    from runtime.status import read_status

    for directory in (root / "containers").glob("*"):
        with contextlib.suppress(OSError):
            keeper = read_status(directory).keeper
            if keeper:
                yield keeper


def _warn(message: str, hint: str) -> None:
    sys.stderr.write(f"lamella: {message}\n  {hint}\n")
