"""Registries that are down, refuse, or misbehave: one clear line each, and no endless waiting."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import socket
import ssl
from pathlib import Path

import pytest
import requests
import responses

from core.errors import LamellaError, NotFound, Unsupported
from image.digest import Digest
from image.platform import Platform
from image.reference import Reference
from registry.client.client import Client
from registry.client.errors import (
    ConnectionFailed,
    Denied,
    Misbehaved,
    Refused,
    ServerFailed,
    Unknown,
    Untrusted,
    WrongBytes,
)  # fmt: skip
from registry.client.retry import Retry
from registry.client.transport import Request, read_all
from tests.conftest import free_port
from tests.registry.client.servers import Answer, Serve, as_json, error, quick_settings

APP = Reference.parse("registry.test/team/app:1.0")
BASE = "https://registry.test/v2/"
MANIFEST = BASE + "team/app/manifests/1.0"
DIFF = "sha256:" + "1" * 64


def manifest(**changes: object) -> dict[str, object]:
    config = json.dumps(config_json()).encode()
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": "sha256:" + "2" * 64, "size": 10}
    return {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [layer],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": str(Digest.of(config)), "size": len(config)},
        **changes,
    }  # fmt: skip


def config_json(**changes: object) -> dict[str, object]:
    return {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [DIFF]}, **changes}


@pytest.fixture
def web() -> object:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(BASE, json={})
        yield mock


def serve_image(web: responses.RequestsMock, data: object, config: object | None = None, **options: object) -> None:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    web.get(MANIFEST, body=raw, content_type="application/vnd.oci.image.manifest.v1+json", **options)  # type: ignore[arg-type]
    body = json.dumps(config_json() if config is None else config).encode()
    web.get(f"{BASE}team/app/blobs/{Digest.of(body)}", body=body)


def test_an_image_that_is_well_resolves(web: responses.RequestsMock, client: Client) -> None:
    serve_image(web, manifest())
    found = client.resolve(APP, Platform("linux", "amd64"))
    assert found.target.digest == Digest.of(json.dumps(manifest()).encode())
    assert [str(d) for d in found.config.diff_ids] == [DIFF]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, Denied, r"registry\.test asks for credentials \(DENIED: because\)"),
        (403, Denied, r"registry\.test denies access"),
        (404, Unknown, r"the manifest of registry\.test/team/app:1\.0: registry\.test does not have it"),
        (429, ServerFailed, "too many requests"),
        (400, Refused, r"answered 400 \(DENIED: because\)"),
        (500, ServerFailed, "failed with 500"),
        (503, ServerFailed, "failed with 503"),
    ],
)
def test_an_error_status_says_what_where_and_why(
    web: responses.RequestsMock, client: Client, status: int, kind: type[LamellaError], words: str
) -> None:
    web.get(MANIFEST, status=status, json={"errors": [{"code": "DENIED", "message": "because"}]})
    with pytest.raises(kind, match=words) as caught:
        client.resolve(APP)
    assert caught.value.hint or status == 400


@pytest.mark.parametrize(
    "body", [b"<html>oops</html>", b"\xff\xfe", b"[]", b'{"errors": 7}', b'{"errors": [[]]}', b"[" * 9999]
)
def test_an_error_body_of_any_kind_is_survived(web: responses.RequestsMock, client: Client, body: bytes) -> None:
    web.get(MANIFEST, status=404, body=body)
    with pytest.raises(Unknown) as caught:
        client.resolve(APP)
    assert "<html>" not in caught.value.message and "\n" not in caught.value.message


def test_control_characters_of_a_registry_never_reach_the_terminal(web: responses.RequestsMock, client: Client) -> None:
    web.get(
        MANIFEST,
        status=400,
        json={"errors": [{"code": "X", "message": "\x1b[31mred\r\nlamella: all is well" + "y" * 999}]},
    )
    with pytest.raises(Refused) as caught:
        client.resolve(APP)
    assert "\x1b" not in caught.value.message and "\n" not in caught.value.message and len(caught.value.message) < 500


@pytest.mark.parametrize("said", ["got Basic YW5uOnNlY3JldHNlY3JldA==", "got bearer eyJhbGciOiJub25lIn0.e30."])
def test_credentials_that_a_registry_repeats_are_not_shown(
    web: responses.RequestsMock, client: Client, said: str
) -> None:
    web.get(MANIFEST, status=400, json={"errors": [{"code": "X", "message": said}]})
    with pytest.raises(Refused, match=r"got (Basic|bearer) \*\*\*\)"):
        client.resolve(APP)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(web: responses.RequestsMock, client: Client, status: int) -> None:
    web.get(MANIFEST, status=status)
    serve_image(web, manifest())
    assert client.resolve(APP).manifest.layers


def test_a_broken_connection_is_tried_again(web: responses.RequestsMock, client: Client) -> None:
    web.get(MANIFEST, body=requests.ConnectionError("reset"))
    serve_image(web, manifest())
    assert client.resolve(APP).manifest.layers


def test_tries_come_to_an_end(web: responses.RequestsMock, client: Client) -> None:
    asked = web.get(MANIFEST, status=502)
    with pytest.raises(ServerFailed):
        client.resolve(APP)
    assert asked.call_count == 1 + client.settings.retries


def test_retry_after_is_heeded(web: responses.RequestsMock, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.client.retry import Patience

    waited: list[float] = []
    patience = Patience(3, 0.01, 0.05)
    monkeypatch.setattr(patience.cancel, "wait", lambda seconds: waited.append(seconds) and False)
    web.get(MANIFEST, status=429, headers={"Retry-After": "7"})
    web.get(MANIFEST, status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    web.get(MANIFEST, body=b"fine")
    answer = Retry(client._transport(), patience).send(Request("GET", MANIFEST))
    assert read_all(answer, 10, "it") == b"fine"
    assert waited[0] == 7.0 and waited[1] < 1


def test_who_asks_for_an_hour_is_reported_at_once(web: responses.RequestsMock, client: Client) -> None:
    asked = web.get(MANIFEST, status=429, headers={"Retry-After": "3600"})
    with pytest.raises(ServerFailed, match="too many requests"):
        client.resolve(APP)
    assert asked.call_count == 1


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"<html>", Misbehaved, "not JSON"),
        (b"", Misbehaved, "not JSON"),
        (b"[1]", Misbehaved, "not a JSON object"),
        (b"[" * 100_000, Misbehaved, "not JSON"),
        ({}, Misbehaved, "no list of layers"),
        (manifest(layers=[{}]), Misbehaved, "size"),
        (manifest(layers=[{"mediaType": "x", "digest": "../../etc", "size": 1}]), Misbehaved, "invalid digest"),
        (manifest(layers=[{"mediaType": "x", "digest": DIFF, "size": -1}]), Misbehaved, "size"),
        (manifest(layers=[{"mediaType": "text/x", "digest": DIFF, "size": 1}]), Unsupported, "a layer of type text/x"),
        (manifest(layers=[]), WrongBytes, "0 layers, the config 1"),
        (manifest(layers=[{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIFF, "size": 1}] * 2000), Misbehaved, "2000 layers"),
        (manifest(config={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": DIFF, "size": 1}), Unsupported, "is no container image"),
        (manifest(config={"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIFF, "size": 1 << 40}), Misbehaved, "limit"),
        ({"schemaVersion": 1}, Unsupported, "schema 1"),
        (manifest(mediaType="application/x-strange"), Unsupported, "no image but"),
    ],
)  # fmt: skip
def test_a_manifest_of_nonsense_is_refused(
    web: responses.RequestsMock, client: Client, data: object, kind: type[LamellaError], words: str
) -> None:
    serve_image(web, data)
    with pytest.raises(kind, match=words):
        client.resolve(APP)


def test_a_manifest_that_is_too_big_is_not_read(web: responses.RequestsMock, client: Client) -> None:
    serve_image(web, b" " * (5 << 20))
    with pytest.raises(Misbehaved, match="longer than 4194304 bytes"):
        client.resolve(APP)


def test_a_manifest_by_digest_must_have_it(web: responses.RequestsMock, client: Client) -> None:
    web.get(f"{BASE}team/app/manifests/{DIFF}", json=manifest())
    with pytest.raises(WrongBytes, match=f"expected {DIFF}"):
        client.resolve(Reference.parse(f"registry.test/team/app@{DIFF}"))


def test_a_digest_header_must_be_true(web: responses.RequestsMock, client: Client) -> None:
    serve_image(web, manifest(), headers={"Docker-Content-Digest": DIFF})
    with pytest.raises(WrongBytes):
        client.resolve(APP)


@pytest.mark.parametrize("change", [{}, {"rootfs": None}, {"history": 7}, {"rootfs": {"diff_ids": ["x"]}}])
def test_a_config_that_is_another_or_no_config_is_refused(
    web: responses.RequestsMock, client: Client, change: dict[str, object]
) -> None:
    wrong = json.dumps({**config_json(author="eve"), **change}).encode()
    right = Digest.of(wrong) if change else Digest.of(json.dumps(config_json()).encode())
    web.get(
        MANIFEST,
        json=manifest(
            config={"mediaType": "application/vnd.oci.image.config.v1+json", "digest": right, "size": len(wrong)}
        ),
    )
    web.get(f"{BASE}team/app/blobs/{right}", body=wrong)
    with pytest.raises(LamellaError):
        client.resolve(APP)


def test_the_platform_is_chosen_and_what_is_missing_is_told(web: responses.RequestsMock, client: Client) -> None:
    raw = json.dumps(manifest()).encode()
    entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": str(Digest.of(raw)), "size": len(raw)}
    index = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {**entry, "digest": DIFF, "platform": {"os": "linux", "architecture": "s390x"}},
            {**entry, "platform": {"os": "linux", "architecture": "amd64"}},
        ],
    }  # fmt: skip
    serve_image(web, index)
    web.get(f"{BASE}team/app/manifests/{Digest.of(raw)}", body=raw)
    found = client.resolve(APP, Platform("linux", "amd64"))
    assert found.manifest.raw == raw and found.target.digest == Digest.of(json.dumps(index).encode())
    with pytest.raises(NotFound, match="no image for linux/arm64") as caught:
        client.resolve(APP, Platform("linux", "arm64"))
    assert "linux/amd64, linux/s390x" in (caught.value.hint or "")


def test_an_image_for_another_platform_is_not_what_was_asked_for(web: responses.RequestsMock, client: Client) -> None:
    serve_image(web, manifest())
    with pytest.raises(NotFound, match="is for linux/amd64, not for linux/arm64"):
        client.resolve(APP, Platform("linux", "arm64"))


def test_an_index_that_contains_itself_comes_to_an_end(web: responses.RequestsMock, client: Client) -> None:
    inner = b""
    for _ in range(5):
        entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": str(Digest.of(inner)), "size": len(inner),
                 "platform": {"os": "linux", "architecture": "amd64"}}  # fmt: skip
        inner = json.dumps({"schemaVersion": 2, "mediaType": entry["mediaType"], "manifests": [entry]}).encode()
        web.get(f"{BASE}team/app/manifests/{Digest.of(inner)}", body=inner)
    serve_image(web, inner)
    with pytest.raises(Unsupported, match="nested"):
        client.resolve(APP, Platform("linux", "amd64"))


@pytest.mark.parametrize("where", ["", "/v2/team/app/manifests/1.0", "/v2/loop"])
def test_a_redirect_loop_is_left(serve: Serve, client: Client, where: str) -> None:
    server = serve(
        lambda handler, body: (
            as_json({}) if handler.path == "/v2/" else (307, {"Location": where or handler.path + "x"}, b"")
        )
    )
    with pytest.raises(Misbehaved, match="redirects"):
        client.resolve(Reference.parse(f"{server.address}/team/app:1.0"))
    assert len(server.requests) < 12


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://x/y", "http://a:b@c/", "http://[x", "//"])
def test_a_redirect_to_something_else_than_http_is_refused(serve: Serve, client: Client, where: str) -> None:
    server = serve(lambda handler, body: as_json({}) if handler.path == "/v2/" else (307, {"Location": where}, b""))
    with pytest.raises(Misbehaved):
        client.resolve(Reference.parse(f"{server.address}/team/app:1.0"))


def test_the_body_of_a_redirect_is_not_swallowed(serve: Serve, client: Client) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        if handler.path == "/v2/":
            return as_json({})
        handler.wfile.write(b"HTTP/1.1 307 Go\r\nLocation: /v2/\r\n\r\n")
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            return None

    server = serve(answer)
    with pytest.raises(Misbehaved):
        client.resolve(Reference.parse(f"{server.address}/team/app:1.0"))


def test_a_registry_that_is_down_is_named_at_once(client: Client) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ConnectionFailed, match=f"nothing listens at http://{address}: connection refused") as caught:
        client.resolve(Reference.parse(f"{address}/app"))
    assert "lamella registry serve" in (caught.value.hint or "")


def test_a_host_without_an_address_is_named(client: Client) -> None:
    with pytest.raises(ConnectionFailed, match=r"cannot find the host of https://nowhere\.invalid"):
        client.resolve(Reference.parse("nowhere.invalid/app"))


def test_a_registry_that_never_answers_is_left() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Client(quick_settings(connect_timeout=0.2, read_timeout=0.2, retries=0)) as client,
    ):
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match="did not answer in time"):
            client.resolve(Reference.parse(f"{address}/app"))


def test_a_proxy_that_is_down_is_blamed() -> None:
    proxies = {"https": f"http://127.0.0.1:{free_port()}"}
    with Client(quick_settings(proxies=proxies)) as client, pytest.raises(ConnectionFailed, match="through the proxy"):
        client.resolve(APP)


def test_a_proxy_is_used(serve: Serve) -> None:
    proxy = serve(lambda handler, body: error(404, "MANIFEST_UNKNOWN") if "manifests" in handler.path else as_json({}))
    settings = quick_settings(proxies={"http": proxy.url}, insecure=frozenset({"registry.test:5000"}), no_proxy=())
    with Client(settings) as client, pytest.raises(Unknown):
        client.resolve(Reference.parse("registry.test:5000/app"))
    assert proxy.paths()[-1] == "http://registry.test:5000/v2/app/manifests/latest"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def secure(serve: Serve, certificate: Path) -> str:
    """The address of a registry behind TLS whose certificate nobody has signed; it knows one tag."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate)

    def wrap(sock: socket.socket) -> socket.socket:
        return made.wrap_socket(sock, server_side=True)

    return serve(lambda handler, body: as_json({"tags": ["safe"]}), wrap).address


def test_an_unknown_certificate_is_not_believed(secure: str, client: Client) -> None:
    with pytest.raises(Untrusted, match="certificate is not trusted") as caught:
        client.tags(Reference.parse(f"{secure}/app"))
    assert f"/etc/docker/certs.d/{secure}" in (caught.value.hint or "") and "--tls-verify=false" in (
        caught.value.hint or ""
    )


def test_certs_d_makes_it_known(secure: str, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / secure).mkdir()
    (tmp_path / secure / "ca.crt").write_bytes(certificate.read_bytes().partition(b"-----BEGIN PRIVATE")[0])
    with Client(quick_settings(certs_dirs=(tmp_path,))) as client:
        assert client.tags(Reference.parse(f"{secure}/app")) == ["safe"]


def test_a_damaged_certificate_is_named(secure: str, tmp_path: Path) -> None:
    (tmp_path / secure).mkdir()
    (tmp_path / secure / "ca.crt").write_text("nonsense")
    with Client(quick_settings(certs_dirs=(tmp_path,))) as client, pytest.raises(LamellaError, match=r"ca\.crt"):
        client.tags(Reference.parse(f"{secure}/app"))


def test_tls_verify_false_believes_anything(secure: str) -> None:
    with Client(quick_settings(tls_verify=False)) as client:
        assert client.tags(Reference.parse(f"{secure}/app")) == ["safe"]
    with Client(quick_settings(insecure=frozenset({secure}))) as client:
        assert client.tags(Reference.parse(f"{secure}/app")) == ["safe"]


def test_the_hub_has_its_own_host_and_library(web: responses.RequestsMock, client: Client) -> None:
    web.get("https://registry-1.docker.io/v2/", json={})
    asked = web.get("https://registry-1.docker.io/v2/library/busybox/manifests/latest", status=404)
    with pytest.raises(Unknown):
        client.resolve(Reference.parse("busybox"))
    assert asked.call_count == 1


def test_a_mirror_is_asked_first_and_the_registry_when_it_fails(web: responses.RequestsMock) -> None:
    web.get("https://mirror.test/v2/", json={})
    first = web.get("https://mirror.test/v2/cache/team/app/manifests/1.0", status=404)
    serve_image(web, manifest())
    settings = quick_settings(mirrors={"registry.test": ("https://mirror.test/cache",)})
    with Client(settings) as client:
        found = client.resolve(APP)
    assert first.call_count == 1 and [str(s) for s in found.sources] == ["registry.test/team/app"]


def test_what_a_mirror_has_comes_from_it(web: responses.RequestsMock) -> None:
    web.get("https://mirror.test/v2/", json={})
    web.get("https://mirror.test/v2/team/app/manifests/1.0", json=manifest())
    body = json.dumps(config_json()).encode()
    web.get(f"https://mirror.test/v2/team/app/blobs/{Digest.of(body)}", body=body)
    with Client(quick_settings(mirrors={"registry.test": ("https://mirror.test",)})) as client:
        found = client.resolve(APP)
    assert [str(s) for s in found.sources] == ["mirror.test/team/app", "registry.test/team/app"]
