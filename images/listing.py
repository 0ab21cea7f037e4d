"""Which images and names a listing shows, and in which order: Docker's filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
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

FILTERS = frozenset({"dangling", "label", "before", "since", "until", "unused-for", "reference"})
PAGE = 200  # images at a time: the first rows come early, and a slow reader holds nothing open
_GLOB = re.compile(r"[*?\[\\]")


class Listed(Value):
    """An image with the names that the listing shows of it."""

    image: Image
    tags: tuple[Reference, ...]
    digests: tuple[Reference, ...]


def listing(store: Store, filters: Filters, *, name: str | None = None, all_images: bool = False) -> Iterator[Listed]:
    """The images that pass, newest first, each with its names in order; read page by page as they are asked for.

    Without `all_images` those are left out that have no name and serve only as parents. `name` (`repo` or `repo:tag`) and the
    `reference` filters, of which one has to match, may be globs; without a glob each is one look into an index.
    Raises InvalidInput for filters that make no sense, ImageNotFound for `before` and `since`.
    """
    patterns = (*((name,) if name else ()), *filters.get("reference"))
    matches = _matcher(patterns) if patterns else None
    dangling = filters.flag("dangling")
    passes = _test(store, filters)
    pages = _pages(store, patterns, dangling, all_images)
    return (
        shown
        for page in pages
        for row in _named(store, [image for image in page if passes(image)])
        if (shown := _shown(row, matches, dangling))
    )


def _shown(row: Listed, matches: Callable[[Reference], bool] | None, dangling: bool | None) -> Listed | None:
    if matches:
        row = Listed(row.image, tuple(filter(matches, row.tags)), tuple(filter(matches, row.digests)))
    named = bool(row.tags or row.digests)
    if matches and not named:
        return None
    if dangling is None:
        return row
    return row if (not row.tags if dangling else named) else None


def _pages(store: Store, patterns: Sequence[str], dangling: bool | None, all_images: bool) -> Iterator[Sequence[Image]]:
    if patterns and not any(map(_GLOB.search, patterns)):
        found = store.images.get_many(id for pattern in patterns for id in _indexed(store, pattern))
        yield sorted(found, key=lambda image: (-image.created, image.id))
        return
    page: list[Image] = []
    while page := store.images.page(PAGE, page[-1] if page else None, intermediate=all_images, dangling=bool(dangling)):
        yield page


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
    tags, digests = store.tags.names_of_images(ids), store.tags.digests_of_images(ids)
    return [Listed(image, tuple(tags.get(image.id, ())), tuple(digests.get(image.id, ()))) for image in images]


def _matcher(patterns: Sequence[str]) -> Callable[[Reference], bool]:
    expressions = [_expression(pattern) for pattern in patterns]

    def matches(reference: Reference) -> bool:
        return any(e.fullmatch(reference.familiar) or e.fullmatch(reference.familiar_repository) for e in expressions)

    return matches


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
        raise _bad_pattern(pattern) from error


def _part(part: str) -> str:
    if part in ("*", "?"):
        return "[^/]*" if part == "*" else "[^/]"
    if len(part) > 2 and part.startswith("["):
        return part
    if part == "[":
        raise _bad_pattern("[")
    return re.escape(part[-1])


def _bad_pattern(what: str) -> InvalidInput:
    return InvalidInput(f"syntax error in pattern: {what!r}", "quote special characters with a backslash")


def _test(store: Store, filters: Filters) -> Callable[[Image], bool]:
    before = [resolve(store, name).created for name in filters.get("before")] + [
        instant(text) for text in filters.get("until")
    ]
    since = [resolve(store, name).created for name in filters.get("since")]
    earliest, latest = min(before, default=None), max(since, default=None)
    unused = min(map(instant, filters.get("unused-for")), default=None)

    def passes(image: Image) -> bool:
        if earliest is not None and image.created >= earliest:
            return False
        if unused is not None and (image.last_used or 0) >= unused:
            return False
        return (latest is None or image.created > latest) and filters.labels_match(image.labels)

    return passes
