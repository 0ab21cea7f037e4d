"""Which tags a rule keeps: a table."""

from __future__ import annotations

import pytest

from image.digest import Digest
from registry.server.metadata.upkeep import TagRecord
from registry.server.policy import SECOND, Policy, QuotaRule, RetentionRule, matches
from registry.server.retention import decide

DAY = 86400 * SECOND
NOW = 1000 * DAY
# v1 is the oldest; v2 was pulled yesterday, whatever its age
TAGS = [
    TagRecord("v1", Digest.of(b"1"), NOW - 40 * DAY), TagRecord("v2", Digest.of(b"2"), NOW - 30 * DAY, NOW - DAY),
    TagRecord("v3", Digest.of(b"3"), NOW - 20 * DAY), TagRecord("nightly/4", Digest.of(b"4"), NOW - 10 * DAY),
    TagRecord("latest", Digest.of(b"5"), NOW - 5 * DAY),
]  # fmt: skip


def never(tag: str) -> bool:
    return False


def gone(*rules: RetentionRule, name: str = "team/app") -> list[str]:
    return sorted(one.tag.name for one in decide(name, TAGS, rules, NOW, never) if not one.stays)


@pytest.mark.parametrize(
    ("rules", "removed"),
    [
        ([], []),
        ([RetentionRule(keep=2)], ["v1", "v2", "v3"]),
        ([RetentionRule(keep=0, always=("latest",))], ["nightly/4", "v1", "v2", "v3"]),
        ([RetentionRule(tags=("v*",), keep=1)], ["v1", "v2"]),
        ([RetentionRule(tags=("v*",), keep=1, pulled_within=2 * DAY)], ["v1"]),
        ([RetentionRule(pushed_within=25 * DAY)], ["v1", "v2"]),
        ([RetentionRule(pulled_within=2 * DAY)], ["latest", "nightly/4", "v1", "v3"]),
        ([RetentionRule(tags=("*",), keep=0)], ["latest", "v1", "v2", "v3"]),
        ([RetentionRule(tags=("v?",), keep=9), RetentionRule(keep=0)], ["latest", "nightly/4"]),
        ([RetentionRule(repositories=("team/*",), keep=4)], ["v1"]),
        ([RetentionRule(repositories=("other/**",), keep=0)], []),
    ],
)
def test_a_tag_stays_if_the_first_rule_about_it_says_so(rules: list[RetentionRule], removed: list[str]) -> None:
    assert gone(*rules) == removed


def test_an_immutable_tag_stays_whatever_the_rules_say() -> None:
    found = decide("a", TAGS, [RetentionRule(keep=0)], NOW, lambda tag: tag == "v1")
    assert [(one.tag.name, one.why) for one in found if one.stays] == [("v1", "it is immutable")]


def test_it_says_why() -> None:
    rule = RetentionRule(keep=1, pushed_within=15 * DAY, pulled_within=2 * DAY)
    whys = {one.tag.name: one.why for one in decide("a", TAGS, [rule], NOW, never)}
    assert whys == {
        "latest": "it is number 1 of the 1 newest",
        "nightly/4": "pushed 10 days ago",
        "v3": "number 3 by age, pushed 2 weeks ago, never pulled",
        "v2": "pulled 24 hours ago",
        "v1": "number 5 by age, pushed 5 weeks ago, never pulled",
    }


@pytest.mark.parametrize(
    ("pattern", "text", "does"),
    [
        ("**", "a/b/c", True), ("*", "a", True), ("*", "a/b", False), ("team/*", "team/app", True), ("team/*", "team", False),
        ("v?", "v1", True), ("v?", "v10", False), ("v1.*", "v1.2", True), ("v1.*", "v1x2", False), ("a[b]", "ab", False),
        ("team/**", "team/a/b", True), ("*-rc*", "1.0-rc1", True),
    ],
)  # fmt: skip
def test_a_pattern_matches_all_of_a_name(pattern: str, text: str, does: bool) -> None:
    assert matches((pattern,), text) is does


def test_the_first_quota_about_a_repository_counts() -> None:
    policy = Policy(quotas=(QuotaRule(("big/*",), 100), QuotaRule(("**",), 10)))
    assert [policy.quota_of(name) for name in ("big/a", "a/b")] == [100, 10] and Policy().quota_of("a") is None
