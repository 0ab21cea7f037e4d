"""`--mount=type=bind`: files of the context, of a stage or of an image, shown to one step."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from builder.cache import tree_key
from builder.context import Context, Source, SourceNotFound
from builder.ops.mounts import RunMount
from builder.ops.transfer import Copier
from builder.stages import BaseImage, Directory, Origin, Workspace
from core.paths import clean, resolve_in
from runtime.mounts import Mount

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPTIONS = ("rprivate", "nodev")


def content(work: Workspace, origin: Origin | None, source: str) -> str:
    """The digest of the files that the mount shows. Raises SourceNotFound."""
    name = clean(source)[1:]
    if origin is None or isinstance(origin, Directory):
        context = _context_of(work, origin)
        return context.checksum([find(context, name)])
    if isinstance(origin, BaseImage) and not name:  # there is no need to read a whole image to know it
        return tree_key(origin.image.id, [])
    return work.checksum(origin, (_literal(name),), False, ())


def _context_of(work: Workspace, origin: Directory | None) -> Context:
    return work.context if origin is None else work.further_context(origin)


@contextlib.contextmanager
def bound(one: RunMount, work: Workspace, nested: bool) -> Iterator[Mount]:
    """The mount, until the block ends; `nested` where another one goes into it. What a step writes is dropped."""
    name = clean(one.mount.source)[1:]
    with contextlib.ExitStack() as stack:
        if one.origin is not None and not isinstance(one.origin, Directory):
            place = source_in(stack.enter_context(work.tree(one.origin)), name)
        else:
            context = _context_of(work, one.origin)
            source = find(context, name)
            # Shown as it is only where no step can do anything to it, nor through it, nor see whose it is.
            plain = one.mount.read_only and not nested and _is_plain(context, source)
            place = source.path if plain else _copied(context, source, stack.enter_context(work.supplies.scratch()))
        yield Mount(str(place), one.target, read_only=one.mount.read_only, options=_OPTIONS)


def find(context: Context, name: str) -> Source:
    """The file or directory `name` of the context. Raises SourceNotFound."""
    found = context.select([_literal(name)])
    if not found:
        raise SourceNotFound(f"{name}: not found in {context.root}")
    return found[0]


def source_in(root: Path, name: str) -> Path:
    """Where `name` is in a mounted tree. Raises SourceNotFound."""
    path = Path(resolve_in(root, name))
    if not path.exists():
        raise SourceNotFound(f"/{name}: not found in the stage or image")
    return path


def _literal(name: str) -> str:
    """`name` as a pattern that matches nothing else."""
    return re.sub(r"[*?\[\\]", r"[\\\g<0>]", name) if re.search(r"[*?\[]", name) else name


def _is_plain(context: Context, source: Source) -> bool:
    """Whether nothing is left out of it, everything is root's, and there are only files, directories and links."""
    if context.skip(source) is not None:
        return False
    statuses = [status for _, status in context.entries(source)] + [os.lstat(source.path)]
    return all(_is_harmless(status) for status in statuses)


def _is_harmless(status: os.stat_result) -> bool:
    kind = stat.S_IFMT(status.st_mode)
    return kind in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK) and not status.st_uid and not status.st_gid


def _copied(context: Context, source: Source, place: Path) -> Path:
    """A copy below the empty directory `place`, all root's as in a COPY."""
    target = os.open(place, _DIRECTORY)
    if not source.is_directory:
        try:
            parent = os.open(source.path.parent, _DIRECTORY)
            try:
                Copier().file(parent, target, source.path.name, "file")
            finally:
                os.close(parent)
        finally:
            os.close(target)
        return place / "file"
    os.close(target)
    tree = place / "tree"
    copy_tree(source.path, tree, Copier(), context, source)
    return tree


def copy_tree(
    path: Path, tree: Path, copier: Copier, context: Context | None = None, source: Source | None = None
) -> None:
    """Copy the directory `path` to `tree`, its own mode and time too; with a context's `source`, less what is ignored."""
    tree.mkdir(0o755, exist_ok=True)
    fd, target = os.open(path, _DIRECTORY), os.open(tree, _DIRECTORY)
    status = os.fstat(fd)
    copier.contents(fd, target, context.skip(source) if context and source else None)
    os.chmod(tree, stat.S_IMODE(status.st_mode))
    os.utime(tree, ns=(status.st_mtime_ns, status.st_mtime_ns))
