"""What the registry answers, asked over HTTP: manifests, tags, blobs, lists, errors."""

from __future__ import annotations

import json

import pytest

from registry.protocol import MAX_MANIFEST_BYTES
from tests.suites.served import OCI_LAYER, OCI_MANIFEST, Served, manifest, sha256

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
NOBODY = sha256(b"nobody has this")


def manifest_of(**fields: object) -> bytes:
    """A manifest with these fields instead of the right ones."""
    return json.dumps({**json.loads(manifest()), **fields}).encode()


def put(served: Served, name: str, raw: bytes, reference: str = "1", kind: str = OCI_MANIFEST) -> int:
    return served.ask("PUT", f"/v2/{name}/manifests/{reference}", raw, content_type=kind).status


def test_it_says_what_it_is(served: Served) -> None:
    got = served.ask("GET", "/v2/")
    assert got.status == 200 and got.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_manifest_comes_back_byte_for_byte(served: Served, name: str, method: str) -> None:
    raw = served.image(name, "1", b"layer")
    for reference in ("1", sha256(raw)):
        for _ in range(2):  # the second is answered from memory
            got = served.ask(method, f"/v2/{name}/manifests/{reference}")
            assert got.status == 200 and got.body == (raw if method == "GET" else b"")
            assert got.headers["content-type"] == OCI_MANIFEST
            assert got.headers["docker-content-digest"] == sha256(raw)
            assert got.headers["content-length"] == str(len(raw))


def test_a_moved_tag_is_seen_at_once(served: Served, name: str) -> None:
    for text in ("one", "two", "three"):
        raw = served.image(name, "1", text.encode())
        assert served.ask("GET", f"/v2/{name}/manifests/1").body == raw


def test_a_deleted_manifest_is_gone_at_once_with_its_tags(served: Served, name: str) -> None:
    raw = served.image(name, "1", b"x")
    put(served, name, raw, "2")
    assert served.ask("GET", f"/v2/{name}/manifests/1").status == 200
    assert served.ask("DELETE", f"/v2/{name}/manifests/{sha256(raw)}").status == 202
    for reference in ("1", "2", sha256(raw)):
        assert served.ask("GET", f"/v2/{name}/manifests/{reference}").code == "MANIFEST_UNKNOWN"
    assert served.ask("DELETE", f"/v2/{name}/manifests/{sha256(raw)}").status == 404


def test_a_deleted_tag_leaves_the_manifest(served: Served, name: str) -> None:
    raw = served.image(name, "1", b"x")
    assert served.ask("DELETE", f"/v2/{name}/manifests/1").status == 202
    assert served.ask("GET", f"/v2/{name}/manifests/1").status == 404
    assert served.ask("GET", f"/v2/{name}/manifests/{sha256(raw)}").body == raw
    assert served.ask("GET", f"/v2/{name}/tags/list").json == {"name": name, "tags": []}


def test_the_media_type_is_told_without_parameters(served: Served, name: str) -> None:
    put(served, name, manifest(), kind=f"{OCI_MANIFEST}; charset=utf-8")
    assert served.ask("HEAD", f"/v2/{name}/manifests/1").headers["content-type"] == OCI_MANIFEST


def test_a_sparse_manifest_is_kept_with_a_warning(served: Served, name: str) -> None:
    got = served.ask("PUT", f"/v2/{name}/manifests/1", manifest(b"absent"), content_type=OCI_MANIFEST)
    assert got.status == 201 and got.headers["warning"].startswith("299 - ")
    served.blob(name, b"absent")
    got = served.ask("PUT", f"/v2/{name}/manifests/1", manifest(b"absent"), content_type=OCI_MANIFEST)
    assert got.status == 201 and "warning" not in got.headers


def test_a_manifest_is_pushed_by_digest_with_tags(served: Served, name: str) -> None:
    raw = manifest()
    got = served.ask("PUT", f"/v2/{name}/manifests/{sha256(raw)}?tag=a&tag=b", raw, content_type=OCI_MANIFEST)
    assert got.status == 201 and served.ask("GET", f"/v2/{name}/tags/list").json["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "MANIFEST_INVALID"),
        (b"not json", "MANIFEST_INVALID"),
        (b"[]", "MANIFEST_INVALID"),
        (b"{}", "MANIFEST_INVALID"),
        (b"\xff\xfe", "MANIFEST_INVALID"),
        (b"[" * 200_000, "MANIFEST_INVALID"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "MANIFEST_INVALID"),
        (manifest(layers=()).replace(b'"layers"', b'"loyers"'), "MANIFEST_INVALID"),
        (manifest(config=b"{}", annotations={"a": 1}), "MANIFEST_INVALID"),
        (manifest(artifactType="\ud800"), "MANIFEST_INVALID"),
        (manifest(subject={"mediaType": "x/y", "digest": "sha256:no", "size": 1}), "MANIFEST_INVALID"),
        (manifest_of(mediaType=OCI_INDEX), "MANIFEST_INVALID"),
        (manifest_of(mediaType=7), "MANIFEST_INVALID"),
        (manifest_of(config={"mediaType": "x/y", "digest": NOBODY, "size": -1}), "MANIFEST_INVALID"),
        (b'{"schemaVersion": 1}', "MANIFEST_INVALID"),
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(served: Served, name: str, raw: bytes, code: str) -> None:
    got = served.ask("PUT", f"/v2/{name}/manifests/1", raw, content_type=OCI_MANIFEST)
    assert (got.status, got.code) == (400, code)
    assert served.ask("GET", f"/v2/{name}/manifests/1").status == 404


def test_a_manifest_of_another_digest_is_refused(served: Served, name: str) -> None:
    got = served.ask("PUT", f"/v2/{name}/manifests/{NOBODY}", manifest(), content_type=OCI_MANIFEST)
    assert (got.status, got.code) == (400, "DIGEST_INVALID")


def test_a_manifest_may_have_four_mebibytes_and_no_more(served: Served, name: str) -> None:
    room = MAX_MANIFEST_BYTES - len(manifest(note=""))
    assert put(served, name, manifest(note="x" * room)) == 201
    got = served.ask("PUT", f"/v2/{name}/manifests/1", manifest(note="x" * (room + 1)), content_type=OCI_MANIFEST)
    assert (got.status, got.code) == (413, "SIZE_INVALID")


def test_a_body_of_unknown_length_is_limited_too(served: Served, name: str) -> None:
    connection = served.connect()
    pieces = iter([b"x" * 1_000_000] * 5)
    connection.request("PUT", f"/v2/{name}/manifests/1", pieces, {"Content-Type": OCI_MANIFEST}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize("bad", ["A", "a//b", "..", "a%2f..%2f..", "%2e%2e", "a%00b", "a" * 300, "%ff", "a%0d%0ab"])
def test_a_malformed_name_is_refused(served: Served, bad: str) -> None:
    for method, path in (("GET", "manifests/1"), ("GET", "tags/list"), ("POST", "blobs/uploads/")):
        got = served.ask(method, f"/v2/{bad}/{path}")
        assert got.status in (400, 404) and got.code in ("NAME_INVALID", "UNSUPPORTED", "NAME_UNKNOWN")


@pytest.mark.parametrize("bad", ["sha256:xyz", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:"])
def test_a_malformed_digest_is_refused(served: Served, name: str, bad: str) -> None:
    assert served.ask("GET", f"/v2/{name}/blobs/{bad}").code == "DIGEST_INVALID"
    assert served.ask("PUT", f"/v2/{name}/manifests/{bad}", manifest()).code == "DIGEST_INVALID"
    assert served.ask("PUT", f"{served.upload(name)}?digest={bad}", b"x").code == "DIGEST_INVALID"


@pytest.mark.parametrize("bad", [".x", "a" * 129, "a%20b", "-"])
def test_a_malformed_tag_is_refused(served: Served, name: str, bad: str) -> None:
    assert served.ask("PUT", f"/v2/{name}/manifests/{bad}", manifest()).code == "TAG_INVALID"
    assert served.ask("GET", f"/v2/{name}/manifests/{bad}").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", "/v2/"), ("POST", "/v2/a/manifests/1"), ("PUT", "/v2/a/blobs/" + NOBODY), ("DELETE", "/v2/_catalog"),
     ("BREW", "/v2/a/tags/list"), ("POST", "/v2/a/blobs/uploads/" + "0" * 32), ("PATCH", "/v2/a/blobs/uploads/")],
)  # fmt: skip
def test_other_methods_are_told_what_is_allowed(served: Served, method: str, path: str) -> None:
    got = served.ask(method, path)
    assert (got.status, got.code) == (405, "UNSUPPORTED") and got.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/v2/x", "/v1/", "/v2/../v2/_catalog", "//v2/", "/v2/a/tags/all"])
def test_what_leads_nowhere_is_404(served: Served, path: str) -> None:
    assert served.ask("GET", path).status == 404


def test_a_blob_belongs_to_its_repository(served: Served, name: str) -> None:
    digest = served.blob(name, b"mine")
    assert served.ask("GET", f"/v2/{name}/blobs/{digest}").body == b"mine"
    assert served.ask("GET", f"/v2/{name}-other/blobs/{digest}").code == "BLOB_UNKNOWN"
    assert served.ask("DELETE", f"/v2/{name}/blobs/{digest}").status == 202
    assert served.ask("GET", f"/v2/{name}/blobs/{digest}").code == "BLOB_UNKNOWN"


@pytest.mark.parametrize("size", [2048, 3_000_000])
def test_a_blob_is_served_whole_and_in_parts(served: Served, name: str, size: int) -> None:
    content = bytes(i % 251 for i in range(size))
    path = f"/v2/{name}/blobs/{served.blob(name, content)}"
    assert served.ask("GET", path).body == served.ask("GET", path).body == content
    head = served.ask("HEAD", path)
    assert head.headers["content-length"] == str(size) and head.body == b""
    for text, part in (("500-1499", content[500:1500]), ("-500", content[-500:]), ("2000-", content[2000:])):
        got = served.ask("GET", path, range=f"bytes={text}")
        assert got.status == 206 and got.body == part and got.headers["content-length"] == str(len(part))
        assert got.headers["content-range"].endswith(f"/{size}")
    assert served.ask("GET", path, range=f"bytes={size}-").status == 416


def test_who_has_it_already_gets_304(served: Served, name: str) -> None:
    raw = served.image(name, "1", b"x")
    for path in (f"/v2/{name}/manifests/1", f"/v2/{name}/blobs/{sha256(b'x')}"):
        etag = served.ask("GET", path).headers["etag"]
        got = served.ask("GET", path, if_none_match=f'"other", W/{etag}')
        assert got.status == 304 and got.body == b"" and got.headers["etag"] == etag
        assert served.ask("GET", path, if_none_match='"other"').status == 200
    assert served.ask("GET", f"/v2/{name}/manifests/1", if_none_match='"x"').body == raw


def test_tags_come_in_pages(served: Served, name: str) -> None:
    raw = manifest()
    tags = sorted(f"v{number}" for number in range(12))
    served.ask(
        "PUT",
        f"/v2/{name}/manifests/{sha256(raw)}?" + "&".join(f"tag={t}" for t in tags),
        raw,
        content_type=OCI_MANIFEST,
    )
    path, seen = f"/v2/{name}/tags/list?n=5", []
    while path:
        got = served.ask("GET", path)
        seen.append(got.json["tags"])
        path = got.headers.get("link", "<>").split(">")[0][1:]
    assert seen == [tags[:5], tags[5:10], tags[10:]]
    assert served.ask("GET", f"/v2/{name}/tags/list?last=v5").json["tags"] == tags[tags.index("v5") + 1 :]
    empty = served.ask("GET", f"/v2/{name}/tags/list?n=0")
    assert empty.json["tags"] == [] and "link" not in empty.headers
    assert served.ask("GET", f"/v2/{name}/tags/list?n=-1").code == "PAGINATION_NUMBER_INVALID"
    assert served.ask("GET", f"/v2/{name}-none/tags/list").code == "NAME_UNKNOWN"


def test_the_catalog_lists_repositories_in_pages(served: Served, name: str) -> None:
    for suffix in "abc":
        put(served, name + suffix, manifest())
    assert {name + suffix for suffix in "abc"} <= set(served.ask("GET", "/v2/_catalog").json["repositories"])
    got = served.ask("GET", f"/v2/_catalog?n=1&last={name}a")
    assert got.json["repositories"] == [name + "b"] and f"last={name.replace('/', '%2F')}b" in got.headers["link"]


def test_referrers_are_listed_and_filtered(served: Served, name: str) -> None:
    subject = {"mediaType": OCI_MANIFEST, "digest": NOBODY, "size": 1}
    for kind in ("t/one", "t/two"):
        raw = manifest(subject=subject, artifactType=kind, annotations={"k": kind})
        got = served.ask("PUT", f"/v2/{name}/manifests/{sha256(raw)}", raw, content_type=OCI_MANIFEST)
        assert got.headers["oci-subject"] == NOBODY
    everything = served.ask("GET", f"/v2/{name}/referrers/{NOBODY}")
    assert everything.headers["content-type"] == OCI_INDEX and len(everything.json["manifests"]) == 2
    one = served.ask("GET", f"/v2/{name}/referrers/{NOBODY}?artifactType=t/one")
    assert one.headers["oci-filters-applied"] == "artifactType"
    assert [(m["artifactType"], m["annotations"]) for m in one.json["manifests"]] == [("t/one", {"k": "t/one"})]
    assert served.ask("GET", f"/v2/{name}-none/referrers/{NOBODY}").json["manifests"] == []


def test_an_unknown_kind_of_manifest_is_kept_as_it_is(served: Served, name: str) -> None:
    raw = json.dumps({"mediaType": "application/x.future+json", "whatever": [1]}).encode()
    assert put(served, name, raw, kind="application/x.future+json") == 201
    got = served.ask("GET", f"/v2/{name}/manifests/1")
    assert got.body == raw and got.headers["content-type"] == "application/x.future+json"


def test_layers_that_live_elsewhere_are_not_missed(served: Served, name: str) -> None:
    foreign = {"mediaType": OCI_LAYER.replace("layer.v1", "layer.nondistributable.v1"), "digest": NOBODY, "size": 5}
    served.blob(name, b"{}")
    got = served.ask("PUT", f"/v2/{name}/manifests/1", manifest_of(layers=[foreign]), content_type=OCI_MANIFEST)
    assert got.status == 201 and "warning" not in got.headers
