"""Blobs under way: cut, altered, endless, refused; what arrives is right or nothing is stored."""

from __future__ import annotations

import http.server
import io
import json
import os
import subprocess
import sys

import pytest

from core.errors import Integrity, InvalidInput, LamellaError, NotFound
from image.digest import Digest
from image.reference import Reference
from images.load import load
from registry.client.client import Client
from registry.client.errors import ConnectionFailed, Denied, ServerFailed, WrongBytes
from tests.conftest import ROOT
from tests.registry.client.faulty import Faulty, hang_up, start
from tests.registry.client.servers import Answer, Serve, error, quick_settings
from tests.registry.client.shelf import Shelf
from tests.suites.archives import docker_archive, tar
from tests.suites.layouts import tar_of

NOISE = os.urandom(3_000_000)


@pytest.fixture
def faulty() -> Faulty:
    return Faulty()


@pytest.fixture
def address(faulty: Faulty, serve: Serve) -> str:
    return start(faulty, serve)


@pytest.fixture
def pushed(shelf: Shelf, address: str, client: Client) -> str:
    """The name of an image with one large and one small layer that the registry has."""
    name = f"{address}/team/app:1"
    shelf.image(name, {"noise": NOISE}, {"etc/motd": b"hello"})
    shelf.push(client, name)
    return name


def nothing_named(shelf: Shelf) -> bool:
    return not list(shelf.store.images.all()) and not list(shelf.store.tags.all())


def test_what_was_pushed_can_be_pulled(pushed: str, other: Shelf, client: Client) -> None:
    pulled = other.pull(client, pushed)
    assert other.file(pulled.image, "noise") == NOISE
    assert other.file(pulled.image, "etc/motd") == b"hello"


def test_a_download_goes_on_where_it_was_cut(pushed: str, faulty: Faulty, other: Shelf, client: Client) -> None:
    faulty.cut_downloads = [1000, 1_000_000, 500_000, 0, 7, 100_000]
    assert other.file(other.pull(client, pushed).image, "noise") == NOISE
    assert faulty.cut_downloads == []


def test_a_download_without_ranges_starts_again_and_skips(
    pushed: str, faulty: Faulty, other: Shelf, client: Client
) -> None:
    faulty.ranges = False
    faulty.cut_downloads = [100_000, 1_000_000, 2_000_000]
    assert other.file(other.pull(client, pushed).image, "noise") == NOISE


def test_a_download_that_never_gets_on_is_given_up(pushed: str, faulty: Faulty, other: Shelf, client: Client) -> None:
    faulty.cut_downloads = [0] * 100
    with pytest.raises(ConnectionFailed):
        other.pull(client, pushed)
    assert len(faulty.cut_downloads) > 80 and nothing_named(other)


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), Integrity),
        (lambda data: bytes(len(data)), Integrity),
        (
            lambda data: data[:9] + bytes([data[9] ^ 1]) + data[10:],
            WrongBytes,
        ),  # gzip's OS byte: the content is the same
        (lambda data: data + b"x", WrongBytes),
        (lambda data: data[: len(data) // 2], WrongBytes),
        (lambda data: b"", WrongBytes),
    ],
)
def test_altered_bytes_are_noticed_and_nothing_is_stored(
    pushed: str, faulty: Faulty, other: Shelf, client: Client, alter: object, kind: type[LamellaError]
) -> None:
    config = faulty.manifests["team/app:1"][1]
    faulty.alter = lambda data: alter(data) if sha_in(config, data) and len(data) > 1000 else data  # type: ignore[operator]
    with pytest.raises(kind):
        other.pull(client, pushed)
    assert nothing_named(other)
    assert all(other.layers.verify(layer) is None for layer in other.store.layers.all())


@pytest.fixture
def plain(shelf: Shelf, address: str, client: Client) -> str:
    """The name of an image whose one layer is not compressed in the registry."""
    name = f"{address}/team/plain:1"
    shelf.image(name, {"noise": NOISE, "etc/motd": b"hello"})
    shelf.push(client, name, compression="none")
    return name


def test_an_uncompressed_layer_is_kept_once_and_goes_on_as_it_came(
    plain: str, faulty: Faulty, other: Shelf, client: Client
) -> None:
    there, manifest = dict(faulty.blobs), faulty.manifests["team/plain:1"]
    pulled = other.pull(client, plain)
    layer = other.store.layers.get(pulled.image.diff_ids[0])
    assert layer and (layer.origin, layer.blob) == ("foreign", None) and layer.recipe
    assert sum(other.store.blobs.stat(digest) or 0 for digest in other.store.blobs.walk()) < 20_000
    assert other.file(pulled.image, "noise") == NOISE
    other.layers.verify(layer)
    faulty.blobs.clear()
    faulty.manifests.clear()
    faulty.cut_uploads = [700_000, 100_000]
    other.push(client, plain)
    assert faulty.blobs == there and faulty.manifests["team/plain:1"] == manifest and faulty.cut_uploads == []


def test_what_came_by_a_docker_archive_is_compressed_when_it_is_sent(
    shelf: Shelf, address: str, faulty: Faulty, other: Shelf, client: Client
) -> None:
    """And once it was, every push knows it by that."""
    text = b"easily made smaller\n" * 100_000
    name, elsewhere = f"{address}/team/loaded:1", f"{address}/other/loaded:1"
    archive = docker_archive(tar_of({"text": text, "a": b"not in order"}), tags=(name, elsewhere))
    load(shelf.store, shelf.layers, io.BytesIO(tar(*archive)))
    [image] = shelf.store.images.all()
    layer = shelf.store.layers.get(image.diff_ids[0])
    assert layer and layer.recipe
    first = shelf.push(client, name)
    assert sum(map(len, faulty.blobs.values())) < len(text) // 10
    faulty.asked.clear()
    assert shelf.push(client, name).digest == first.digest
    assert not [line for line in faulty.asked if line.startswith(("POST", "PATCH"))]
    faulty.blobs.clear()
    assert shelf.push(client, elsewhere).digest == first.digest
    assert other.file(other.pull(client, elsewhere).image, "text") == text
    assert shelf.store.layers.get(layer.diff_id) == layer


def test_an_uncompressed_layer_is_not_made_where_the_registry_has_it(
    plain: str, faulty: Faulty, shelf: Shelf, client: Client
) -> None:
    faulty.asked.clear()
    shelf.push(client, plain, compression="none")
    assert not [line for line in faulty.asked if line.startswith(("POST", "PATCH"))]


@pytest.mark.parametrize("at", [0, 600, 2_000_000])
def test_altered_bytes_of_an_uncompressed_layer_are_noticed(
    plain: str, faulty: Faulty, other: Shelf, client: Client, at: int
) -> None:
    faulty.alter = lambda data: data[:at] + b"!" + data[at + 1 :] if len(data) > 1000 else data
    with pytest.raises((Integrity, InvalidInput), match="blob"):
        other.pull(client, plain)
    assert nothing_named(other) and list(other.store.layers.all()) == []


def sha_in(manifest: bytes, data: bytes) -> bool:
    return Digest.of(data).encode() in manifest


def test_a_blob_without_end_is_not_followed(
    pushed: str, faulty: Faulty, serve: Serve, other: Shelf, client: Client
) -> None:
    sent = 0

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        nonlocal sent
        if "/blobs/" not in handler.path or len(faulty.blobs[handler.path.rpartition("/")[2]]) < 1000:
            return faulty.answer(handler, body)
        handler.send_response(200)
        handler.end_headers()
        try:
            while sent < 1 << 30:
                handler.wfile.write(NOISE)
                sent += len(NOISE)
        except OSError:
            pass
        return None

    with pytest.raises(WrongBytes):
        other.pull(client, pushed.replace(pushed.partition("/")[0], serve(answer).address))
    assert sent < 100 << 20 and nothing_named(other)


def test_a_layer_that_is_not_the_configs_is_refused(
    shelf: Shelf, faulty: Faulty, address: str, other: Shelf, client: Client
) -> None:
    name = f"{address}/team/app:1"
    one = shelf.image(name, {"a": b"1"})
    shelf.push(client, name)
    kind, raw = faulty.manifests["team/app:1"]
    shelf.image(f"{address}/team/app:2", {"a": b"2"})
    shelf.push(client, f"{address}/team/app:2")
    other_config = faulty.manifests["team/app:2"][1]

    mixed = json.loads(raw)
    mixed["layers"] = json.loads(other_config)["layers"]
    faulty.manifests["team/app:1"] = kind, json.dumps(mixed).encode()
    with pytest.raises(Integrity, match="hashes to"):
        other.pull(client, name)
    assert one.id and nothing_named(other)


def test_a_missing_blob_is_named(pushed: str, faulty: Faulty, other: Shelf, client: Client) -> None:
    large = next(digest for digest, data in faulty.blobs.items() if len(data) > 1000)
    del faulty.blobs[large]
    with pytest.raises(NotFound, match=large[7:19]):
        other.pull(client, pushed)


def test_layers_that_are_here_are_not_downloaded(pushed: str, faulty: Faulty, other: Shelf, client: Client) -> None:
    other.layer({"noise": NOISE})
    faulty.asked.clear()
    pulled = other.pull(client, pushed)
    assert (
        sum(line.startswith("GET") and "/blobs/" in line for line in faulty.asked) == 2
    )  # the config, the small layer
    assert other.file(pulled.image, "noise") == NOISE


def test_a_second_pull_asks_for_the_manifest_alone(pushed: str, faulty: Faulty, other: Shelf, client: Client) -> None:
    assert other.pull(client, pushed).updated is True
    faulty.asked.clear()
    assert other.pull(client, pushed).updated is False
    assert faulty.asked == ["GET /v2/", "GET /v2/team/app/manifests/1"]


def test_an_upload_goes_on_where_it_was_cut(
    shelf: Shelf, faulty: Faulty, address: str, client: Client, other: Shelf
) -> None:
    name = f"{address}/team/app:1"
    shelf.image(name, {"noise": NOISE})
    faulty.cut_uploads = [700_000, 100_000, 300_000]
    shelf.push(client, name)
    assert faulty.cut_uploads == []
    assert (
        sum(line.startswith("POST") for line in faulty.asked) == 2
    )  # the layer and the config, nothing from the start
    assert other.file(other.pull(client, name).image, "noise") == NOISE


def test_a_kept_blob_goes_on_where_it_was_cut(pushed: str, faulty: Faulty, client: Client, other: Shelf) -> None:
    manifest = faulty.manifests["team/app:1"]
    other.pull(client, pushed)
    faulty.blobs.clear()
    faulty.manifests.clear()
    faulty.cut_uploads = [700_000, 100_000]
    other.push(client, pushed)
    assert faulty.cut_uploads == [] and faulty.manifests["team/app:1"] == manifest


def test_an_upload_whose_session_is_lost_starts_again(
    shelf: Shelf, faulty: Faulty, address: str, client: Client, other: Shelf
) -> None:
    name = f"{address}/team/app:1"
    shelf.image(name, {"noise": NOISE})
    faulty.cut_uploads, faulty.forget_sessions = [70_000, 100_000], True
    shelf.push(client, name)
    assert other.file(other.pull(client, name).image, "noise") == NOISE


def test_an_upload_that_never_gets_on_is_given_up(shelf: Shelf, faulty: Faulty, address: str, client: Client) -> None:
    name = f"{address}/team/app:1"
    shelf.image(name, {"noise": NOISE})
    faulty.cut_uploads = [0] * 100
    with pytest.raises(ConnectionFailed):
        shelf.push(client, name)
    assert faulty.manifests == {} and len(faulty.cut_uploads) > 80


def test_a_second_push_only_asks(pushed: str, shelf: Shelf, faulty: Faulty, client: Client) -> None:
    before = faulty.manifests["team/app:1"]
    faulty.asked.clear()
    shelf.push(client, pushed)
    assert {line.split()[0] for line in faulty.asked} == {"GET", "HEAD", "PUT"}
    assert [line for line in faulty.asked if line.startswith("PUT")] == ["PUT /v2/team/app/manifests/1"]
    assert faulty.manifests["team/app:1"] == before


def test_every_blob_is_asked_for_each_time(pushed: str, shelf: Shelf, faulty: Faulty, client: Client) -> None:
    faulty.blobs.clear()  # the registry collected its garbage meanwhile
    shelf.push(client, pushed)
    assert len(faulty.blobs) == 3


def test_a_damaged_layer_is_found_and_not_shipped(shelf: Shelf, faulty: Faulty, address: str, client: Client) -> None:
    name = f"{address}/team/app:1"
    image = shelf.image(name, {"noise": NOISE})
    layer = shelf.store.layers.get(image.diff_ids[0])
    assert layer is not None
    (shelf.store.layer_path(layer.directory) / "noise").write_bytes(NOISE[::-1])
    with pytest.raises(Integrity, match="damaged"):
        shelf.push(client, name)
    assert faulty.manifests == {} and all(len(data) < 1000 for data in faulty.blobs.values())


def test_the_digest_is_remembered_and_written_down(pushed: str, shelf: Shelf, faulty: Faulty) -> None:
    reference = Reference.parse(pushed)
    tag = shelf.store.tags.get(reference)
    assert tag is not None
    assert [str(one) for one in shelf.store.tags.digests_of(tag.image)] == [
        f"{reference.repository}@{Digest.of(faulty.manifests['team/app:1'][1])}"
    ]


def test_a_registry_that_says_no_to_a_push_is_quoted(serve: Serve, shelf: Shelf, client: Client) -> None:
    closed = serve(
        lambda handler, body: (
            (200, {}, b"")
            if handler.path == "/v2/"
            else error(404 if handler.command == "HEAD" else 403, "DENIED", "read only")
        )
    )
    shelf.image(f"{closed.address}/app", {"a": b"1"})
    with pytest.raises(Denied, match="read only"):
        shelf.push(client, f"{closed.address}/app")


def test_a_registry_that_fails_in_the_middle_fails_the_push(serve: Serve, shelf: Shelf, faulty: Faulty) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        return error(500, "UNKNOWN", "disk") if handler.command == "PUT" else faulty.answer(handler, body)

    broken = serve(answer)
    shelf.image(f"{broken.address}/app", {"a": b"1"}, {"b": b"2"}, {"c": b"3"})
    with Client(quick_settings(retries=1)) as client, pytest.raises(ServerFailed, match="disk"):
        shelf.push(client, f"{broken.address}/app")


def test_a_manifest_that_was_stored_as_another_is_an_error(
    serve: Serve, shelf: Shelf, faulty: Faulty, client: Client
) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        found = faulty.answer(handler, body)
        if found and handler.command == "PUT" and "/manifests/" in handler.path:
            return 201, {"Docker-Content-Digest": "sha256:" + "0" * 64}, b""
        return found

    liar = serve(answer)
    shelf.image(f"{liar.address}/app", {"a": b"1"})
    with pytest.raises(WrongBytes, match="the registry stored"):
        shelf.push(client, f"{liar.address}/app")


def test_a_refused_mount_falls_back_to_sending(pushed: str, shelf: Shelf, faulty: Faulty, client: Client) -> None:
    registry = pushed.partition("/")[0]
    tag = shelf.store.tags.get(Reference.parse(pushed))
    assert tag is not None
    shelf.store.tags.set(Reference.parse(f"{registry}/elsewhere:1"), tag.image, tag.target)
    faulty.blobs.clear()
    shelf.push(client, f"{registry}/elsewhere:1")
    assert len(faulty.blobs) == 3


def test_a_connection_lost_before_the_last_answer_is_no_failure(
    serve: Serve, shelf: Shelf, faulty: Faulty, client: Client
) -> None:
    lost: list[str] = []

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        found = faulty.answer(handler, body)
        if handler.command == "PUT" and not body and not lost:
            lost.append(handler.path)
            return hang_up(handler)
        return found

    flaky = serve(answer)
    shelf.image(f"{flaky.address}/app", {"a": b"1"})
    shelf.push(client, f"{flaky.address}/app")
    assert lost and faulty.manifests


def test_a_layer_that_must_not_be_pushed_is_fetched_from_its_url_and_left_out(
    pushed: str, faulty: Faulty, serve: Serve, other: Shelf, client: Client
) -> None:
    kind, raw = faulty.manifests["team/app:1"]
    manifest = json.loads(raw)
    layer = next(one for one in manifest["layers"] if one["size"] > 1000)
    data = faulty.blobs.pop(layer["digest"])
    elsewhere = serve(lambda handler, body: (200, {}, data))
    layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    layer["urls"] = ["ftp://127.0.0.1/no", f"{elsewhere.url}/layer"]
    faulty.manifests["team/app:1"] = kind, json.dumps(manifest).encode()
    assert other.file(other.pull(client, pushed).image, "noise") == NOISE
    faulty.blobs.clear()
    before = faulty.manifests.pop("team/app:1")
    other.push(client, pushed)
    assert layer["digest"] not in faulty.blobs and faulty.manifests["team/app:1"] == before


def test_an_image_without_layers_moves_too(shelf: Shelf, address: str, client: Client, other: Shelf) -> None:
    name = f"{address}/empty:1"
    image = shelf.image(name)
    shelf.push(client, name)
    assert other.pull(client, name).image.id == image.id


def test_the_same_layer_twice_is_moved_once(
    shelf: Shelf, faulty: Faulty, address: str, client: Client, other: Shelf
) -> None:
    name = f"{address}/twice:1"
    image = shelf.image(name, {"a": b"1"}, {"a": b"1"})
    shelf.push(client, name)
    assert len(faulty.blobs) == 2 and other.pull(client, name).image.diff_ids == image.diff_ids


def test_nothing_of_the_network_is_loaded_before_it_is_touched() -> None:
    script = (
        "import sys, cli.push, cli.pull, cli.login, registry.client.client as c; c.Client().close();"
        "print([m for m in ('requests', 'urllib3', 'ssl', 'cryptography') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"


def test_the_right_bytes_with_more_behind_them_are_wrong(
    pushed: str, faulty: Faulty, serve: Serve, other: Shelf, client: Client
) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        data = faulty.blobs.get(handler.path.rpartition("/")[2], b"")
        if len(data) < 1000:
            return faulty.answer(handler, body)
        handler.send_response(200)  # no Content-Length: the body ends with the connection
        handler.end_headers()
        handler.wfile.write(data + b"x")
        return hang_up(handler)

    with pytest.raises(WrongBytes, match="longer than"):
        other.pull(client, pushed.replace(pushed.partition("/")[0], serve(answer).address))
    assert nothing_named(other)


def test_another_range_than_was_asked_for_is_refused(
    pushed: str, faulty: Faulty, serve: Serve, other: Shelf, client: Client
) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        found = faulty.answer(handler, body)
        if found and "Content-Range" in found[1]:
            found[1]["Content-Range"] = found[1]["Content-Range"].replace("bytes ", "bytes 1")
        return found

    faulty.cut_downloads = [1_000_000]
    with pytest.raises(WrongBytes, match="another range"):
        other.pull(client, pushed.replace(pushed.partition("/")[0], serve(answer).address))


def test_an_image_that_is_removed_before_the_push_begins_is_said_to_be(
    pushed: str, shelf: Shelf, client: Client
) -> None:
    image = next(iter(shelf.store.images.all()))
    for tag in shelf.store.tags.of_image(image.id):
        shelf.store.tags.delete(tag.reference)
    for reference in shelf.store.tags.digests_of(image.id):
        shelf.store.tags.delete_digest(reference)
    shelf.store.images.delete(image.id)
    with pytest.raises(NotFound, match="removed meanwhile"):
        client.push(image, Reference.parse(pushed), shelf.store, shelf.layers)
