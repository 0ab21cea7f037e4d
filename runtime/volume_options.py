"""The options of the local driver: `type`, `device` and `o`, as mount(8) has them, become a mount that is nowhere yet."""

from __future__ import annotations

from collections.abc import Mapping

from core.errors import InvalidInput, Unavailable

_NEEDS = {"device": ("type",), "type": ("device",), "o": ("device", "type")}
# Words of mount(8) that are flags of a mount (fsmount(2)); all others are the file system's.
_ATTRIBUTES = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 0x10, "strictatime": 0x20, "nodiratime": 0x80}
_NOTHING = frozenset({"rw", "suid", "dev", "exec", "atime", "diratime", "relatime", "defaults", "auto", "noauto", "nofail",
                      "_netdev", "user", "nouser", "bind", "rbind"})  # fmt: skip


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Docker's rules for the volume `name`. Raises InvalidInput."""
    if "size" in options:
        raise InvalidInput(
            f"create {name}: quota size requested but no quota support", "a tmpfs has a size: type=tmpfs, o=size=…"
        )
    for option in options:
        if option not in _NEEDS:
            raise InvalidInput(f'create {name}: invalid option: "{option}"', "the options are type, device and o")
    for option, others in _NEEDS.items():
        for other in others if option in options else ():
            if other not in options:
                raise InvalidInput(f'create {name}: missing required option: "{other}"', "give type and device, and o")


def make_tree(name: str, path: str, options: Mapping[str, str]) -> int:
    """A descriptor of the mount that the options mean: it goes with the descriptor unless it is moved somewhere.

    Raises Unavailable with what the kernel says.
    """
    kind, device, words = options.get("type", ""), options.get("device", ""), options.get("o", "")
    parts = [word for word in words.split(",") if word]
    attributes = sum(_ATTRIBUTES.get(word, 0) for word in set(parts))
    try:
        if kind in ("", "none", "bind") or "bind" in parts or "rbind" in parts:
            return _bound(device, attributes, recursive="rbind" in parts)
        return _made(kind, device, parts, attributes)
    except OSError as error:
        raise Unavailable(
            f"error while mounting volume '{path}': failed to mount local volume: mount {device}:{path}"
            f"{f', data: {words}' if words else ''}: {(error.strerror or str(error)).lower()}",
            f"see what the volume was made with: lamella volume inspect {name}",
        ) from error


def _bound(device: str, attributes: int, *, recursive: bool) -> int:
    from core import syscalls

    def change(tree: int) -> None:
        if attributes:
            syscalls.set_attributes(tree, attributes, recursive=recursive)

    return syscalls.changed_copy(device, change, recursive=recursive)


def _made(kind: str, device: str, parts: list[str], attributes: int) -> int:
    from core import syscalls

    own = [(word.partition("=")[0], word.partition("=")[2] if "=" in word else None) for word in parts]
    given = [(key, value) for key, value in own if key not in _ATTRIBUTES and key not in _NOTHING]
    if kind.startswith("nfs"):
        given = [(key, _address(value) if key == "addr" and value else value) for key, value in given]
    flags: list[tuple[str, str | None]] = [("ro", None)] if "ro" in parts else []
    return syscalls.new_tree(kind, [("source", device), *flags, *given], attributes)


def _address(host: str) -> str:
    """The kernel takes addresses only."""
    import socket

    return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
