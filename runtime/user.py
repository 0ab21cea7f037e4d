"""Who a container runs as: `user[:group]` looked up in the image's own /etc/passwd and /etc/group."""

from __future__ import annotations

import os
from collections.abc import Iterator

from core.errors import NotFound
from core.units import whole_number
from core.value import Value

MAX_FILE = 4 << 20  # bytes read of either file: nobody vouches for an image's content
MAX_ID = 2**31 - 1


class User(Value):
    """Numbers for the kernel, and the home directory for $HOME."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def lookup(rootfs: str | os.PathLike[str], text: str) -> User:
    """The user that `text` (`name`, `uid`, `name:group`, `uid:gid`; empty is root) means in `rootfs`.

    Numbers need no entry, names do; supplementary groups come with a user that has one and names no group. The group
    itself is always among them, so that dropping it cannot open what it is kept from (CVE-2022-36109). Raises NotFound.
    """
    name, colon, group = text.partition(":")
    name = name or "0"
    entry = _find_user(rootfs, name)
    number = whole_number(name, MAX_ID)
    if entry is None and number is None:
        raise NotFound(
            f"unable to find user {name}: no matching entries in passwd file",
            "add the user in the image, or give a number",
        )
    uid = int(entry[2]) if entry else number or 0
    gid = int(entry[3]) if entry else 0
    home = entry[5] if entry and entry[5] else "/"
    if colon and group:
        gid = _find_group(rootfs, group)
        return User(uid, gid, (gid,), home)
    return User(uid, gid, tuple(sorted({gid, *(_groups_of(rootfs, entry[0]) if entry else ())})), home)


def in_groups(rootfs: str | os.PathLike[str], user: User, groups: tuple[str, ...]) -> User:
    """`user` with further groups, by name or number. Raises NotFound."""
    more = {_find_group(rootfs, group) for group in groups}
    return User(user.uid, user.gid, tuple(sorted({*user.groups, *more})), user.home) if more else user


def _is_id(text: str) -> bool:
    return len(text) < 20 and whole_number(text, MAX_ID) is not None


def _find_user(rootfs: str | os.PathLike[str], name: str) -> list[str] | None:
    by_id = None
    for fields in _lines(rootfs, "/etc/passwd", 7):
        if not (_is_id(fields[2]) and _is_id(fields[3])):
            continue
        if fields[0] == name:
            return fields
        if by_id is None and fields[2] == name:
            by_id = fields
    return by_id


def _find_group(rootfs: str | os.PathLike[str], name: str) -> int:
    for fields in _lines(rootfs, "/etc/group", 3):
        if fields[0] == name and _is_id(fields[2]):
            return int(fields[2])
    number = whole_number(name, MAX_ID)
    if number is not None:
        return number
    raise NotFound(
        f"unable to find group {name}: no matching entries in group file",
        "add the group in the image, or give a number",
    )


def _groups_of(rootfs: str | os.PathLike[str], name: str) -> tuple[int, ...]:
    found = {
        int(fields[2])
        for fields in _lines(rootfs, "/etc/group", 4)
        if name in fields[3].split(",") and _is_id(fields[2])
    }
    return tuple(sorted(found))


def _lines(rootfs: str | os.PathLike[str], path: str, least: int) -> Iterator[list[str]]:
    from core.paths import open_regular

    try:
        fd = open_regular(rootfs, path)
    except OSError:
        return
    with os.fdopen(fd, "rb") as file:
        text = file.read(MAX_FILE).decode("utf-8", "surrogateescape")
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields
