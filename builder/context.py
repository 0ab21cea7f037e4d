"""The build context: a directory, seen through its ignore rules, that COPY and ADD take their sources from."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from builder.context_digest import FileDigests, Part, digest_of
from builder.context_walk import Entry, Filter, walk
from builder.dockerfile.ignore import Ignore
from builder.dockerfile.source import suggestion
from builder.dockerfile.wildcard import compile_name, has_wildcard
from builder.statuses import Seen, look
from core.errors import InvalidInput, NotFound
from core.paths import clean, resolve_in
from core.value import Value

Skip = Callable[[str, bool], bool]
Foreseen = Callable[[Path], Seen | None]
NOTHING = Ignore()


def nothing_foreseen(path: Path) -> Seen | None:
    """Nobody has looked ahead."""
    return None


class SourceNotFound(NotFound):
    """A source of COPY or ADD that is not in the context, or is left out of it; the message says which."""


class Source(Value):
    """One file or directory that a COPY or ADD named.

    `name` is relative to the context ("" for the context itself) and gives a copied file its name; `path` is where it
    really is on this host, links in the name followed inside the context; `wanted` is what the Dockerfile says. Of a
    directory, the contents are copied; with `include` (--parents), those of them that match and the directories above.
    """

    name: str
    path: Path
    wanted: str
    is_directory: bool
    real: str = ""
    include: Ignore | None = None

    @property
    def base(self) -> str:
        """The name that a file gets in a destination that is a directory."""
        return posixpath.basename(self.name)


def ignore_file(context: Path, dockerfile: Path | None, *, sent: bool = False) -> Path | None:
    """Where the ignore rules are: beside the `dockerfile`, if it is a file, or else in the context; a context that was
    `sent` whole has none. Raises InvalidInput for anything else in its place."""
    if sent:
        return None
    candidates = [Path(resolve_in(context, ".dockerignore"))]
    if dockerfile:
        candidates.insert(0, dockerfile.with_name(dockerfile.name + ".dockerignore"))
    for path in candidates:
        if path.is_file():
            return path
        if path.exists():
            raise _unreadable(path, "is a directory" if path.is_dir() else "is no regular file")
    if (context / ".dockerignore").is_symlink():
        raise _unreadable(context / ".dockerignore", "leads to nothing in the context")
    return None


def _unreadable(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"failed to read {path.name}: {why}",
        "nothing would be left out: make it a file with a pattern on each line, or take it away",
    )


def ignore_rules(context: Path, dockerfile: Path | None, *, sent: bool = False) -> Ignore:
    """The rules in the file beside the `dockerfile`, which win entirely; else those in the context."""
    path = ignore_file(context, dockerfile, sent=sent)
    return Ignore.parse(path.read_bytes(), path.name) if path else NOTHING


class Context:
    """`root` seen through `ignore`. With `owners` on, files keep their owners (another stage's root); off, they are 0:0."""

    def __init__(
        self, root: Path, ignore: Ignore = NOTHING, digests: FileDigests | None = None, *, owners: bool = False,
        foreseen: Foreseen = nothing_foreseen,
    ) -> None:  # fmt: skip
        self.root = root
        self.ignore = ignore
        self.digests = digests
        self.owners = owners
        self._foreseen = foreseen
        self._last: tuple[Source, Ignore, list[Entry]] | None = None

    @classmethod
    def local(
        cls, directory: Path, ignore: Ignore = NOTHING, digests: FileDigests | None = None,
        foreseen: Foreseen = nothing_foreseen,
    ) -> Context:  # fmt: skip
        """A directory on this host. `foreseen` may already know what `seen` gives for a path. Raises InvalidInput for what
        is no directory."""
        if not directory.is_dir():
            raise InvalidInput(f"the build context is no directory: {directory}", "give the path of a directory")
        return cls(directory.resolve(), ignore, digests, foreseen=foreseen)

    @classmethod
    def tree(cls, root: Path, digests: FileDigests | None = None) -> Context:
        """The root file system of a stage or an image (COPY --from): nothing is ignored, owners count."""
        return cls(root, NOTHING, digests, owners=True)

    def select(self, sources: Sequence[str], *, parents: bool = False) -> list[Source]:
        """What the sources of one COPY or ADD name, wildcards resolved, in their order; `..` ends at the root.

        A wildcard that matches nothing gives nothing. With `parents` (--parents) a source keeps its path below the
        destination. Raises SourceNotFound, and InvalidInput for a malformed pattern.
        """
        found: list[Source] = []
        for wanted in sources:
            found += self._with_parents(wanted) if parents else self._select(wanted)
        return found

    def entries(self, source: Source, exclude: Ignore = NOTHING) -> list[Entry]:
        """What is copied of `source`, a directory: all below it that is not left out, sorted, directories before what is
        in them. Of a file: the file alone, named "", which `exclude` does not see."""
        if self._last and self._last[0] == source and self._last[1] == exclude:
            return self._last[2]
        if source.is_directory:
            found = sorted(walk(source.path, self.chosen(source, exclude)))
        else:
            found = [("", os.lstat(source.path))]
        self._last = (source, exclude, found)
        return found

    def skip(self, source: Source, exclude: Ignore = NOTHING) -> Skip | None:
        """Whether to leave out an entry below `source` (its relative path, whether it is a directory), for whoever walks
        it himself; None when nothing is left out."""
        chosen = self.chosen(source, exclude)
        if not source.is_directory or chosen.everything:
            return None
        if chosen.prunes:
            return lambda name, _: chosen.ignore.ignores(chosen.prefix + name) or chosen.exclude.ignores(name)
        kept = {name for name, _ in self.entries(source, exclude)}
        return lambda name, _: name not in kept

    def checksum(self, sources: Sequence[Source], exclude: Ignore = NOTHING) -> str:
        """The sha256 (hex) of everything that copying `sources` would copy: names, types, modes, owners, sizes, link
        targets, device numbers, xattrs, bytes; no times. Raises OSError for what cannot be read."""
        parts = [self._part(source, exclude) for source in sources]
        return digest_of(parts, self.digests, owners=self.owners)

    def _part(self, source: Source, exclude: Ignore) -> Part:
        return Part(
            self._label(source), source.path, lambda: self.entries(source, exclude), lambda: self.seen(source, exclude)
        )

    def seen(self, source: Source, exclude: Ignore = NOTHING) -> Seen:
        """The statuses of all that is copied of `source`, as one digest."""
        if source.include is None and not exclude and (known := self._foreseen(source.path)):
            return known
        return look(source.path, self.chosen(source, exclude) if source.is_directory else None)

    def _label(self, source: Source) -> str:
        return "directory" if source.is_directory else f"file {source.base}"

    def chosen(self, source: Source, exclude: Ignore = NOTHING) -> Filter:
        """What of `source`, a directory, is not left out."""
        prefix = f"{source.real}/" if source.real else ""
        return Filter(self.ignore, prefix, exclude, source.include)

    def _select(self, wanted: str) -> Iterator[Source]:
        name = clean(wanted)[1:]
        if has_wildcard(name):
            yield from self._matching(name, wanted)
            return
        source = self._source(name, wanted)
        if source is None or not self._is_there(source):
            raise self._missing(name, wanted)
        yield source

    def _source(self, name: str, wanted: str) -> Source | None:
        """The file or directory `name`, whether ignored or not; None if there is none."""
        path = Path(resolve_in(self.root, name))
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        real = os.path.relpath(path, self.root)
        return Source(name, path, wanted, stat.S_ISDIR(status.st_mode), "" if real == "." else real)

    def _is_there(self, source: Source) -> bool:
        """Whether the ignore rules leave `source` in: by the name it was asked for, and where links lead."""
        return all(self._left_in(name, source) for name in {source.name, source.real} if name)

    def _left_in(self, name: str, source: Source) -> bool:
        if not self.ignore or not self.ignore.ignores(name):
            return True
        # A directory that is left out is there all the same if a rule brings back something in it.
        return source.is_directory and not self.ignore.skips(name) and bool(self.entries(source))

    def _matching(self, pattern: str, wanted: str) -> Iterator[Source]:
        parts = pattern.split("/")
        first = next(number for number, part in enumerate(parts) if has_wildcard(part))
        names = ["/".join(parts[:first])]
        for depth, part in enumerate(parts[first:]):
            matcher = compile_name(part)
            found = [name for above in names for name in self._names(above, follow=depth == 0)]
            names = [name for name in found if matcher.fullmatch(name.rpartition("/")[2])]
        for name in sorted(names):
            # What a rule leaves out was never there for a wildcard; a link that leads nowhere is a mistake.
            source = self._source(name, wanted)
            if source and self._is_there(source):
                yield source
            elif not self.ignore.ignores(name):
                raise self._missing(name, name)

    def _names(self, directory: str, *, follow: bool = True) -> list[str]:
        """The paths of what is in `directory`; nothing where it is none, or a link to one and `follow` is off."""
        path = resolve_in(self.root, directory, follow_last=follow)
        try:
            names = [] if not follow and os.path.islink(path) else os.listdir(path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [f"{directory}/{name}" if directory else name for name in names]

    def _with_parents(self, wanted: str) -> Iterator[Source]:
        above, pivot, pattern = wanted.partition("/./")
        base = clean(above)[1:] if pivot else ""
        pattern = clean(pattern if pivot else wanted)[1:]
        top = self._source(base, wanted)
        if top is None or not top.is_directory:
            raise self._missing(base, wanted)
        include = Ignore.of([pattern] if pattern else ["**"], "--parents")
        source = Source(top.name, top.path, wanted, True, top.real, include)
        if not has_wildcard(base) and not has_wildcard(pattern) and not self.entries(source):
            raise self._missing(posixpath.join(base, pattern), wanted)
        yield source

    def _missing(self, name: str, wanted: str) -> SourceNotFound:
        rule = self.ignore.reason(name) if name else None
        source = self._source(name, wanted)
        if not rule and source and source.real:
            rule = self.ignore.reason(source.real)
        if rule:
            return SourceNotFound(
                f"{wanted}: excluded by {self.ignore.name} line {rule.line} ({rule.pattern})",
                f"add a line !{name} below it, or change the rule",
            )
        if (link := self.root / name).is_symlink():
            return SourceNotFound(
                f"{wanted}: a symbolic link to {os.readlink(link)}, which is not in {self._what()}",
                "put there what it leads to: links are followed inside only",
            )
        parent, _, last = name.rpartition("/")
        near = suggestion(last, (one.rpartition("/")[2] for one in self._names(parent)))
        if near and parent:
            near = near.replace("mean ", f"mean {parent}/")
        return SourceNotFound(f"{wanted}: not found in {self._what()}", near)

    def _what(self) -> str:
        return "the stage or image" if self.owners else f"the build context {self.root}"
