"""Ignore rules leave out what Docker's leave out (reference: Dockerfile, ".dockerignore file")."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.dockerfile.ignore import Ignore
from core.errors import InvalidInput


def left_out(rules: str, *paths: str) -> list[bool]:
    ignore = Ignore.parse(rules.encode())
    return [ignore.ignores(path) for path in paths]


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("foo", ["foo", "foo/a", "foo/a/b"], ["xfoo", "a/foo", "foo.txt"]),
        ("/foo/", ["foo", "foo/a"], ["a/foo"]),
        ("./a/../foo", ["foo"], ["a"]),
        ("*", ["a", "a/b"], []),
        ("*/b", ["a/b", "a/b/c"], ["b", "a/c/b"]),
        ("*.md", ["x.md", ".md"], ["a/x.md", "xmd"]),
        ("a?c", ["abc"], ["ac", "a/c", "abbc"]),
        ("**", ["a", "a/b"], []),
        ("**/foo", ["foo", "a/foo", "a/b/foo/c"], ["xfoo", "a/xfoo"]),
        ("**foo", ["foo", "xfoo", "a/xfoo"], ["foox"]),
        ("**/*.go", ["x.go", "a/b/x.go"], ["x.goo"]),
        ("foo/**", ["foo/a", "foo/a/b"], ["foo", "food/a"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "ab"]),
        ("a**b", ["ab", "ax/b"], ["axb"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("[!a]x", ["ax", "!x"], ["bx"]),
        ("[*]x", ["*x"], ["ax"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("a.b+(c)", ["a.b+(c)"], ["axb+(c)"]),
        (".", [], ["a"]),
        ("/", [], ["a"]),
        ("../a", [], ["a"]),
        ("# a", [], ["# a", "a"]),
        (" # a", ["# a"], []),
        ("dé*", ["déf"], ["d"]),
    ],
)
def test_a_pattern_matches(pattern: str, matching: list[str], other: list[str]) -> None:
    assert left_out(pattern, *matching, *other) == [True] * len(matching) + [False] * len(other)


def test_the_last_rule_that_matches_decides() -> None:
    assert left_out("*.md\n!README*.md\nREADME-secret.md", "a.md", "README.md", "README-secret.md") == [
        True,
        False,
        True,
    ]
    assert left_out("!a\na", "a") == [True]
    assert left_out("a\n! a/b ", "a/b", "a/c") == [False, True]
    assert left_out("**/*.txt\n!keep", "keep/a.txt", "drop/a.txt") == [False, True]


def test_a_byte_order_mark_carriage_returns_and_blank_lines_mean_nothing() -> None:
    assert left_out("\ufeffa\r\n\r\n  b  \r\n", "a", "b", "c") == [True, True, False]


@pytest.mark.parametrize(("text", "message"), [("a\n!", ".dockerignore:2: a lone !"), ("a\n\n[", ".dockerignore:3: malformed"), ("[]", "malformed"), ("a\\", "malformed"), ("[a-", "malformed")])  # fmt: skip
def test_a_wrong_rule_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message.replace("[", "\\[")):
        Ignore.parse(text.encode())


def test_the_reason_is_the_rule_with_its_line() -> None:
    ignore = Ignore.parse(b"# c\n*.log\nbuild\n!build/keep\n")
    reason = ignore.reason("build/x")
    assert reason and (reason.line, reason.pattern) == (3, "build")
    assert ignore.reason("build/keep") is None
    assert ignore.reason("src") is None


PARTS = st.sampled_from(["a", "b", "ab", "*", "?", "**", "a*", "*b", "**a", "a**", "[ab]", "[^a]", "\\a", "..", "."])
PATTERNS = st.builds(lambda again, parts: ("!" if again else "") + "/".join(parts), st.booleans(), st.lists(PARTS, min_size=1, max_size=3))  # fmt: skip
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "ba", "aab"]), min_size=1, max_size=4).map("/".join)


def slowly(rules: list[str], path: str) -> bool:
    """The rules as they are explained: each in turn, on the path and on every directory above it."""
    parts = path.split("/")
    paths = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    out = False
    for rule in rules:
        if any(Ignore.of([rule.removeprefix("!")]).ignores(one) for one in paths):
            out = not rule.startswith("!")
    return out


@settings(max_examples=500, deadline=None)
@given(st.lists(PATTERNS, max_size=5), PATHS)
def test_runs_and_states_decide_as_rules_one_by_one(rules: list[str], path: str) -> None:
    assert Ignore.of(rules).ignores(path) == slowly(rules, path)


@settings(max_examples=500, deadline=None)
@given(st.lists(PATTERNS, max_size=5), PATHS, PATHS)
def test_a_directory_is_skipped_only_if_nothing_below_it_comes_back(rules: list[str], above: str, below: str) -> None:
    ignore = Ignore.of(rules)
    if ignore.ignores(above) and ignore.skips(above):
        assert ignore.ignores(f"{above}/{below}")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_rules_or_an_error_with_a_line(data: bytes) -> None:
    try:
        Ignore.parse(data).ignores("a/b")
    except InvalidInput as error:
        assert error.message.startswith(".dockerignore:")
