"""Docker's flags that lamella does not have: what happens to a script that uses them. Only looked at where one is met.

A flag that only hints, or asks for what is done anyway, is accepted; where a limit or an extra is lost a warning says so;
where the outcome would be another one, the command is refused in one clear line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from core.errors import Unsupported

# Words after a flag's names: the values that ask for nothing. A trailing `?` marks a switch.
_RUN_IGNORED = ("--disable-content-trust?",)
_RUN_DISCARDED = ("--kernel-memory", "--cpu-rt-period", "--cpu-rt-runtime")
_WINDOWS = ("--cpu-count", "--cpu-percent", "--io-maxbandwidth", "--io-maxiops")
_RUN_REFUSED = ("--link-local-ip", "--use-api-socket?", *_WINDOWS)
_BUILD_IGNORED = (
    "--cache-from", "--builder", "--disable-content-trust?", "--layers?", "--debug?", "-D?",
)  # fmt: skip
_BUILD_DISCARDED = ("--provenance false 0", "--sbom false 0", "--attest", "--cache-to", "--policy")
_BUILD_REFUSED = (
    "--output -o type=docker type=image",
)  # fmt: skip
_TRANSFER = ("--disable-content-trust?",)
_CLUSTER = (
    "--type", "--scope single", "--sharing none", "--availability active", "--group", "--limit-bytes", "--required-bytes",
    "--secret", "--topology-preferred", "--topology-required",
)  # fmt: skip

# command → the flags that are ignored, discarded with a warning, refused
_FLAGS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "run": (_RUN_IGNORED, _RUN_DISCARDED, _RUN_REFUSED),
    "create": (_RUN_IGNORED, _RUN_DISCARDED, _RUN_REFUSED),
    "build": (_BUILD_IGNORED, _BUILD_DISCARDED, _BUILD_REFUSED),
    "start": ((), (), ("--checkpoint", "--checkpoint-dir")),
    "update": ((), ("--cpu-rt-period", "--cpu-rt-runtime"), ()),
    "rm": ((), (), ("--link? -l?",)),
    "volume create": ((), (), _CLUSTER),
    "volume ls": ((), (), ("--cluster?",)),
    "push": (_TRANSFER, (), ()),
    "pull": (_TRANSFER, (), ()),
}
_HINTS = {
    "--output": "the image is kept here; `lamella push` sends it to a registry",
    "--link-local-ip": "give it an address on a network of its own: --ip, --ip6",
    "--use-api-socket": "nothing here serves Docker's API",
    **dict.fromkeys(_WINDOWS, "it is for Windows; --cpus, --device-read-bps and the like limit containers here"),
    **dict.fromkeys(("--checkpoint", "--checkpoint-dir"), "processes are not saved by lamella: it has no CRIU"),
    "--link": "a link goes with its container: make that anew, or use a network",
    **dict.fromkeys(
        (flag.split()[0].rstrip("?") for flag in (*_CLUSTER, "--cluster?")),
        "volumes of a swarm's are none of lamella's",
    ),
}
_REASONS = {
    "--kernel-memory": "the kernel has no such limit any more",
    **dict.fromkeys(
        ("--cpu-rt-period", "--cpu-rt-runtime"), "no real-time shares are given out here; see --cpu-shares"
    ),
}


def add_foreign(command: click.Command, path: str) -> bool:
    """Give `command` the flags that Docker's command of this name has besides; False where there are none (left). `path` is how
    it was called: `lamella container run`."""
    groups = _FLAGS.get(path.partition(" ")[2].removeprefix("container ").removeprefix("image "), ())
    if not groups or any(getattr(param, "foreign", False) for param in command.params):
        return False
    for flags, meet in zip(groups, (_ignore, _discard, _refuse), strict=True):
        command.params += [_option(flag, meet) for flag in flags]
    return True


def _option(flag: str, meet: Callable[[str], None]) -> click.Option:
    words = flag.replace("?", "").split()
    names = [word for word in words if word.startswith("-")]
    harmless = ["", *words[len(names) :]]

    def callback(ctx: click.Context, param: click.Parameter, given: Any) -> None:
        values = [] if given in (None, (), False) else ["true"] if given is True else list(given)
        if not all(value in harmless for value in values):
            meet(names[0])

    name = "foreign_" + names[0].strip("-").replace("-", "_")
    shape: dict[str, Any] = {"is_flag": True} if "?" in flag else {"multiple": True}
    option = click.Option([*names, name], callback=callback, expose_value=False, hidden=True, **shape)
    option.foreign = True  # type: ignore[attr-defined]
    return option


def _ignore(name: str) -> None:
    pass


def _discard(name: str) -> None:
    sys.stderr.write(f"WARNING: {name} is discarded: {_REASONS.get(name, 'lamella has nothing like it')}\n")


def _refuse(name: str) -> None:
    raise Unsupported(f"{name} is not supported by lamella", _HINTS.get(name, "leave it out"))
