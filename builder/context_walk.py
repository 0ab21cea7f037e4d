"""Everything below one directory that rules leave in, with the status of each entry: one scandir a directory, one stat an
entry, no look into directories that are left out whole."""

from __future__ import annotations

import os
from pathlib import Path

from builder.dockerfile.ignore import Ignore, State
from core.value import Value, field

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


# A path relative to the directory that was walked, and the status of what is there (a link's own).
Entry = tuple[str, os.stat_result]


class Filter(Value):
    """Which entries of a directory count. `ignore` sees their paths below the context, which begin with `prefix`;
    `exclude` (--exclude) and `include` (the pattern of --parents) see them relative to the directory itself."""

    ignore: Ignore = field(default_factory=Ignore)
    prefix: str = ""
    exclude: Ignore = field(default_factory=Ignore)
    include: Ignore | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.ignore and not self.exclude and self.include is None

    @property
    def prunes(self) -> bool:
        """Whether what is left out is left out with all below it, so that a path alone decides about itself."""
        return not (self.ignore.has_again or self.exclude.has_again) and self.include is None

    def start(self) -> _States:
        """The states at the top."""
        ignore = self.ignore.start()
        directory = ""
        for part in self.prefix.split("/")[:-1]:
            directory = f"{directory}/{part}" if directory else part
            ignore = self.ignore.enter(directory, ignore)
        return ignore, self.exclude.start(), self.include.start() if self.include else ()

    def enter(self, name: str, states: _States) -> _States:
        """The states inside the directory `name`."""
        ignore, exclude, include = states
        return (
            self.ignore.enter(self.prefix + name, ignore) if self.ignore else ignore,
            self.exclude.enter(name, exclude) if self.exclude else exclude,
            self.include.enter(name, include) if self.include else include,
        )

    def leaves_out(self, name: str, states: _States) -> bool:
        """Whether the entry `name` itself does not count, in a directory with these states."""
        ignore, exclude, include = states
        return bool(
            (self.ignore and self.ignore.ignores_in(self.prefix + name, ignore))
            or (self.exclude and self.exclude.ignores_in(name, exclude))
            or (self.include is not None and not self.include.ignores_in(name, include))
        )

    def skips(self, name: str) -> bool:
        """Whether nothing below the directory `name`, itself left out, can count."""
        ignore, exclude = self.prefix + name, name
        if self.include is not None and not self.include.ignores(name) and not self.include.reaches_below(name):
            return True
        if self.ignore.ignores(ignore) and self.ignore.skips(ignore):
            return True
        return self.exclude.ignores(exclude) and self.exclude.skips(exclude)


# Those of `ignore`, `exclude` and `include`.
_States = tuple[State, State, State]


def walk(top: Path, chosen: Filter) -> list[Entry]:
    """All entries below the directory `top`, in no order. Raises OSError for what cannot be read."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _walk_all(fd) if chosen.everything else _walk_some(fd, chosen)
    finally:
        os.close(fd)


def _walk_all(top: int) -> list[Entry]:
    found: list[Entry] = []
    add = found.append
    pending = [""]
    while pending:
        prefix = pending.pop()
        fd = os.open(prefix or ".", _DIRECTORY, dir_fd=top)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    add((name, entry.stat(follow_symlinks=False)))
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name + "/")
        finally:
            os.close(fd)
    return found


def _walk_some(top: int, chosen: Filter) -> list[Entry]:
    found: list[Entry] = []
    # Directories that are left out themselves, but are there if anything in them is.
    maybe: dict[str, Entry] = {}
    pending = [("", chosen.start())]
    while pending:
        prefix, states = pending.pop()
        before = len(found)
        fd = os.open(prefix or ".", _DIRECTORY, dir_fd=top)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    _choose(entry, prefix, states, chosen, found, maybe, pending)
        finally:
            os.close(fd)
        if maybe and len(found) > before:
            _bring_back(prefix, maybe, found)
    return found


def _choose(
    entry: os.DirEntry[str],
    prefix: str,
    states: _States,
    chosen: Filter,
    found: list[Entry],
    maybe: dict[str, Entry],
    pending: list[tuple[str, _States]],
) -> None:
    name = prefix + entry.name
    directory = entry.is_dir(follow_symlinks=False)
    if not chosen.leaves_out(name, states):
        found.append((name, entry.stat(follow_symlinks=False)))
    elif directory and not chosen.prunes and not chosen.skips(name):
        maybe[name] = (name, entry.stat(follow_symlinks=False))
    else:
        return
    if directory:
        pending.append((name + "/", chosen.enter(name, states)))


def _bring_back(prefix: str, maybe: dict[str, Entry], found: list[Entry]) -> None:
    """The directories around what was just found are there too."""
    name = prefix.rstrip("/")
    while name:
        entry = maybe.pop(name, None)
        if entry:
            found.append(entry)
        name = name.rpartition("/")[0]
