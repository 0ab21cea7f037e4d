"""Volumes: a row in the catalog and a directory `volumes/NAME/_data` each, which outlive the containers that use them.

A directory is made inside the transaction that brings its row, and taken away after the one that deleted it: what a kill
leaves is a row of `garbage`, or an empty directory without a row. A directory that has something in it and no row is never
removed: who makes a volume of that name finds it again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from core.database import Database
from core.errors import Conflict, InvalidInput, NotFound
from core.value import Value, field
from store.holds import HoldKind

ANONYMOUS = "com.docker.volume.anonymous"  # the label of a volume that nobody gave a name
LOCAL = "local"
_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]+"
_MAX_NAME = 255


class VolumeNotFound(NotFound):
    """There is no such volume."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No such volume: {name}", "`lamella volume ls` lists what is here")


class VolumeInUse(Conflict):
    """Containers, running or not, have it."""

    def __init__(self, name: str, users: list[str]) -> None:
        super().__init__(
            f"remove {name}: volume is in use - [{', '.join(users)}]",
            f"remove the containers first: lamella rm {' '.join(user[:12] for user in users)}",
        )


class Volume(Value):
    """`driver` is `local` or a plug-in's name; `created` is in nanoseconds since the epoch. `labels` None: none were given."""

    name: str
    driver: str = LOCAL
    labels: Mapping[str, str] | None = field(default=None, hash=False)
    options: Mapping[str, str] | None = field(default=None, hash=False)
    created: int = field(default=0, compare=False)

    @property
    def anonymous(self) -> bool:
        """Whether it was made for a container, and goes with that."""
        return ANONYMOUS in (self.labels or {})

    @property
    def plain(self) -> bool:
        """Whether it is its directory, and nothing has to be mounted first."""
        return self.driver == LOCAL and not self.options


def check_name(name: str) -> None:
    """Docker's rules. Raises InvalidInput."""
    if len(name) == 1:
        raise InvalidInput(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters",
            "choose a longer name",
        )
    if not re.fullmatch(_NAME, name) or len(name) > _MAX_NAME:
        raise InvalidInput(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
            f"a name has at most {_MAX_NAME} characters",
        )


class Volumes:
    """All volumes of one store. Every lookup is one look into an index."""

    def __init__(self, database: Database, root: Path, *, sync: bool) -> None:
        self._database = database
        self._root = root
        self._sync = sync

    def home(self, name: str) -> Path:
        """The volume's own directory: what it holds is in `_data`, beside it what is on its way."""
        return self._root / "volumes" / name

    def path(self, name: str) -> Path:
        """What containers see."""
        return self.home(name) / "_data"

    def get(self, name: str) -> Volume | None:
        """The volume, or None."""
        return next(self._select("WHERE name = ?", (name,)), None)

    def find(self, name: str) -> Volume:
        """The same. Raises VolumeNotFound."""
        found = self.get(name)
        if found is None:
            raise VolumeNotFound(name)
        return found

    def all(self, *, dangling: bool | None = None) -> list[Volume]:
        """By name. `dangling`: only those that no container has, or (False) that one has."""
        used = "EXISTS (SELECT 1 FROM hold_volumes WHERE volume = name)"
        chosen = "" if dangling is None else f"WHERE NOT {used}" if dangling else f"WHERE {used}"
        return list(self._select(f"{chosen} ORDER BY name", ()))

    def beginning(self, prefix: str, limit: int) -> list[str]:
        """The names that begin with `prefix`, at most `limit`."""
        rows = self._database.read().execute(
            "SELECT name FROM volumes WHERE name >= @prefix AND substr(name, 1, length(@prefix)) = @prefix ORDER BY name LIMIT @limit",
            {"prefix": prefix, "limit": limit},
        )
        return [row[0] for row in rows]

    def add(self, volume: Volume) -> Volume:
        """Make the volume, or give the one that has its name already. Harmless to repeat, and for several at once.

        Raises InvalidInput for a bad name, Conflict where it has another driver, OSError.
        """
        import time

        check_name(volume.name)
        with self._database.write() as connection:
            found = self.get(volume.name)
            if found:
                if found.driver != volume.driver:
                    raise Conflict(
                        f"create {volume.name}: conflict: volume name must be unique",
                        f"the volume that is here has the driver {found.driver}",
                    )
                return found
            self._make(volume.name)
            values = (volume.name, volume.driver, _text(volume.labels), _text(volume.options), time.time_ns())
            connection.execute("INSERT INTO volumes VALUES (?, ?, ?, ?, ?)", values)
        return self.find(volume.name)

    def _make(self, name: str) -> None:
        """Inside the transaction: nobody else makes or removes a volume meanwhile."""
        from core.files import fsync_directory
        from store.temporary import short_name

        home = self.home(name)
        connection = self._database.read()
        doomed = connection.execute("DELETE FROM garbage WHERE kind = 'volume' AND value = ?", (name,)).rowcount
        if doomed and home.exists():  # of one that was removed by somebody who was killed
            os.rename(home, self._root / "tmp" / short_name())
        top = home.parent
        top.mkdir(0o700, exist_ok=True)
        home.mkdir(0o700, exist_ok=True)
        data = home / "_data"
        if not data.exists():
            data.mkdir(0o755)
            data.chmod(0o755)  # whatever the umask is
        for directory in (home, top, self._root) if self._sync else ():
            fsync_directory(directory)

    def hold(self, name: str, kind: HoldKind, id: str, *, own: bool = False) -> None:
        """Keep the volume until the hold goes; `own`: it was made for the holder, without a name. Harmless to repeat."""
        with self._database.write() as connection:
            connection.execute("INSERT OR IGNORE INTO hold_volumes VALUES (?, ?, ?, ?)", (kind, id, name, int(own)))

    def disown(self, id: str) -> None:
        """The container's anonymous volumes do not go with it."""
        with self._database.write() as connection:
            connection.execute("UPDATE hold_volumes SET own = 0 WHERE kind = 'container' AND id = ?", (id,))

    def users(self, name: str) -> list[str]:
        """The IDs of the containers that have it, running or not."""
        rows = self._database.read().execute("SELECT id FROM hold_volumes WHERE volume = ? ORDER BY id", (name,))
        return [row[0] for row in rows]

    def remove(self, name: str) -> None:
        """Delete the row; `Volumes.sweep` gives the disk back. Raises VolumeNotFound, VolumeInUse."""
        with self._database.write() as connection:
            self.find(name)
            users = self.users(name)
            if users:
                raise VolumeInUse(name, users)
            connection.execute("DELETE FROM volumes WHERE name = ?", (name,))

    def remove_unused(self, name: str) -> None:
        """Delete the row of a volume of the local driver, unless somebody has it. Harmless to repeat."""
        with self._database.write() as connection:
            connection.execute(
                "DELETE FROM volumes WHERE name = @name AND driver = @driver"
                " AND NOT EXISTS (SELECT 1 FROM hold_volumes WHERE volume = @name)",
                {"name": name, "driver": LOCAL},
            )

    def sweep(self) -> int:
        """Remove the directories of volumes that were removed; the bytes of disk that this gave back. Harmless to repeat."""
        from store.collect import Trash

        trash = Trash(self._root)
        self.move_garbage(trash.take)
        return trash.empty()

    def move_garbage(self, take: Callable[[Path], object]) -> None:
        """Give each directory that goes to `take`, while nobody can make one of that name."""
        with self._database.write() as connection:
            rows = connection.execute("SELECT value FROM garbage WHERE kind = 'volume'").fetchall()
            for (name,) in rows:
                if self.get(name) is None:
                    take(self.home(name))
            connection.execute("DELETE FROM garbage WHERE kind = 'volume'")

    def strays(self) -> tuple[list[str], list[str]]:
        """What a crash or a hand left: names of directories without a row, and of rows without a directory."""
        try:
            there = set(os.listdir(self._root / "volumes"))
        except FileNotFoundError:
            there = set()
        known = {volume.name for volume in self.all()}
        doomed = {row[0] for row in self._database.read().execute("SELECT value FROM garbage WHERE kind = 'volume'")}
        return sorted(there - known - doomed), sorted(name for name in known if not self.path(name).is_dir())

    def note_strays(self) -> None:
        """Let the next sweep take the directories without a row that are empty: a creation that was killed."""
        with self._database.write(durable=False) as connection:
            for name in self.strays()[0]:
                if self.is_empty(name):
                    connection.execute("INSERT OR IGNORE INTO garbage VALUES ('volume', ?)", (name,))

    def is_empty(self, name: str) -> bool:
        """Whether nobody would miss the directory."""
        home = self.home(name)
        if not home.is_dir() or home.is_symlink():
            return False
        return all(one == "lock" or (one == "_data" and not os.listdir(home / one)) for one in os.listdir(home))

    def adopt(self, name: str) -> bool:
        """Give a directory without a row one, or a row without a directory an empty one; False where the name is none."""
        try:
            check_name(name)
        except InvalidInput:
            return False
        with self._database.write():
            if self.get(name):
                self._make(name)
            else:
                self.add(Volume(name))
        return True

    def _select(self, rest: str, values: tuple[object, ...]) -> Iterator[Volume]:
        columns = "SELECT name, driver, labels, options, created FROM volumes"
        for row in self._database.read().execute(f"{columns} {rest}", values):
            yield Volume(row[0], row[1], json.loads(row[2]), json.loads(row[3]), row[4])


def _text(values: Mapping[str, str] | None) -> str:
    return json.dumps(None if values is None else dict(values), separators=(",", ":"))
