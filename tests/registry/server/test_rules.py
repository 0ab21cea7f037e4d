"""Paths, ranges and addresses: the rules that need no server."""

from __future__ import annotations

import pytest

from core.errors import Conflict, InvalidInput
from registry.protocol import Kind, Route, is_name, is_tag, parse_path
from registry.server.errors import ApiError
from registry.server.listen import Address
from registry.server.ranges import announced, requested


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", Route(Kind.BASE)),
        ("/v2", Route(Kind.BASE)),
        ("/v2/_catalog", Route(Kind.CATALOG)),
        ("/v2/a/manifests/1", Route(Kind.MANIFESTS, "a", "1")),
        ("/v2/a/b/c/blobs/sha256:00", Route(Kind.BLOBS, "a/b/c", "sha256:00")),
        ("/v2/a/blobs/uploads/", Route(Kind.UPLOADS, "a")),
        ("/v2/a/blobs/uploads", Route(Kind.UPLOADS, "a")),
        ("/v2/a/blobs/uploads/12", Route(Kind.UPLOADS, "a", "12")),
        ("/v2/blobs/uploads/manifests/x", Route(Kind.MANIFESTS, "blobs/uploads", "x")),
        ("/v2/a/tags/list", Route(Kind.TAGS, "a", "list")),
        ("/v2/a/referrers/sha256:00", Route(Kind.REFERRERS, "a", "sha256:00")),
        ("/", None),
        ("/v2/a", None),
        ("/v2/a/tags/other", None),
        ("/v2/a/uploads/12", None),
        ("/v1/a/manifests/1", None),
        ("/v2/manifests/1", None),
    ],
)
def test_a_path_leads_somewhere_or_nowhere(path: str, route: Route | None) -> None:
    assert parse_path(path) == route


@pytest.mark.parametrize("name", ["a", "a/b", "a-b/c_d/e.f", "a__b", "a--b", "0/1", "a" * 255])
def test_these_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a//b", "/a", "a/", "a..b", "-a", "a_", "../a", "a\x00", "a\n", "ä", "a" * 256]
)
def test_these_are_no_names(name: str) -> None:
    assert not is_name(name)


def test_tags_have_128_characters_at_most() -> None:
    assert is_tag("_x.Y-9") and is_tag("a" * 128)
    assert not any(map(is_tag, ("", ".a", "-a", "a" * 129, "a/b", "a:b", "a\n")))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, None),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=50-1000", (50, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("nonsense", None),
    ],
)
def test_a_range_is_a_part_or_the_whole(text: str | None, part: tuple[int, int] | None) -> None:
    assert requested(text, 100) == part


@pytest.mark.parametrize("text", ["bytes=100-", "bytes=9-3", "bytes=-0", "bytes=500-600"])
def test_a_range_outside_is_refused(text: str) -> None:
    with pytest.raises(ApiError) as error:
        requested(text, 100)
    assert error.value.status == 416 and error.value.headers == [("content-range", "bytes */100")]


def test_a_chunk_says_where_it_goes() -> None:
    assert announced(None, 5) is None
    assert announced("0-4", 5) == (0, 5)
    assert announced("bytes 5-9/10", None) == (5, 10)
    for text, length in (("5-9", 4), ("9-5", None), ("x", 1), ("-5", 5), ("5-", 5)):
        with pytest.raises(ApiError, match="Content-Range"):
            announced(text, length)


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:5000", "127.0.0.1", 5000, True),
        ("localhost:1", "127.0.0.1", 1, True),
        (":8080", "127.0.0.1", 8080, True),
        ("[::1]:5000", "::1", 5000, True),
        ("::1", "::1", 5000, True),
        ("127.0.0.2", "127.0.0.2", 5000, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("[::]:80", "::", 80, False),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int, loopback: bool) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, address.loopback) == (host, port, loopback)


@pytest.mark.parametrize("text", ["127.0.0.1:x", "127.0.0.1:70000", "no-such-host.invalid:1", "[::1]:", "a b:1"])
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Address.parse(text)


def test_a_port_that_is_taken_is_noticed() -> None:
    import socket

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with pytest.raises(Conflict, match="cannot listen"):
            Address("127.0.0.1", sock.getsockname()[1]).reserve()
