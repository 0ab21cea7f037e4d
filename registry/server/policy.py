"""What the operator wants kept, limited and fixed. Values and matching only: no I/O, and nothing needs to be set."""

from __future__ import annotations

import re
from functools import lru_cache

from core.value import Value

SECOND = 10**9
HOUR = 3600 * SECOND
EVERYTHING = ("**",)


class RetentionRule(Value):
    """Which tags of `repositories` stay. The first rule that is about a tag decides; it stays where any of this holds:

    it matches `always`; it is one of the `keep` that were pushed last; it was pushed, or pulled, within so many
    nanoseconds.
    """

    repositories: tuple[str, ...] = EVERYTHING
    tags: tuple[str, ...] = EVERYTHING
    keep: int | None = None
    pushed_within: int | None = None
    pulled_within: int | None = None
    always: tuple[str, ...] = ()


class ImmutableRule(Value):
    """Tags that can be neither moved nor deleted."""

    repositories: tuple[str, ...] = EVERYTHING
    tags: tuple[str, ...] = EVERYTHING


class QuotaRule(Value):
    """`bytes` for each of `repositories`; the first rule that is about a repository counts."""

    repositories: tuple[str, ...]
    bytes: int


class Policy(Value):
    """`delay` and `unreferenced`: nanoseconds that content is kept which lost its last user, or never had one. `interval`:
    seconds between two looks at what is due. `untagged`: whether untagged manifests go. `uploads_expire`: seconds.
    `quota`: bytes of the whole registry."""

    delay: int = HOUR
    unreferenced: int = 24 * HOUR
    interval: float = 60.0
    untagged: bool = True
    uploads_expire: float = 7 * 24 * 3600.0
    quota: int | None = None
    quotas: tuple[QuotaRule, ...] = ()
    immutable: tuple[ImmutableRule, ...] = ()
    retention: tuple[RetentionRule, ...] = ()

    def quota_of(self, repository: str) -> int | None:
        """Bytes that the repository may use; None for any number."""
        return next((rule.bytes for rule in self.quotas if matches(rule.repositories, repository)), None)

    def is_immutable(self, repository: str, tag: str) -> bool:
        """Whether the tag may not be moved or deleted."""
        return any(matches(rule.repositories, repository) and matches(rule.tags, tag) for rule in self.immutable)


def matches(patterns: tuple[str, ...], text: str) -> bool:
    """Whether one of `patterns` is all of `text`: `*` is anything but a slash, `**` anything, `?` one character."""
    return any(_compiled(pattern).fullmatch(text) for pattern in patterns)


@lru_cache(maxsize=1000)
def _compiled(pattern: str) -> re.Pattern[str]:
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(words.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", pattern)))
