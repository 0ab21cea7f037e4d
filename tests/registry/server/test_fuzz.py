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
