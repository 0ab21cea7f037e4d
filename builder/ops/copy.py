"""COPY: files of the context, of another stage or of an image, into the stage's root (reference: Dockerfile, "COPY")."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from builder.context import Context, Source
from builder.dockerfile.ignore import Ignore
from builder.ops.direct import carry_out, copy_file, prepare
from builder.ops.modes import parse_mode
from builder.ops.placement import Placement
from builder.ops.transfer import Copier
from builder.stages import Directory, Ground, Origin, Output, Workspace
from core.errors import InvalidInput
from core.units import whole_number
from core.value import Value

_LAST_ID = 2**32 - 2  # the one after it means "leave it" to the kernel
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Inline(Value):
    """A source written in the Dockerfile itself: a file of mode 0644."""

    name: str
    text: str


class CopyOp(Value):
    """`destination` is absolute and clean; `directory` tells that it was written as one (`dir/`). `origin` None is the
    build context. `owner` and `mode` are --chown and --chmod as written, empty when not given."""

    sources: tuple[str, ...]
    destination: str
    directory: bool
    origin: Origin | None
    inline: tuple[Inline, ...]
    owner: str
    mode: str
    exclude: tuple[str, ...] = ()
    parents: bool = False

    def facts(self) -> list[Any]:
        inline = [[doc.name, doc.text] for doc in self.inline]
        # What the sources are called in the Dockerfile does not matter: the names that they give are part of the inputs.
        # Nor does where they come from, but for their owners, which a context does not have.
        return ["copy", self.destination, self.directory, inline, self.owner, self.mode, not self._keeps_owners]

    @property
    def _keeps_owners(self) -> bool:
        """A directory of this machine is as a context is: whose its files are there says nothing."""
        return self.origin is not None and not isinstance(self.origin, Directory)

    def inputs(self, work: Workspace) -> str:
        if not self.sources:
            return ""
        if self.origin is not None:
            return work.checksum(self.origin, self.sources, self.parents, self.exclude)
        sources = work.context.select(self.sources, parents=self.parents)
        return work.context.checksum(sources, Ignore.of(self.exclude))

    def origins(self) -> tuple[Origin, ...]:
        return (self.origin,) if self.origin else ()

    def perform(self, work: Workspace, ground: Ground, output: Output) -> None:
        with self.sources_of(work) as (context, sources):
            self.transfer(work, ground, context, sources)

    def transfer(self, work: Workspace, ground: Ground, context: Context, sources: Sequence[Source]) -> None:
        """Copy `sources`: into the mounted tree only what has to do with what is there already, the rest beside it."""
        exclude = Ignore.of(self.exclude)
        with ground.mounted() as root, self.placement(work, root, len(sources)) as place:
            self.write_inline(place)
            copier = self.copier(place)
            errands = prepare(context, sources, exclude, place) if ground.upper() else None
            if errands is None:
                for source in sources:
                    self.copy_one(context, source, place, copier)
        upper = ground.upper()
        if errands and upper:
            carry_out(errands, upper, copier)
            ground.cloned(copier.clones)

    @contextlib.contextmanager
    def sources_of(self, work: Workspace) -> Iterator[tuple[Context, list[Source]]]:
        """Where the sources are, and what they name there."""
        if self.origin is None:
            yield work.context, work.context.select(self.sources, parents=self.parents) if self.sources else []
            return
        if isinstance(self.origin, Directory):
            further = work.further_context(self.origin)
            yield further, further.select(self.sources, parents=self.parents)
            return
        with work.tree(self.origin) as tree:
            context = Context.tree(tree)
            yield context, context.select(self.sources, parents=self.parents)

    def placement(self, work: Workspace, root: Path, count: int) -> Placement:
        """Where they go to; names in --chown are looked up in `root`."""
        several = count + len(self.inline) > 1
        if several and not self.directory and not os.path.isdir(Placement(root, self.destination, True, 0).host_path()):
            raise InvalidInput(
                f"several sources need a directory, and {self.destination} is none",
                f"write the destination as {self.destination}/",
            )
        mode = parse_mode(self.mode) if self.mode else None
        return Placement(root, self.destination, self.directory, work.instant, self.ids(root), mode)

    def ids(self, root: Path) -> tuple[int, int] | None:
        """The numbers that --chown means in `root`; a number without a group is also the group's. Raises NotFound."""
        if not self.owner:
            return None
        from runtime.user import lookup

        number = whole_number(self.owner, _LAST_ID)
        if number is not None:
            return number, number
        found = lookup(root, self.owner)
        return found.uid, found.gid

    def copier(self, place: Placement) -> Copier:
        return Copier(owner=place.owner, mode=place.mode, keep_owners=self._keeps_owners)

    def copy_one(self, context: Context, source: Source, place: Placement, copier: Copier) -> None:
        """A directory's contents into the destination, or a file to it."""
        if source.is_directory:
            fd = os.open(source.path, _DIRECTORY)
            try:
                target = place.open_directory()
            except BaseException:
                os.close(fd)
                raise
            place.dated(target, os.fspath(source.path))
            copier.contents(fd, target, context.skip(source, Ignore.of(self.exclude)))
            return
        target, name = place.open_for_file(source.base)
        try:
            copy_file(source, target, name, copier)
        finally:
            os.close(target)

    def write_inline(self, place: Placement) -> None:
        """The files that stand in the Dockerfile."""
        for doc in self.inline:
            target, name = place.open_for_file(doc.name)
            try:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=target)
                fd = os.open(name, _NEW_FILE, 0o644, dir_fd=target)
            finally:
                os.close(target)
            with os.fdopen(fd, "wb") as file:
                file.write(doc.text.encode())
                file.flush()
                if place.owner:
                    os.fchown(fd, *place.owner)
                if place.mode:
                    os.fchmod(fd, place.mode.of(0o644, directory=False))
                os.utime(fd, ns=(place.instant, place.instant))
