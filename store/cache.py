"""The build cache as a whole: what it keeps on the disk, and letting go of it.

A record keeps its layer. Where an image or a container uses the layer too the record is shared: dropping it frees nothing.
Where a living lease holds the layer a build works with it right now, and pruning passes it by. The directories that builds
use to keep files from one to the next (`store.caches`) are entries too, which nothing but the cache keeps.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from core.value import Value
from image.digest import DiffID
from store.caches import GIT, MOUNT, Caches
from store.collect import collect
from store.store import Store

# The layers, by the size of their tar, that nobody but the cache keeps; each part is one look into an index.
_ALONE = """
    EXISTS (SELECT 1 FROM records WHERE records.diff_id = layers.diff_id)
    AND NOT EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = layers.diff_id)
    AND NOT EXISTS (SELECT 1 FROM hold_layers WHERE hold_layers.diff_id = layers.diff_id)
"""
_ENTRIES = """
    SELECT key, diff_id, coalesce(layers.size, 0), records.created, last_used, uses,
        EXISTS (SELECT 1 FROM image_layers WHERE image_layers.diff_id = records.diff_id)
            OR EXISTS (SELECT 1 FROM hold_layers WHERE hold_layers.diff_id = records.diff_id),
        EXISTS (SELECT 1 FROM leases WHERE kind = 'layer' AND value = records.diff_id)
    FROM (SELECT key, diff_id, created, last_used, uses FROM records) AS records LEFT JOIN layers USING (diff_id)
    ORDER BY last_used, records.created DESC
"""


REGULAR = "regular"
KINDS = (REGULAR, MOUNT, GIT)


class Entry(Value):
    """A record and its layer; `size` is the layer's in bytes, 0 where the record is only a note. Times are nanoseconds
    since the epoch. `shared`: an image or a container keeps the layer as well; `in_use`: a living build holds it.
    `mount`: what a directory that builds use is called there; empty for records. `kind`: one of KINDS, as BuildKit calls
    them."""

    key: str
    diff_id: DiffID | None
    size: int
    created: int
    last_used: int
    uses: int
    shared: bool
    in_use: bool
    mount: str = ""
    kind: str = REGULAR


class Pruned(Value):
    """The entries that went, and the bytes that the disk gave back (before the fact: the sizes of the layers that only
    they keep)."""

    entries: list[Entry]
    reclaimed: int


def kept(store: Store) -> int:
    """Bytes of the layers and directories that nothing but the cache keeps."""
    layers = store.database.read().execute(f"SELECT coalesce(sum(size), 0) FROM layers WHERE {_ALONE}").fetchone()[0]
    return int(layers) + sum(entry.size for entry in _mounts(store))


def entries(store: Store) -> list[Entry]:
    """Every record and directory, the one that was not used for longest first; of the records that one build used, the last
    step first."""
    mounts = _mounts(store)
    with store.transaction():
        store.leases.sweep()
        found = [_entry(row) for row in store.database.read().execute(_ENTRIES)]
    return sorted([*found, *mounts], key=lambda entry: entry.last_used) if mounts else found


def _mounts(store: Store) -> list[Entry]:
    return [
        Entry(one.name, None, one.size, one.created, one.last_used, 0, False, one.in_use, one.id, one.kind)
        for one in Caches(store.root).all()
    ]


def prune(
    store: Store, *, everything: bool = False, before: int | None = None, keep: int = 0, kinds: Collection[str] = KINDS,
    dry_run: bool = False,
) -> Pruned:  # fmt: skip
    """Drop the records whose layers only the cache keeps, or with `everything` all records; then free their layers, and the
    directories that no build is using.

    `before`: only those last used before this instant. `kinds`: only those, of KINDS. `keep`: leave what was used last, as far as that many bytes go.
    The rows go in one transaction, the bytes after it. Durable when this returns; harmless to repeat, and beside builds:
    what one holds stays.
    """
    with store.transaction() as connection:
        found = entries(store)
        old = (
            entry
            for entry in found
            if (before is None or entry.last_used < before) and entry.kind in kinds and not entry.in_use
        )
        going = list(_down_to(keep, found, (entry for entry in old if everything or _alone(entry))))
        if dry_run:
            return Pruned(going, _total(found) - _total(_others(found, going)))
        connection.executemany("DELETE FROM records WHERE key = ?", [(one.key,) for one in going if not one.mount])
    freed = sum(Caches(store.root).remove(entry.key) for entry in going if entry.mount)
    return Pruned(going, freed + collect(store, full=None).bytes)


def _down_to(keep: int, found: list[Entry], candidates: Iterable[Entry]) -> Iterator[Entry]:
    """Candidates until what is left of `found` fits into `keep` bytes."""
    users: dict[DiffID | None, int] = {}
    for entry in found:
        if entry.diff_id:
            users[entry.diff_id] = users.get(entry.diff_id, 0) + 1
    left = _total(found)
    for entry in candidates:
        if keep and left <= keep:
            return
        yield entry
        if entry.diff_id:
            users[entry.diff_id] -= 1
        if _alone(entry) and not users.get(entry.diff_id):
            left -= entry.size


def _alone(entry: Entry) -> bool:
    return bool(entry.mount or entry.diff_id) and not entry.shared


def _others(found: list[Entry], going: list[Entry]) -> list[Entry]:
    keys = {entry.key for entry in going}
    return [entry for entry in found if entry.key not in keys]


def _total(found: Iterable[Entry]) -> int:
    """Bytes of the directories, and of the layers that only these keep, each counted once."""
    return sum({entry.diff_id or entry.key: entry.size for entry in found if _alone(entry)}.values())


def _entry(row: tuple[str, str | None, int, int, int, int, int, int]) -> Entry:
    return Entry(row[0], DiffID(row[1]) if row[1] else None, *row[2:6], bool(row[6]), bool(row[7]))
