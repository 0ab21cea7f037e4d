"""Which images and names a listing shows, and in which order: Docker's filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from core.value import Value
from image.digest import Digest
from image.reference import Reference
from images.filters import Filters, instant
from images.resolve import resolve

if TYPE_CHECKING:
    from store.images import Image
    from store.store import Store

FILTERS = frozenset({"dangling", "label", "before", "since", "until", "reference"})
_GLOB = re.compile(r"[*?\[\\]")


class Listed(Value):
    """An image with the names that the listing shows of it."""

    image: Image
    tags: tuple[Reference, ...]
    digests: tuple[Reference, ...]


def listing(store: Store, filters: Filters, *, name: str | None = None, all_images: bool = False) -> list[Listed]:
    """The images that pass, newest first, each with its names in order.

    Without `all_images` those are left out that have no name and serve only as parents. `name` (`repo` or `repo:tag`) and the
    `reference` filters, of which one has to match, may be globs; without a glob each is one look into an index.
    Raises InvalidInput for filters that make no sense, ImageNotFound for `before` and `since`.
    """
    patterns = (*((name,) if name else ()), *filters.get("reference"))
    dangling = filters.flag("dangling")
    passes = _test(store, filters)
    found = [image for image in _candidates(store, patterns, dangling, all_images) if passes(image)]
    found.sort(key=lambda image: (-image.created, image.id))
    rows = _named(store, found)
    if patterns:
        rows = [row for row in (_matching(row, patterns) for row in rows) if row.tags or row.digests]
    if dangling:
        return [row for row in rows if not row.tags]
    return [row for row in rows if row.tags or row.digests] if dangling is False else rows


def _candidates(store: Store, patterns: Sequence[str], dangling: bool | None, all_images: bool) -> Iterable[Image]:
    if patterns and not any(map(_GLOB.search, patterns)):
        return store.images.get_many(id for pattern in patterns for id in _indexed(store, pattern))
    if dangling:
        return store.images.dangling()
    return store.images.all(intermediate=all_images)


def _indexed(store: Store, text: str) -> list[Digest]:
    try:
        reference = Reference.parse(text)
    except InvalidInput:
        return []  # no name can match it, as no glob would
    if reference.digest:
        found = store.tags.get_digest(reference.with_digest(reference.digest))
        return [found] if found else []
    if reference.tag:
        tag = store.tags.get(reference)
        return [tag.image] if tag else []
    return store.tags.images_of_repository(reference.repository)


def _named(store: Store, images: Sequence[Image]) -> list[Listed]:
    ids = [image.id for image in images]
    tags, digests = store.tags.of_images(ids), store.tags.digests_of_images(ids)
    return [
        Listed(image, tuple(tag.reference for tag in tags.get(image.id, ())), tuple(digests.get(image.id, ())))
        for image in images
    ]


def _matching(row: Listed, patterns: Sequence[str]) -> Listed:
    expressions = [_expression(pattern) for pattern in patterns]

    def matches(reference: Reference) -> bool:
        return any(e.fullmatch(reference.familiar) or e.fullmatch(reference.familiar_repository) for e in expressions)

    return Listed(row.image, tuple(filter(matches, row.tags)), tuple(filter(matches, row.digests)))


def _expression(pattern: str) -> re.Pattern[str]:
    """A shell pattern whose `*` and `?` stop at a slash; a plain name in its familiar form."""
    if not _GLOB.search(pattern):
        try:
            return re.compile(re.escape(Reference.parse(pattern).familiar))
        except InvalidInput:
            return re.compile(re.escape(pattern))
    parts = re.findall(r"\\.|\[\^?[^\]]+\]|.", pattern, re.DOTALL)
    try:
        return re.compile("".join(map(_part, parts)))
    except re.error as error:
        raise InvalidInput(f"invalid pattern {pattern!r}", "quote special characters with a backslash") from error


def _part(part: str) -> str:
    if part in ("*", "?"):
        return "[^/]*" if part == "*" else "[^/]"
    if len(part) > 2 and part.startswith("["):
        return part
    return re.escape(part[-1])


def _test(store: Store, filters: Filters) -> Callable[[Image], bool]:
    before = [resolve(store, name).created for name in filters.get("before")] + [
        instant(text) for text in filters.get("until")
    ]
    since = [resolve(store, name).created for name in filters.get("since")]
    earliest, latest = min(before, default=None), max(since, default=None)

    def passes(image: Image) -> bool:
        if earliest is not None and image.created >= earliest:
            return False
        return (latest is None or image.created > latest) and filters.labels_match(image.labels)

    return passes
