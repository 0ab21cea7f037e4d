"""Basic and bearer: who is told what, and how often."""

from __future__ import annotations

import base64
import http.server
import json
from pathlib import Path

import pytest

from image.digest import Digest
from image.reference import Reference
from registry.client.client import Client
from registry.client.errors import Denied, Misbehaved
from registry.client.sources import Bytes
from registry.client.transport import Body, Request, drain
from registry.client.upload import Target
from tests.registry.client.servers import Answer, Scripted, Serve, TokenServer, as_json, error, quick_settings

ANN = base64.b64encode(b"ann:secret").decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def known_as_ann(config: Path, registry: Scripted, **entry: str) -> Client:
    config.write_text(json.dumps({"auths": {registry.address: entry or {"auth": ANN}}}))
    return Client(quick_settings(config_path=config))


def anonymous() -> Client:
    return Client(quick_settings())


@pytest.fixture
def guarded(serve: Serve, token_server: TokenServer) -> Scripted:
    """A registry that wants a token for whatever is done, and has one tag in every repository."""

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
        name = handler.path.removeprefix("/v2/").partition("/tags/")[0].partition("/blobs/")[0]
        actions = "pull" if handler.command == "GET" else "pull,push"
        scope = f"repository:{name}:{actions}" if name else ""
        if scope and token_server.allows(handler.headers.get("Authorization", ""), scope):
            return as_json({"tags": ["one"]}) if handler.command == "GET" else (202, {"Location": "/v2/x/y"}, b"")
        realm = f'Bearer realm="{token_server.script.url}/token",service="test"' + (
            f',scope="{scope}"' if scope else ""
        )
        return error(401, "UNAUTHORIZED", "who are you", WWW_Authenticate=realm)

    return serve(answer)


def ref(registry: Scripted, path: str) -> Reference:
    return Reference.parse(f"{registry.address}/{path}")


def test_an_anonymous_token_is_enough_for_what_is_public(guarded: Scripted) -> None:
    with anonymous() as client:
        assert client.tags(ref(guarded, "public/app")) == ["one"]


def test_the_challenge_of_the_ping_saves_a_401(guarded: Scripted) -> None:
    with anonymous() as client:
        client.tags(ref(guarded, "public/app"))
    assert guarded.paths() == ["/v2/", "/v2/public/app/tags/list"]


def test_denied_says_what_and_to_log_in(guarded: Scripted) -> None:
    with anonymous() as client, pytest.raises(Denied, match=r"private/app.*asks for credentials") as caught:
        client.tags(ref(guarded, "private/app"))
    assert f"lamella login {guarded.address}" in (caught.value.hint or "")


def test_with_credentials_private_repositories_open(guarded: Scripted, config: Path) -> None:
    with known_as_ann(config, guarded) as client:
        assert client.tags(ref(guarded, "private/app")) == ["one"]


def test_wrong_credentials_are_denied_by_the_token_server(guarded: Scripted, config: Path) -> None:
    wrong = base64.b64encode(b"ann:wrong").decode()
    with known_as_ann(config, guarded, auth=wrong) as client, pytest.raises(Denied, match="wrong password"):
        client.tags(ref(guarded, "private/app"))


def test_a_token_is_fetched_once_for_each_scope(guarded: Scripted, token_server: TokenServer, config: Path) -> None:
    with known_as_ann(config, guarded) as client:
        remote = client._remote(guarded.address, client._patience())
        repository = remote.repository("a/b")
        for _ in range(3):
            drain(repository.send(Request("GET", f"{guarded.url}/v2/a/b/tags/list")))
        push = (repository.scope("pull,push"),)
        for _ in range(3):
            drain(repository.send(Request("POST", f"{guarded.url}/v2/a/b/blobs/uploads/", scopes=push)))
    assert token_server.asked == ["repository:a/b:pull", "repository:a/b:pull,push"]


def test_a_mount_asks_for_both_repositories_at_once(guarded: Scripted, token_server: TokenServer, config: Path) -> None:
    with known_as_ann(config, guarded) as client:
        Target(client._remote(guarded.address, client._patience()).repository("a/b")).mount(Digest.of(b""), "c/d")
    assert token_server.asked == ["repository:a/b:pull,push repository:c/d:pull"]


def test_an_identity_token_is_sent_as_a_refresh_token(
    guarded: Scripted, token_server: TokenServer, config: Path
) -> None:
    with known_as_ann(config, guarded, auth=base64.b64encode(b"ann:").decode(), identitytoken="lasting") as client:
        assert client.tags(ref(guarded, "private/app")) == ["one"]
    assert token_server.script.requests[0][0] == "POST"
    assert "authorization" not in token_server.script.requests[0][2]


def test_a_token_that_is_refused_is_replaced_once(serve: Serve, token_server: TokenServer) -> None:
    refused: list[str] = []

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
        header = handler.headers.get("Authorization", "")
        if header and refused:
            return as_json({"tags": ["late"]}) if header != refused[0] else error(401, "UNAUTHORIZED")
        if header:
            refused.append(header)
        return error(401, "UNAUTHORIZED", WWW_Authenticate=f'Bearer realm="{token_server.script.url}/token"')

    registry = serve(answer)
    with anonymous() as client:
        assert client.tags(ref(registry, "public/app")) == ["late"]


def test_a_body_is_produced_again_after_a_401(serve: Serve, config: Path) -> None:
    bodies: list[bytes] = []

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
        bodies.append(body)
        if handler.headers.get("Authorization") == f"Basic {ANN}":
            return 201, {}, b""
        known = {} if handler.path == "/v2/" else {"WWW-Authenticate": "Basic realm=x"}
        return (200 if handler.path == "/v2/" else 401), known, b""

    registry = serve(answer)
    with known_as_ann(config, registry) as client:
        repository = client._remote(registry.address, client._patience()).repository("a")
        for size in (None, 6):
            body = Body(lambda: iter((b"abc", b"def")), size)
            drain(repository.ask(Request("PUT", f"{registry.url}/v2/a/x", body=body), "a test", 201))
            repository.remote._found = None
    assert bodies == [b"", b"abcdef", b"abcdef"] * 2


def test_nobody_else_sees_our_credentials(serve: Serve, config: Path) -> None:
    elsewhere = serve(lambda handler, body: as_json({"tags": ["far"]}))

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
        if handler.headers.get("Authorization") != f"Basic {ANN}":
            return error(401, "UNAUTHORIZED", WWW_Authenticate="Basic realm=x")
        return 307, {"Location": f"{elsewhere.url}/blob"}, b""

    registry = serve(answer)
    with known_as_ann(config, registry) as client:
        assert client.tags(ref(registry, "a")) == ["far"]
    assert "authorization" in registry.requests[-1][2]
    assert "authorization" not in elsewhere.requests[0][2]


def test_an_upload_on_another_host_goes_there_without_our_credentials(serve: Serve, config: Path) -> None:
    storage = serve(lambda handler, body: (201, {}, b""))

    def answer(handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Answer:
        if handler.headers.get("Authorization") != f"Basic {ANN}":
            return error(401, "UNAUTHORIZED", WWW_Authenticate="Basic realm=x")
        return 202, {"Location": f"{storage.url}/session"}, b""

    registry = serve(answer)
    with known_as_ann(config, registry) as client:
        Target(client._remote(registry.address, client._patience()).repository("a")).upload(Bytes(b"data"))
    assert [(method, "authorization" in headers) for method, _, headers in storage.requests] == [("PUT", False)]


def test_a_host_we_were_sent_to_cannot_ask_for_our_credentials(serve: Serve, config: Path) -> None:
    trap = serve(lambda handler, body: as_json({"token": "x"}))
    asking = f'Bearer realm="{trap.url}/token"'
    elsewhere = serve(lambda handler, body: error(401, "UNAUTHORIZED", WWW_Authenticate=asking))
    registry = serve(
        lambda handler, body: (200, {}, b"") if handler.path == "/v2/" else (307, {"Location": elsewhere.url}, b"")
    )
    with known_as_ann(config, registry) as client, pytest.raises(Denied):
        client.tags(ref(registry, "a"))
    assert trap.requests == []


def test_netrc_never_overwrites_a_token(guarded: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password evil\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with anonymous() as client:
        assert client.tags(ref(guarded, "public/app")) == ["one"]
    assert [headers.get("authorization") for _, _, headers in guarded.requests] == [None, "Bearer token-0"]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a\\r\\nb"}', b'{"token": null}'])
def test_a_token_server_that_talks_nonsense_is_named(serve: Serve, answer: bytes) -> None:
    tokens = serve(lambda handler, body: (200, {}, answer))
    realm = f'Bearer realm="{tokens.url}/t"'
    registry = serve(lambda handler, body: error(401, "UNAUTHORIZED", WWW_Authenticate=realm))
    with anonymous() as client, pytest.raises(Misbehaved, match=f"the token server {tokens.address}"):
        client.tags(ref(registry, "a"))


def test_logging_in_keeps_what_the_registry_accepts(guarded: Scripted, config: Path) -> None:
    with Client(quick_settings(config_path=config)) as client:
        assert client.login(guarded.address, "ann", "secret") == str(config)
        assert json.loads(config.read_text())["auths"][guarded.address]["identitytoken"] == "lasting"
        assert client.tags(ref(guarded, "private/app")) == ["one"]
        assert client.logout(guarded.address) is True
        with pytest.raises(Denied):
            client.tags(ref(guarded, "private/app"))


def test_logging_in_with_a_wrong_password_keeps_nothing(guarded: Scripted, config: Path) -> None:
    with Client(quick_settings(config_path=config)) as client, pytest.raises(Denied, match="wrong password"):
        client.login(guarded.address, "ann", "wrong")
    assert not config.exists()
