"""`cp`: files out of a container and into one, whether it runs or not, with Docker's rules on what gets which name."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from typing import IO

from core import syscalls
from core.errors import Conflict, InvalidInput, NotFound
from core.paths import clean
from core.value import Value
from runtime import copy_tar
from runtime.container import Container
from runtime.containers import Containers
from runtime.copy_into import Ownership, Writer
from runtime.copy_items import Item, walk
from runtime.copy_owners import as_its_root, its_own
from runtime.copy_rules import End, asserts_directory, target
from runtime.looking_in import INSIDE, Root, root_of

_BENEATH = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_NO_SYMLINKS
ROOT = (0, 0)


class Wish(Value):
    """`archive`: users, groups and all modes as they are at the source. `follow`: a link stands for what it points to."""

    archive: bool = False
    follow: bool = False


class Copied(Value):
    """How many bytes of files were written, and what could not be."""

    bytes: int
    left_out: tuple[str, ...] = ()


def out(containers: Containers, container: Container, path: str, local: str, wish: Wish) -> Copied:
    """Copy `path` of the container to `local` on this machine. Raises NotFound, InvalidInput, Conflict, OSError."""
    with root_of(containers, container) as root, _opened_inside(container, root.fd, path, wish.follow) as fd:
        place = target(End(path, True, _is_directory(fd)), _local_end(local))
        parent, name = posixpath.split(place.rstrip("/") or "/")
        if name in ("", ".", ".."):
            parent, name = place, ""
        owner = None if wish.archive else (os.geteuid(), os.getegid())
        top = os.open(parent or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            copied = _put(Writer(top, name, _BENEATH, Ownership(owner, wish.archive)), its_own(root, walk(fd)))
        finally:
            os.close(top)
    containers.note(container, "archive-path", path=path)
    return copied


def out_as_tar(containers: Containers, container: Container, path: str, stream: IO[bytes], wish: Wish) -> None:
    """The same as a tar."""
    with root_of(containers, container) as root, _opened_inside(container, root.fd, path, wish.follow) as fd:
        copy_tar.write(its_own(root, walk(fd)), End(path).base, stream)
    containers.note(container, "archive-path", path=path)


def into(containers: Containers, container: Container, local: str, path: str, wish: Wish) -> Copied:
    """Copy `local` of this machine to `path` in the container. Raises NotFound, InvalidInput, Conflict, OSError."""
    with _opened_here(local, wish.follow) as fd, root_of(containers, container) as root:
        end = _end_inside(container, root.fd, path)
        place = target(End(local, True, _is_directory(fd)), end)
        if not end.is_directory:
            _require_directory(container, root.fd, posixpath.dirname(place.rstrip("/")))
        owner = None if wish.archive else ROOT
        copied = _written(container, root, place, walk(fd), owner)
    containers.note(container, "extract-to-dir", path=path)
    return copied


def into_from_tar(containers: Containers, container: Container, stream: IO[bytes], path: str) -> Copied:
    """Unpack a tar into the directory `path` of the container; it says who owns what."""
    with root_of(containers, container) as root:
        end = _end_inside(container, root.fd, path)
        if not end.is_directory:
            raise InvalidInput(f'destination "{container.name}:{path}" must be a directory')
        copied = _written(container, root, end.path, copy_tar.read(stream), None)
    containers.note(container, "extract-to-dir", path=path)
    return copied


def _written(
    container: Container, root: Root, place: str, items: Iterable[Item], owner: tuple[int, int] | None
) -> Copied:
    if container.read_only and not _is_mounted(container, place):
        raise Conflict("container rootfs is marked read-only")
    try:
        with as_its_root(root, owner) as (owner, translated):
            return _put(Writer(root.fd, clean(place), INSIDE, Ownership(owner, special=True)), translated(items))
    except OSError as error:
        if error.errno == errno.EROFS:
            raise Conflict("mounted volume is marked read-only") from error
        raise


def _is_mounted(container: Container, place: str) -> bool:
    points = [*(mount.target for mount in container.mounts), *container.volumes]
    return any(clean(place) == point or clean(place).startswith(f"{point.rstrip('/')}/") for point in points)


def _put(writer: Writer, items: Iterable[Item]) -> Copied:
    try:
        for item in items:
            writer.put(item)
    finally:
        writer.finish()
    return Copied(writer.bytes, tuple(writer.left_out))


@contextlib.contextmanager
def _opened_inside(container: Container, root: int, path: str, follow: bool) -> Iterator[int]:
    flags = os.O_PATH if follow or asserts_directory(path) else os.O_PATH | os.O_NOFOLLOW
    try:
        fd = syscalls.openat2(root, path, flags, resolve=INSIDE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"Could not find the file {path} in container {container.name}") from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _opened_here(path: str, follow: bool) -> Iterator[int]:
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow or asserts_directory(path) else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise NotFound(f"lstat {path}: {(error.strerror or '').lower()}") from error
    try:
        yield fd
    finally:
        os.close(fd)


def _is_directory(fd: int) -> bool:
    return stat.S_ISDIR(os.fstat(fd).st_mode)


def _end_inside(container: Container, root: int, path: str) -> End:
    """What is at `path` in the container; a link stands for what it points to, also where that is not there yet."""
    with contextlib.suppress(OSError):
        seen = syscalls.openat2(root, path, os.O_PATH | os.O_NOFOLLOW, resolve=INSIDE)
        try:
            if stat.S_ISLNK(os.fstat(seen).st_mode):
                path = posixpath.join(posixpath.dirname(path), os.readlink("", dir_fd=seen))
        finally:
            os.close(seen)
    try:
        fd = syscalls.openat2(root, path, os.O_PATH, resolve=INSIDE)
    except (FileNotFoundError, NotADirectoryError):
        return End(path, exists=False)
    try:
        mode = os.fstat(fd).st_mode
    finally:
        os.close(fd)
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise InvalidInput(f'destination "{container.name}:{path}" must be a directory or a regular file')
    return End(path, True, stat.S_ISDIR(mode))


def _require_directory(container: Container, root: int, path: str) -> None:
    try:
        os.close(syscalls.openat2(root, path or "/", os.O_PATH | os.O_DIRECTORY, resolve=INSIDE))
    except OSError as error:
        raise NotFound(f"Could not find the file {path or '/'} in container {container.name}") from error


def _local_end(path: str) -> End:
    if os.path.islink(path) and not os.path.exists(path):
        path = posixpath.join(posixpath.dirname(path), os.readlink(path))
    if os.path.exists(path):
        if not (os.path.isdir(path) or os.path.isfile(path)):
            raise InvalidInput(f'destination "{path}" must be a directory or a regular file')
        return End(path, True, os.path.isdir(path))
    parent = posixpath.dirname(path.rstrip("/")) or "."
    if not os.path.isdir(parent):
        raise InvalidInput(f'invalid output path: directory "{parent}" does not exist')
    return End(path, exists=False)
