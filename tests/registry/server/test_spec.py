"""What the distribution-spec has beyond 1.1.1 or leaves to SHOULD, and its official suite does not look at."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from image.digest import Digest
from registry.server.data import open_data
from registry.server.metadata.protocol import ManifestRecord
from tests.suites.served import OCI_MANIFEST, Served, manifest, sha256

Start = Callable[..., Served]


def sha512(data: bytes) -> str:
    return "sha512:" + hashlib.sha512(data).hexdigest()


def test_a_push_by_digest_says_which_tags_it_took(served: Served, name: str) -> None:
    raw = manifest()
    query = "&".join(f"tag=v{number}" for number in range(50))
    connection = served.connect()
    connection.request("PUT", f"/v2/{name}/manifests/{sha256(raw)}?{query}&tag=v1", raw, {"Content-Type": OCI_MANIFEST})
    response = connection.getresponse()
    told = [value for key, value in response.getheaders() if key.lower() == "oci-tag"]
    assert response.status == 201 and told == [f"v{number}" for number in range(50)]
    connection.close()
    got = served.ask("PUT", f"/v2/{name}/manifests/{sha256(raw)}?{query}&tag=more", raw, content_type=OCI_MANIFEST)
    assert got.status == 414 and "more" not in served.ask("GET", f"/v2/{name}/tags/list").json["tags"]
    assert served.ask("PUT", f"/v2/{name}/manifests/{sha256(raw)}?tag=.bad", raw).code == "TAG_INVALID"


def test_a_manifest_may_be_named_by_sha512(served: Served, name: str) -> None:
    raw = manifest()
    got = served.ask("PUT", f"/v2/{name}/manifests/{sha512(raw)}?tag=1", raw, content_type=OCI_MANIFEST)
    assert got.status == 201 and got.headers["docker-content-digest"] == sha512(raw)
    for reference in (sha512(raw), "1"):
        found = served.ask("GET", f"/v2/{name}/manifests/{reference}")
        assert found.body == raw and found.headers["docker-content-digest"] == sha512(raw)


@pytest.mark.parametrize(
    ("algorithm", "status"), [("sha256", 202), ("sha512", 202), ("md5", 400), ("", 202), ("sha512/../x", 400)]
)
def test_an_upload_may_announce_its_algorithm(served: Served, name: str, algorithm: str, status: int) -> None:
    got = served.ask("POST", f"/v2/{name}/blobs/uploads/?digest-algorithm={algorithm}")
    assert got.status == status and (status == 202 or got.code == "DIGEST_INVALID")
    if status == 202:
        name_it = sha512 if algorithm == "sha512" else sha256
        assert served.ask("PUT", f"{got.headers['location']}?digest={name_it(b'x')}", b"x").status == 201


def test_referrers_come_in_pages_that_keep_their_filter(start: Start, data: Path) -> None:
    subject = Digest.of(b"subject")
    metadata, _ = open_data(data, sync=False)
    for number in range(2500):
        raw = b"referrer %d" % number
        kind = "t/even" if number % 2 == 0 else "t/odd"
        metadata.put_manifest(
            "a/b", ManifestRecord(Digest.of(raw), OCI_MANIFEST, raw, subject=subject, artifact_type=kind), []
        )
    metadata.close()
    server = start()
    for query, count, pages in (("", 2500, 3), ("?artifactType=t/even", 1250, 2)):
        path, seen, asked = f"/v2/a/b/referrers/{subject}{query}", [], 0
        while path:
            got = server.ask("GET", path)
            assert ("oci-filters-applied" in got.headers) == bool(query)
            seen += [one["digest"] for one in got.json["manifests"]]
            path, asked = got.headers.get("link", "<>").split(">")[0][1:], asked + 1
        assert (len(set(seen)), asked) == (count, pages) and seen == sorted(seen)
    server.stop()


def test_a_location_works_as_it_is_given(served: Served, name: str) -> None:
    digest = served.blob(name, b"x")
    for method, path, body in (
        ("PUT", f"{served.upload(name)}?digest={digest}", b"x"), ("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", b"x"),
        ("POST", f"/v2/{name}2/blobs/uploads/?mount={digest}&from={name}", None),
        ("PUT", f"/v2/{name}/manifests/1", manifest()), ("PUT", f"/v2/{name}/manifests/{sha256(manifest())}", manifest()),
    ):  # fmt: skip
        got = served.ask(method, path, body, content_type=OCI_MANIFEST)
        assert got.status == 201 and served.ask("GET", got.headers["location"]).body == (body or b"x")


def test_a_head_tells_what_a_get_would(served: Served, name: str) -> None:
    raw = served.image(name, "1", b"layer" * 100_000)
    for path in (f"/v2/{name}/manifests/1", f"/v2/{name}/blobs/{sha256(b'layer' * 100_000)}", f"/v2/{name}/tags/list"):
        head, got = served.ask("HEAD", path), served.ask("GET", path)
        same = ("content-length", "content-type", "docker-content-digest", "etag")
        assert head.body == b"" and [head.headers.get(key) for key in same] == [got.headers.get(key) for key in same]
    assert served.ask("HEAD", f"/v2/{name}/manifests/1").headers["content-length"] == str(len(raw))


@pytest.mark.parametrize("size", [100, 1_000_000])
def test_a_blob_whose_file_is_lost_is_no_defect_of_the_server(served: Served, name: str, size: int) -> None:
    content = os.urandom(size)
    digest = served.blob(name, content)
    (served.data / f"blobs/sha256/{digest[7:9]}/{digest[7:]}").unlink()
    got = served.ask("GET", f"/v2/{name}/blobs/{digest}")
    assert got.status == 404
    served.blob(name, content)
    assert served.ask("GET", f"/v2/{name}/blobs/{digest}").body == content


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2/" + b"a" * 100_000 + b"/tags/list HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 5_000 + b"\r\n",
        b"PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v2/a/manifests/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://elsewhere.example/v2/ HTTP/1.1\r\nHost: y\r\n\r\n",
        b"CONNECT /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["path", "header", "headers", "negative", "huge", "two lengths", "length and chunks", "bytes", "absolute", "connect", "tls"],
)  # fmt: skip
def test_a_head_that_makes_no_sense_is_refused_and_harms_nobody(served: Served, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as sock:
        answer = b""
        try:
            sock.sendall(head)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(100)
        except OSError:
            assert len(head) > 10_000 or not answer  # hung up on
        assert not answer.startswith(b"HTTP/1.1 5")
    assert served.ask("GET", "/v2/").status == 200
