"""Names: tags (`repository:tag`, moved at will) and repository digests (`repository@digest`, written by pull and push)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from core import plain_json as json
from core import sqlite
from core.database import Database
from core.errors import NotFound
from core.value import Value
from image.descriptor import Descriptor
from image.digest import Digest
from image.reference import Reference


class Tag(Value):
    """`reference` is full and has a tag; `target` is a manifest or an index, `image` the image below it that is here;
    `updated` is in nanoseconds since the epoch."""

    reference: Reference
    target: Descriptor
    image: Digest
    updated: int


_COLUMNS = "repository, tag, image, target_type, target_digest, target_size, updated"
_AFTER_ALL = "\x7f"  # sorts behind whatever a name may contain


class Tags:
    """Every lookup is one look into an index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, reference: Reference) -> Tag | None:
        """The tag, or None."""
        values = (reference.repository, reference.tag)
        return next(self._select("WHERE repository = ? AND tag = ?", values), None)

    def set(self, reference: Reference, image: Digest, target: Descriptor) -> Digest | None:
        """Point the tag at `image`; returns the image that had it before. Harmless to repeat, which
        writes nothing. Raises NotFound where the image is not in the store."""
        assert reference.tag, "only a tagged reference names a tag"
        values = (
            image, target.media_type, target.digest, target.size, time.time_ns(), reference.repository, reference.tag,
        )  # fmt: skip
        # Not an upsert: its conflict clause would take the place of the triggers' own (SQLite, CREATE TRIGGER).
        statement = (
            "INSERT INTO tags (image, target_type, target_digest, target_size, updated, repository, tag)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            "UPDATE tags SET image = ?, target_type = ?, target_digest = ?, target_size = ?, updated = ?"
            " WHERE repository = ? AND tag = ?",
        )
        with self._database.write() as connection:
            before = self.get(reference)
            if before and (before.image, before.target) == (image, target):
                return image
            try:
                connection.execute(statement[before is not None], values)
            except sqlite.IntegrityError as error:
                raise _no_image(image) from error
        return before.image if before else None

    def delete(self, reference: Reference) -> bool:
        """Take the tag away; False where there was none."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM tags WHERE repository = ? AND tag = ?", (reference.repository, reference.tag)
            ).rowcount > 0  # fmt: skip

    def of_image(self, image: Digest) -> list[Tag]:
        """The image's tags, by name."""
        return list(self._select("WHERE image = ? ORDER BY repository, tag", (image,)))

    def names_of_images(self, images: Iterable[Digest]) -> dict[Digest, list[Reference]]:
        """The names alone of several images' tags, in order: a listing of 100,000 wants nothing else."""
        found: dict[Digest, list[Reference]] = {}
        rows = self._database.read().execute(
            "SELECT image, repository, tag FROM tags WHERE image IN (SELECT value FROM json_each(?))"
            " ORDER BY repository, tag",
            (json.dumps(list(images)),),
        )
        for image, repository, tag in rows:
            found.setdefault(image, []).append(_reference(repository, tag))
        return found

    def beginning(self, text: str, limit: int) -> list[Reference]:
        """At most `limit` names of tags whose full form (with its registry) begins with `text`, in order."""
        repository, colon, tag = text.rpartition(":") if ":" in text.rpartition("/")[2] else (text, "", "")
        chosen = "repository = ? AND tag >= ? AND tag < ?" if colon else "repository >= ? AND repository < ?"
        values = (repository, tag, tag + _AFTER_ALL) if colon else (repository, repository + _AFTER_ALL)
        rows = self._database.read().execute(
            f"SELECT repository, tag FROM tags WHERE {chosen} ORDER BY repository, tag LIMIT ?", (*values, limit)
        )
        return [_reference(row[0], row[1]) for row in rows]

    def of_repository(self, repository: str) -> list[Tag]:
        """All tags of the repository (full form, with its registry), by name."""
        return list(self._select("WHERE repository = ? ORDER BY tag", (repository,)))

    def images_of_repository(self, repository: str) -> list[Digest]:
        """The images that have a tag or a digest in the repository (full form, with its registry)."""
        rows = self._database.read().execute(
            "SELECT image FROM tags WHERE repository = @repository UNION SELECT image FROM repository_digests WHERE repository = @repository",
            {"repository": repository},
        )
        return [Digest(row[0]) for row in rows]

    def all(self) -> Iterator[Tag]:
        """Every tag, by name."""
        return self._select("ORDER BY repository, tag", ())

    def add_digest(self, reference: Reference, image: Digest) -> None:
        """Write down that `repository@digest` is `image`; where it was another image before, it moves. Harmless to repeat.

        Raises NotFound where the image is not in the store.
        """
        assert reference.digest, "only a reference with a digest names one"
        with self._database.write() as connection:
            try:
                connection.execute(
                    "INSERT INTO repository_digests VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET image = excluded.image",
                    (reference.repository, reference.digest, image),
                )
            except sqlite.IntegrityError as error:
                raise _no_image(image) from error

    def get_digest(self, reference: Reference) -> Digest | None:
        """The image that `repository@digest` names here."""
        row = self._database.read().execute(
            "SELECT image FROM repository_digests WHERE repository = ? AND digest = ?",
            (reference.repository, reference.digest),
        ).fetchone()  # fmt: skip
        return Digest(row[0]) if row else None

    def delete_digest(self, reference: Reference) -> bool:
        """Take the repository digest away; False where there was none."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM repository_digests WHERE repository = ? AND digest = ?",
                (reference.repository, reference.digest),
            ).rowcount > 0  # fmt: skip

    def digests_of(self, image: Digest) -> list[Reference]:
        """The image's repository digests, by name."""
        return self.digests_of_images([image]).get(image, [])

    def digests_of_images(self, images: Iterable[Digest]) -> dict[Digest, list[Reference]]:
        """The repository digests of several images in one query; images without any are left out."""
        found: dict[Digest, list[Reference]] = {}
        rows = self._database.read().execute(
            "SELECT image, repository, digest FROM repository_digests WHERE image IN (SELECT value FROM json_each(?))"
            " ORDER BY repository, digest",
            (json.dumps(list(images)),),
        )
        for row in rows:
            registry, _, path = row[1].partition("/")
            found.setdefault(Digest(row[0]), []).append(Reference(registry, path, "", Digest(row[2])))
        return found

    def _select(self, rest: str, values: tuple[object, ...]) -> Iterator[Tag]:
        for row in self._database.read().execute(f"SELECT {_COLUMNS} FROM tags {rest}", values):
            registry, _, path = row[0].partition("/")
            # All fields by place: filling in defaults costs more than the query, and a listing has 100,000 of them.
            target = Descriptor(row[3], Digest(row[4]), row[5], {}, None, (), "", {})
            yield Tag(Reference(registry, path, row[1], None), target, Digest(row[2]), row[6])


def _reference(repository: str, tag: str) -> Reference:
    registry, _, path = repository.partition("/")
    return Reference(registry, path, tag, None)


def _no_image(image: Digest) -> NotFound:
    return NotFound(f"no such image: {image}", "it may have been removed meanwhile; pull or build it again")
