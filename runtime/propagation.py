"""Whether a bind can follow what the host mounts below it later (mount_namespaces(7))."""

from __future__ import annotations

import os

from core.errors import InvalidInput
from runtime.mounts import Mount


def check_followed(mount: Mount, table: str = "/proc/self/mountinfo") -> None:
    """Raises InvalidInput, in Docker's words, where the mount that `mount.source` is on tells nobody what is mounted below."""
    place, optional = _mount_of(os.path.realpath(mount.source), table)
    if not any(word.startswith(("shared:", "master:")) for word in optional):
        raise InvalidInput(
            f"path {mount.source} is mounted on {place} but it is not a shared or slave mount",
            f"make it one: mount --make-rshared {place}; or leave {mount.options[0]} out",
        )


def _mount_of(path: str, table: str) -> tuple[str, list[str]]:
    """The mount point that `path` is below, and the optional fields of its last mount (proc(5), mountinfo)."""
    best, optional = "", []
    with open(table, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.split(" - ")[0].split()
            place = _unescaped(fields[4])
            if len(place) >= len(best) and f"{path}/".startswith(f"{place.rstrip('/')}/"):
                best, optional = place, fields[6:]
    return best, optional


def _unescaped(place: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        place = place.replace(code, character)
    return place
