"""The images that are here: what listing, finding and removing them needs, in columns, so that no blob is parsed for it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from core import plain_json as json
from core import sqlite
from core.database import Database
from core.errors import Conflict, NotFound
from core.value import Value, field
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import DiffID, Digest
from image.platform import Platform
from store.blobs import BlobNotFound, BlobStore
from store.catalog import needed

MAX_CONFIG_BYTES = 8 * 1024 * 1024


class Image(Value):
    """`id` is the sha256 of the config blob, `manifest` describes a blob that is kept here. `created` and `last_used` are
    nanoseconds since the epoch, `size` the bytes of all layers' tars and the config. `parent` is the local image it was
    built FROM."""

    id: Digest
    manifest: Descriptor
    parent: Digest | None
    created: int
    platform: Platform
    size: int
    diff_ids: tuple[DiffID, ...]
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    last_used: int | None = field(default=None, compare=False)


_COLUMNS = (
    "id, manifest_type, manifest_digest, manifest_size, parent, created, os, architecture, variant, os_version, size,"
    " diff_ids, labels, last_used"
)


class Images:
    """Every lookup is one look into an index, whatever the number of images."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def get(self, id: Digest) -> Image | None:
        """The image, or None."""
        return next(self._select("WHERE id = ?", (id,)), None)

    def get_many(self, ids: Iterable[Digest]) -> list[Image]:
        """Those of `ids` that are here, in no order, by one query."""
        chosen = "WHERE id IN (SELECT value FROM json_each(?))"
        return list(self._select(chosen, (json.dumps(list(ids)),)))

    def add(self, image: Image) -> None:
        """Make the image known; that it came counts as a use. Harmless to repeat: what is known of it stays.

        Raises NotFound where one of its layers is not in the store.
        """
        platform = image.platform
        values = (
            image.id, image.manifest.media_type, image.manifest.digest, image.manifest.size, image.parent, image.created,
            platform.os, platform.architecture, platform.variant, platform.os_version, image.size,
            " ".join(image.diff_ids), json.dumps(dict(image.labels)) if image.labels else "",
            image.last_used or time.time_ns(),
        )  # fmt: skip
        with self._database.write() as connection:
            new = connection.execute(
                f"INSERT INTO images ({_COLUMNS}) VALUES ({', '.join('?' * 14)}) ON CONFLICT (id) DO NOTHING", values
            )
            if not new.rowcount:
                return self.touch(image.id)
            try:
                connection.executemany(
                    "INSERT INTO image_layers VALUES (?, ?)", [(d, image.id) for d in dict.fromkeys(image.diff_ids)]
                )
            except sqlite.IntegrityError as error:
                connection.execute("DELETE FROM image_layers WHERE image = ?", (image.id,))
                connection.execute("DELETE FROM images WHERE id = ?", (image.id,))
                raise NotFound(
                    f"a layer of image {image.id.short} is not in the store", "build or pull it again"
                ) from error

    def delete(self, id: Digest) -> bool:
        """Forget the image and its repository digests; `collect` frees what it alone used. False where it was not known.

        Raises Conflict while it has a tag. Children and containers are the caller's business.
        """
        with self._database.write() as connection:
            if connection.execute("SELECT 1 FROM tags WHERE image = ? LIMIT 1", (id,)).fetchone():
                raise Conflict(f"image {id.short} still has a tag", "remove its tags first")
            connection.execute("DELETE FROM repository_digests WHERE image = ?", (id,))
            connection.execute("DELETE FROM image_layers WHERE image = ?", (id,))
            return connection.execute("DELETE FROM images WHERE id = ?", (id,)).rowcount > 0

    def find(self, prefix: str, limit: int = 2) -> list[Image]:
        """At most `limit` images whose ID's hex digits start with `prefix` (lower-case hex, `sha256:` left out)."""
        low = f"sha256:{prefix}"
        return list(self._select("WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", (low, low + "g", limit)))

    def all(self, *, intermediate: bool = True) -> Iterator[Image]:
        """Every image, newest first; with `intermediate` off without those that have children but no tag."""
        return self._select(f"{'' if intermediate else 'WHERE tags > 0 OR children = 0'} ORDER BY created DESC, id", ())

    def page(
        self, limit: int, after: Image | None = None, *, intermediate: bool = True, dangling: bool = False
    ) -> list[Image]:
        """At most `limit` images, newest first, that come after `after`; a page costs the same wherever it is."""
        shown = "tags = 0 AND children = 0" if dangling else "TRUE" if intermediate else "(tags > 0 OR children = 0)"
        if after is None:
            return list(self._select(f"WHERE {shown} ORDER BY created DESC, id LIMIT ?", (limit,)))
        where = f"WHERE {shown} AND created <= ? AND (created < ? OR id > ?) ORDER BY created DESC, id LIMIT ?"
        return list(self._select(where, (after.created, after.created, after.id, limit)))

    def dangling(self) -> Iterator[Image]:
        """The images with neither a tag nor a child image, newest first. Who holds them is for the caller to ask."""
        return self._select("WHERE tags = 0 AND children = 0 ORDER BY created DESC, id", ())

    def children(self, id: Digest) -> list[Digest]:
        """The images that name `id` as their parent."""
        rows = self._database.read().execute("SELECT id FROM images WHERE parent = ? ORDER BY id", (id,))
        return [Digest(row[0]) for row in rows]

    def using(self, diff_id: DiffID) -> list[Digest]:
        """The images that contain the layer."""
        rows = self._database.read().execute("SELECT image FROM image_layers WHERE diff_id = ?", (diff_id,))
        return [Digest(row[0]) for row in rows]

    def by_manifest(self, digest: Digest) -> list[Digest]:
        """The images whose own manifest is `digest`."""
        rows = self._database.read().execute("SELECT id FROM images WHERE manifest_digest = ?", (digest,))
        return [Digest(row[0]) for row in rows]

    def count(self) -> int:
        """How many images there are."""
        return int(self._database.read().execute("SELECT count(*) FROM images").fetchone()[0])

    def config(self, id: Digest) -> ImageConfig:
        """The image's config. Raises BlobNotFound or Integrity where the store is damaged, NotFound where the image was
        removed since the caller has looked it up."""
        try:
            return ImageConfig.parse(self._blobs.read(id, MAX_CONFIG_BYTES))
        except BlobNotFound:
            if self._database.read().execute(f"SELECT {needed('blob', '@value')}", {"value": id}).fetchone()[0]:
                raise
            raise NotFound(f"image {id.short} was removed meanwhile", "pull or build it again") from None

    def touch(self, ids: Digest | Iterable[Digest]) -> None:
        """Note that the images were used now; no loss if a power cut forgets it."""
        now = time.time_ns()
        several = [ids] if isinstance(ids, str) else list(ids)
        with self._database.write(durable=False) as connection:
            connection.executemany("UPDATE images SET last_used = ? WHERE id = ?", [(now, id) for id in several])

    def _select(self, rest: str, values: Sequence[object]) -> Iterator[Image]:
        for row in self._database.read().execute(f"SELECT {_COLUMNS} FROM images {rest}", tuple(values)):
            yield _image(row)


def _image(row: sqlite.Row) -> Image:
    id, kind, digest, size, parent, created, os_, architecture, variant, version, total, diff_ids, labels, used = row
    return Image(
        Digest(id), Descriptor(kind, Digest(digest), size), Digest(parent) if parent else None, created,
        Platform(os_, architecture, variant, version), total, tuple(map(DiffID, diff_ids.split())),
        json.loads(labels) if labels else {}, used,
    )  # fmt: skip
