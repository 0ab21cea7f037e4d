"""What is an address, and of what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.sources.address import GitAddress as Git
from builder.sources.address import HttpAddress as Http
from builder.sources.address import parse_address, shown
from core.errors import InvalidInput

ID = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("file", None),
        ("./git@host:x", None),
        ("https", None),
        ("http://h/a/b.txt", Http("http://h/a/b.txt")),
        ("https://h/a?x=.git#part", Http("https://h/a?x=.git")),
        ("https://h/x.git", Git("https://h/x.git")),
        ("https://user@h:8443/x.git#v1:a/b", Git("https://user@h:8443/x.git", "v1", "a/b")),
        ("git://h/x", Git("git://h/x")),
        ("git://h/x#:/a//./b/", Git("git://h/x", "", "a/b")),
        ("ssh://git@h:22/x.git#main", Git("ssh://git@h:22/x.git", "main")),
        ("git@h:x/y.git#main:d", Git("git@h:x/y.git", "main", "d")),
        ("me@h.example:x?branch=b", Git("me@h.example:x", "refs/heads/b")),
        ("https://h/x.git?tag=v1&subdir=d", Git("https://h/x.git", "refs/tags/v1", "d")),
        (f"https://h/x.git?ref=main&commit={ID[:8]}", Git("https://h/x.git", "main", commit=ID[:8])),
        ("https://h/x.git?keep-git-dir&submodules=0", Git("https://h/x.git", keep_git=True, submodules=False)),
        ("https://h/x.git?mtime=commit#a", Git("https://h/x.git", "a", commit_times=True)),
        (f"https://h/x.git?checksum={ID}&fetch-by-commit=1", Git("https://h/x.git", commit=ID, by_commit=True)),
        ("github.com/a/b", None),
    ],
)
def test_an_address(text, found):
    assert parse_address(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("github.com/a/b", Git("https://github.com/a/b")),
        ("github.com/a/b.git#main:dir", Git("https://github.com/a/b.git", "main", "dir")),
        ("github.com/a/b?branch=x", Git("https://github.com/a/b", "refs/heads/x")),
        ("dir/github.com/a", None),
    ],
)
def test_a_context_may_be_named_by_githubs_short_form(text, found):
    assert parse_address(text, context=True) == found


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h/x", "http://", "http:///x", "http://h:port/x", "http://[::1/x", "git://-x/y", "git@h:-x", "http://h/a b",
        "https://h/x.git?nope=1", "https://h/x.git?ref=a&ref=b", "https://h/x.git?ref=", "https://h/x.git?ref=a#b",
        "https://h/x.git?tag=a&branch=b", "https://h/x.git?subdir=a#b:c", "https://h/x.git?mtime=now",
        "https://h/x.git?submodules=perhaps", "https://h/x.git?commit=xyz", "https://h/x.git?fetch-by-commit=1",
        "https://h/x.git#-x", "https://h/x.git#a..b", "https://h/x.git#a@{1}", "https://h/x.git#a^", "https://h/x.git#a~1",
        f"https://h/x.git?commit={ID[1:8]}#{ID}", "git@h:x\n",
    ],
)  # fmt: skip
def test_no_address(text):
    with pytest.raises(InvalidInput):
        parse_address(text)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/b.txt", "b.txt"), ("http://h/a/", "a"), ("http://h", "__unnamed__"), ("http://h/", "__unnamed__"),
        ("http://h/a/..", "__unnamed__"), ("http://h/%2e%2e", "__unnamed__"), ("http://h/a%2Fb", "b"),
        ("http://h/a%20b?c=d/e", "a b"),
    ],
)  # fmt: skip
def test_a_files_name_is_the_end_of_the_path(url, name):
    assert Http(url).name == name


def test_credentials_are_not_shown():
    assert shown("see http://ann:secret@h/x, git@h:x") == "see http://xxxxx@h/x, git@h:x"


@given(st.sampled_from(["http://", "git://", "ssh://", "git@h:", "https://h/x.git?", "https://h/x.git#"]), st.text())
def test_any_text_is_an_address_or_an_error(start, rest):
    try:
        found = parse_address(start + rest)
    except InvalidInput:
        return
    assert found is not None
    if isinstance(found, Git):
        assert not found.ref.startswith("-") and not found.remote.startswith("-")
    else:
        assert "/" not in found.name and found.name not in ("", ".", "..")
