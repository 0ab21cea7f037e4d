"""What WWW-Authenticate says, and where we refuse to send credentials."""

from __future__ import annotations

import pytest

from registry.client.challenge import Challenge, choose, parse, realm_of
from registry.client.errors import Misbehaved

BEARER = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"'


def test_a_bearer_challenge_keeps_commas_inside_quotes() -> None:
    assert parse(BEARER) == [
        Challenge("bearer", {"realm": "https://auth.example/token", "service": "registry.example", "scope": "repository:a/b:pull,push"})
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ("Basic realm=simple", ["basic"]),
        ('Basic realm="a", ' + BEARER, ["basic", "bearer"]),
        (BEARER + ', Basic realm="say \\"hi\\""', ["bearer", "basic"]),
        ("Negotiate", ["negotiate"]),
        ("Negotiate, Basic realm=x", ["negotiate", "basic"]),
        ("", []),
        ('="', []),
        ("\x00\xff", []),
    ],
)
def test_any_number_of_challenges_in_one_header(header: str, schemes: list[str]) -> None:
    assert [challenge.scheme for challenge in parse(header)] == schemes


def test_bearer_is_preferred_to_basic_wherever_it_stands() -> None:
    assert choose('Basic realm="a", ' + BEARER) == choose(BEARER)
    assert choose("Negotiate") is None


def test_a_quoted_pair_is_unquoted() -> None:
    assert parse('Basic realm="say \\"hi\\""')[0].parameters["realm"] == 'say "hi"'


@pytest.mark.parametrize(
    "realm", ["file:///etc/passwd", "ftp://h/t", "//h/t", "token", "https://", "https://u:p@h/t", "http://[::1/x"]
)
def test_a_realm_that_is_not_http_gets_no_credentials(realm: str) -> None:
    with pytest.raises(Misbehaved, match="not http"):
        realm_of(Challenge("bearer", {"realm": realm}), "https://registry.example")


def test_a_secure_registry_cannot_send_credentials_into_the_clear() -> None:
    challenge = Challenge("bearer", {"realm": "http://auth.example/token"})
    with pytest.raises(Misbehaved, match="in the clear"):
        realm_of(challenge, "https://registry.example")
    assert realm_of(challenge, "http://registry.example")
