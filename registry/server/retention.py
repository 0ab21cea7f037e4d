"""Which tags stay and which go, and why: rules over facts, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.units import human_duration
from core.value import Value
from registry.server.metadata.upkeep import TagRecord
from registry.server.policy import SECOND, RetentionRule, matches


class TagVerdict(Value):
    """`why` in a few words."""

    tag: TagRecord
    stays: bool
    why: str


def decide(
    repository: str, tags: Iterable[TagRecord], rules: Sequence[RetentionRule], now: int, immutable: Callable[[str], bool]
) -> list[TagVerdict]:  # fmt: skip
    """A verdict on each tag that a rule is about; `now` in nanoseconds. A tag that no rule is about stays unmentioned."""
    mine = [rule for rule in rules if matches(rule.repositories, repository)]
    groups: dict[int, list[TagRecord]] = {}
    for tag in tags:
        number = next((n for n, rule in enumerate(mine) if matches(rule.tags, tag.name)), None)
        if number is not None:
            groups.setdefault(number, []).append(tag)
    return [verdict for number, found in groups.items() for verdict in _by_rule(mine[number], found, now, immutable)]


def _by_rule(
    rule: RetentionRule, tags: list[TagRecord], now: int, immutable: Callable[[str], bool]
) -> list[TagVerdict]:
    newest = sorted(tags, key=lambda tag: (-tag.pushed, tag.name))
    return [_verdict(rule, tag, rank, now, immutable) for rank, tag in enumerate(newest, 1)]


def _verdict(rule: RetentionRule, tag: TagRecord, rank: int, now: int, immutable: Callable[[str], bool]) -> TagVerdict:
    if immutable(tag.name):
        return TagVerdict(tag, True, "it is immutable")
    if rule.always and matches(rule.always, tag.name):
        return TagVerdict(tag, True, "its name is always kept")
    if rule.keep is not None and rank <= rule.keep:
        return TagVerdict(tag, True, f"it is number {rank} of the {rule.keep} newest")
    if rule.pushed_within is not None and tag.pushed > now - rule.pushed_within:
        return TagVerdict(tag, True, f"pushed {_ago(now, tag.pushed)}")
    if rule.pulled_within is not None and tag.pulled > now - rule.pulled_within:
        return TagVerdict(tag, True, f"pulled {_ago(now, tag.pulled)}")
    pulled = f"pulled {_ago(now, tag.pulled)}" if tag.pulled else "never pulled"
    return TagVerdict(tag, False, f"number {rank} by age, pushed {_ago(now, tag.pushed)}, {pulled}")


def _ago(now: int, instant: int) -> str:
    return f"{human_duration(max(0, now - instant) / SECOND)} ago".lower()
