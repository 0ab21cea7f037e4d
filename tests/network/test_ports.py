"""`-p` in all its forms, and the host's ports that are really free."""

from __future__ import annotations

import socket

import pytest

from core.errors import Conflict, InvalidInput
from network.model import Port
from network.ports import Held, Wanted, exposed, parse, wanted_of_exposed

ACCEPTED = {
    "80": [("", 0, 0, 80, "tcp")],
    "8080:80": [("", 8080, 8080, 80, "tcp")],
    "8080:80/udp": [("", 8080, 8080, 80, "udp")],
    "53:53/SCTP": [("", 53, 53, 53, "sctp")],
    "127.0.0.1:8080:80": [("127.0.0.1", 8080, 8080, 80, "tcp")],
    "127.0.0.1::80": [("127.0.0.1", 0, 0, 80, "tcp")],
    "[::1]:8080:80": [("::1", 8080, 8080, 80, "tcp")],
    "::1:8080:80": [("::1", 8080, 8080, 80, "tcp")],
    "0:80": [("", 0, 0, 80, "tcp")],
    "8000-8002:80": [("", 8000, 8002, 80, "tcp")],
    "7000-7001:8000-8001": [("", 7000, 7000, 8000, "tcp"), ("", 7001, 7001, 8001, "tcp")],
    "8000-8001": [("", 0, 0, 8000, "tcp"), ("", 0, 0, 8001, "tcp")],
}
REFUSED = {
    "": "no port specified", "8080:": "no port specified", "80/icmp": "invalid proto", "x:80": "invalid hostPort",
    "8080:x": "invalid containerPort", "8080:70000": "invalid containerPort", "8080:0": "invalid containerPort",
    "1.2.3:80:80": "invalid IP address", "7000-7002:8000-8001": "invalid ranges specified", "8001-8000:80": "invalid hostPort",
    "host:8080:80": "invalid IP address", "80:٨٠": "invalid containerPort",
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), ACCEPTED.items())
def test_a_port_is_read(text: str, wanted: list[tuple[str, int, int, int, str]]) -> None:
    assert parse(text) == [Wanted(*fields) for fields in wanted]


@pytest.mark.parametrize(("text", "said"), REFUSED.items())
def test_what_is_no_port_is_refused_in_docker_s_words(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse(text)


def test_exposed_ports_are_published_unless_they_are_by_name() -> None:
    wanted = list(wanted_of_exposed(["80/tcp", "53/udp", "7000-7001"], parse("8080:80")))
    assert [(one.container_port, one.protocol, one.first) for one in wanted] == [
        (53, "udp", 0), (7000, "tcp", 0), (7001, "tcp", 0),
    ]  # fmt: skip
    with pytest.raises(InvalidInput, match="invalid proto"):
        exposed("80/icmp")


def test_a_port_that_any_program_has_is_taken_and_a_range_finds_the_next() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        held = Held()
        with pytest.raises(Conflict, match=rf"Bind for 0.0.0.0:{port} failed: port is already allocated"):
            held.take(parse(f"{port}:80"))
        with pytest.raises(Conflict, match=rf"Bind for 127.0.0.1:{port} failed"):
            held.take([Wanted("127.0.0.1", 0, 0, 81, "tcp"), *parse(f"127.0.0.1:{port}:80")])
        assert held.hand_over() == []
        try:
            found = held.take([Wanted("127.0.0.1", port, min(port + 50, 65535), 80, "tcp")])
            assert found[0].host_port > port
        finally:
            held.release()


def test_a_held_port_is_no_other_program_s_until_it_is_let_go() -> None:
    for kind, protocol in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")):
        held = Held()
        port = held.take([Wanted("127.0.0.1", 0, 0, 80, protocol)])[0]
        assert port == Port("127.0.0.1", port.host_port, 80, protocol) and port.host_port
        with socket.socket(type=kind) as other, pytest.raises(OSError, match="already in use"):
            other.bind(("127.0.0.1", port.host_port))
        held.release()
        with socket.socket(type=kind) as other:
            other.bind(("127.0.0.1", port.host_port))


def test_an_address_that_this_machine_does_not_have_is_said() -> None:
    with pytest.raises(Conflict, match="cannot assign requested address"):
        Held().take(parse("203.0.113.7:0:80"))
