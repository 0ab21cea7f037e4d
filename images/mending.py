"""The small things of a repair: rows of the catalog that refer to nothing, configs and manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import sqlite
from core.errors import LamellaError, NotFound
from image.config import ImageConfig
from image.descriptor import Descriptor
from image.digest import Digest
from image.manifest import MAX_BYTES, Manifest, parse_any
from images.damage import DANGLING
from images.publish import enter, keep
from images.sources import Action, Sources
from store.images import MAX_CONFIG_BYTES

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

_COUNT = """
    UPDATE images SET tags = (SELECT count(*) FROM tags WHERE image = images.id),
    children = (SELECT count(*) FROM images AS child WHERE child.parent = images.id) WHERE id = ?
"""


class Mending:
    """Mends what is small; every step is a transaction of its own, and what it did or could not do goes to `actions`."""

    def __init__(self, store: Store, sources: Sources, actions: list[Action]) -> None:
        self._store = store
        self._sources = sources
        self._actions = actions

    def _did(self, kind: str, name: str, what: str, *, done: bool = True) -> None:
        self._actions.append(Action(kind, name, done, what))

    # --- the catalog

    def indexes(self) -> None:
        """Make all indexes again: what they are made of is in the tables."""
        try:
            with self._store.transaction() as connection:
                connection.execute("REINDEX")
        except (LamellaError, sqlite.DatabaseError) as error:
            self._did(
                "catalog", str(self._store.database.path), f"its indexes cannot be made again: {error}", done=False
            )
            return
        self._did("catalog", str(self._store.database.path), "made its indexes again")

    def counts(self, id: str) -> None:
        """Count an image's tags and children again."""
        with self._store.transaction() as connection:
            connection.execute(_COUNT, (id,))
        self._did("catalog", id, "counted its tags and children again")

    def lost_images(self) -> None:
        """Images that names or layers refer to, and that have no row: entered again, or the references go."""
        with self._store.database.snapshot() as connection:
            ids = {
                Digest(row[1])
                for kind, query, what in DANGLING
                if what == "image"
                for row in connection.execute(query).fetchall()
            }
        for id in sorted(ids):
            with self._store.transaction() as connection:
                connection.execute(
                    "DELETE FROM image_layers WHERE image = @id AND @id NOT IN (SELECT id FROM images)", {"id": id}
                )
            if self._enter_again(id):
                self._did("image", id, "entered it again, by its config and manifest")
            elif self._sources.pull_lost(id):
                self._did("image", id, "pulled it again")
            else:
                self._drop_names(id)
                continue
            with self._store.transaction() as connection:
                connection.execute(_COUNT, (id,))

    def _enter_again(self, id: Digest) -> bool:
        store = self._store
        try:
            config = ImageConfig.parse(store.blobs.read(id, MAX_CONFIG_BYTES))
            described, _ = keep(store, config, self._named_manifest(id))
            with store.transaction():
                enter(store, config, described, (), None)
        except (LamellaError, OSError):
            return False
        return True

    def _named_manifest(self, id: Digest) -> Manifest | None:
        """The image's manifest, by what its tags point to."""
        for tag in self._store.tags.of_image(id):
            manifest = read_manifest(self._store, tag.target.digest)
            if manifest and manifest.config.digest == id:
                return manifest
        return None

    def _drop_names(self, id: Digest) -> None:
        """Names of an image that is lost go, unless a registry may give it back another time."""
        why = self._sources.why_not(id)
        names = [tag.reference for tag in self._store.tags.of_image(id)] + self._store.tags.digests_of(id)
        for name in names:
            if why and not isinstance(why, NotFound):
                self._did("name", name.familiar, f"{why.message}; try again later", done=False)
                continue
            with self._store.transaction():
                self._store.tags.delete_digest(name) if name.digest else self._store.tags.delete(name)
            self._did("name", name.familiar, "removed it: its image is lost; pull or build that again")

    def lost_records(self) -> None:
        """Cache records and known blobs of layers that are not there."""
        with self._store.transaction() as connection:
            gone = "NOT IN (SELECT diff_id FROM layers)"
            count = connection.execute(f"DELETE FROM records WHERE diff_id {gone}").rowcount
            connection.execute(f"DELETE FROM layer_blobs WHERE diff_id {gone}")
        if count:
            self._did("record", f"{count} of the build cache", "removed: their layers are gone")

    # --- small blobs

    def config(self, image: Image) -> None:
        """From a registry, or not at all."""
        if self._sources.pull(image) and self._readable(image.id):
            self._did("config", image.id, "pulled it again")

    def manifest(self, image: Image) -> None:
        """From config and layers where that gives the same bytes, else from a registry, else another one."""
        try:
            config = ImageConfig.parse(self._store.blobs.read(image.id, MAX_CONFIG_BYTES))
            made, _ = keep(self._store, config)
        except (LamellaError, OSError):
            return
        if made.digest == image.manifest.digest:
            self._did("manifest", image.manifest.digest, "made it again")
        elif self._sources.pull(image) and self._readable(image.manifest.digest):
            self._did("manifest", image.manifest.digest, "pulled it again")
        elif self._gone_for_good(image):
            self._use(image, made)

    def _gone_for_good(self, image: Image) -> bool:
        why = self._sources.why_not(image.id)
        return why is None or isinstance(why, NotFound)

    def _use(self, image: Image, made: Descriptor) -> None:
        with self._store.transaction() as connection:
            connection.execute(
                "UPDATE images SET manifest_type = ?, manifest_digest = ?, manifest_size = ? WHERE id = ?",
                (made.media_type, made.digest, made.size, image.id),
            )
            for tag in self._store.tags.of_image(image.id):
                if tag.target.digest == image.manifest.digest:
                    self._store.tags.set(tag.reference, image.id, made)
        self._did("manifest", image.manifest.digest, f"nobody has it any more: made {made.digest} in its place")

    def target(self, digest: Digest) -> None:
        """What tags point to besides the image's own manifest: an index, or the manifest of another registry."""
        for tag in [tag for tag in self._store.tags.all() if tag.target.digest == digest]:
            image = self._store.images.get(tag.image)
            if image is None or image.manifest.digest == digest:
                continue
            if self._sources.pull(image) and self._readable(digest):
                self._did("manifest", digest, "pulled it again")
            elif self._gone_for_good(image):
                with self._store.transaction():
                    self._store.tags.set(tag.reference, image.id, image.manifest)
                self._did("tag", tag.reference.familiar, "points to the image's own manifest now")

    def _readable(self, digest: Digest) -> bool:
        return readable(self._store, digest)


def readable(store: Store, digest: Digest) -> bool:
    """Whether the small blob is there and whole."""
    try:
        store.blobs.read(digest, MAX_CONFIG_BYTES)
    except (LamellaError, OSError):
        return False
    return True


def read_manifest(store: Store, digest: Digest) -> Manifest | None:
    """The manifest, None where it cannot be had."""
    try:
        found = parse_any(store.blobs.read(digest, MAX_BYTES))
    except (LamellaError, OSError):
        return None
    return found if isinstance(found, Manifest) else None
