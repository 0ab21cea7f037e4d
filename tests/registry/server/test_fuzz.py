"""Whatever is sent, the registry answers with less than 500, and goes on."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.suites.served import OCI_MANIFEST, Served, manifest, sha256

KNOWN = [
    "a",
    "a/b",
    "..",
    "manifests",
    "blobs",
    "uploads",
    "tags",
    "list",
    "referrers",
    "_catalog",
    "1",
    sha256(b""),
    "sha512:0",
]
segment = st.one_of(st.sampled_from(KNOWN), st.text(max_size=12).map(lambda text: quote(text, safe="%./:")))
path = st.lists(segment, max_size=6).map(lambda parts: "/v2/" + "/".join(parts))
value = st.one_of(st.text(max_size=20), st.integers().map(str), st.sampled_from([sha256(b""), "a/b", "0", "sha512"]))
query = st.dictionaries(
    st.sampled_from(["n", "last", "mount", "from", "digest", "tag", "artifactType", "digest-algorithm"]), value
)
method = st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"])
body = st.one_of(
    st.binary(max_size=200), st.just(manifest()), st.sampled_from([b"{}", b"[]", b'{"config":1,"layers":[1]}'])
)
header = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
headers = st.dictionaries(
    st.sampled_from(["Content-Range", "Range", "Content-Type", "If-None-Match", "Accept"]), header
)
# what is slow is the machine, and one server serves all examples
OPTIONS = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@OPTIONS
@given(method=method, path=path, query=query, body=body, headers=headers)
def test_no_request_is_too_strange(
    served: Served, method: str, path: str, query: dict[str, str], body: bytes, headers: dict[str, str]
) -> None:
    target = path + "?" + "&".join(f"{key}={quote(text, safe='')}" for key, text in query.items())
    connection = served.connect()
    try:
        connection.request(method, target, body, headers)
        assert connection.getresponse().status < 500
    finally:
        connection.close()


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just(sha256(b""))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["digest", "size", "mediaType", "x"]), inner)),
    max_leaves=8,
)  # fmt: skip


@OPTIONS
@given(fields=st.dictionaries(
    st.sampled_from(["config", "layers", "manifests", "subject", "annotations", "artifactType", "mediaType", "schemaVersion"]), json_like
))  # fmt: skip
def test_no_manifest_is_too_strange(served: Served, fields: dict[str, object]) -> None:
    raw = json.dumps({**json.loads(manifest()), **fields}).encode()
    got = served.ask("PUT", "/v2/fuzz/manifests/1", raw, content_type=OCI_MANIFEST)
    assert got.status in (201, 400)
    if got.status == 201:
        assert served.ask("GET", "/v2/fuzz/manifests/1").body == raw


@OPTIONS
@given(data=st.binary(max_size=300))
def test_no_bytes_are_too_strange(served: Served, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as sock:
        sock.sendall(b"PUT /v2/fuzz/manifests/1 HTTP/1.1\r\n" + data + b"\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            assert not sock.recv(100).startswith(b"HTTP/1.1 5")
    with contextlib.suppress(http.client.HTTPException):
        assert served.ask("GET", "/v2/").status == 200


number = st.one_of(st.integers(0, 400), st.integers(-5, 2**70))
content_range = st.one_of(
    st.none(), st.tuples(number, number).map(lambda pair: f"{pair[0]}-{pair[1]}"), header,
    st.sampled_from(["bytes 0-9/10", "0-", "-1", "0-0", "0-0,1-1"]),
)  # fmt: skip
chunk = st.tuples(
    st.sampled_from(["PATCH", "PUT", "GET", "HEAD"]), content_range, st.binary(max_size=100), st.integers(-20, 20)
)


def send(served: Served, place: str, method: str, span: str | None, body: bytes, lie: int) -> int:
    """A chunk whose announced length is off by `lie`, from a client that then goes away; the answer's status, 0 for none."""
    head = f"{method} {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {max(0, len(body) + lie)}\r\n"
    head += f"Content-Range: {span}\r\n" if span is not None else ""
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as sock:
        sock.sendall(head.encode() + b"\r\n" + body)
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            answer = sock.recv(1000)
            return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    return 0


@settings(OPTIONS, max_examples=60)
@given(chunks=st.lists(chunk, max_size=6))
def test_no_chunk_is_too_strange_and_an_upload_goes_on(
    served: Served, chunks: list[tuple[str, str | None, bytes, int]]
) -> None:
    place, offset = served.upload("fuzz/uploads"), 0
    for method, span, body, lie in chunks:
        query = f"?digest={sha256(b'never')}" if method == "PUT" else ""
        assert send(served, place + query, method, span, body, lie) < 500
        got = served.ask("GET", place)
        if got.status == 404:  # the bytes were not those that the digest names
            return
        now = int(got.headers["range"].removeprefix("0-")) + 1
        assert got.status == 204 and offset <= now <= max(1, offset + len(body)) + max(0, offset == 0)
        offset = now
    assert served.ask("DELETE", place).status == 204


def frame(sizes: list[str], data: bytes) -> bytes:
    return b"".join(size.encode() + b"\r\n" + data + b"\r\n" for size in sizes)


@settings(OPTIONS, max_examples=60)
@given(sizes=st.lists(st.one_of(st.integers(0, 30).map("{:x}".format), st.text("0123456789abcdefxyz; -", max_size=20)), max_size=5),
       data=st.binary(max_size=20))  # fmt: skip
def test_no_chunked_encoding_is_too_strange(served: Served, sizes: list[str], data: bytes) -> None:
    place = served.upload("fuzz/chunked")
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as sock:
        sock.sendall(
            f"PATCH {place} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + frame(sizes, data)
        )
        sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            assert not sock.recv(100).startswith(b"HTTP/1.1 5")
    assert served.ask("GET", place).status == 204


@settings(OPTIONS, max_examples=100)
@given(
    span=st.one_of(
        header, st.tuples(number, number).map(lambda pair: f"bytes={pair[0]}-{pair[1]}"), number.map("bytes=-{}".format)
    )
)
def test_no_range_is_too_strange(served: Served, span: str) -> None:
    content = b"0123456789" * 30
    if served.ask("HEAD", f"/v2/fuzz/ranges/blobs/{sha256(content)}").status == 404:
        served.blob("fuzz/ranges", content)
    got = served.ask("GET", f"/v2/fuzz/ranges/blobs/{sha256(content)}", Range=span)
    if got.status == 206:
        first, last = got.headers["content-range"].removeprefix("bytes ").partition("/")[0].split("-")
        assert got.body == content[int(first) : int(last) + 1] and len(got.body) == int(got.headers["content-length"])
    else:
        assert (got.status, got.body) == (200, content) or got.status in (400, 416)
