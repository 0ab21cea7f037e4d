"""Docker's plug-in protocol as a client: finding plug-ins, and believing nothing of what they answer."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput, NotFound, Unavailable
from core.plugins import MAX_ANSWER_BYTES, MethodMissing, Plugin, PluginError, PluginNotFound, find, names
from tests.suites.plugged import plugin


def echo(method: str, body: dict[str, Any]) -> Any:
    return {"Implements": ["VolumeDriver"]} if method == "Plugin.Activate" else {"Method": method, "Body": body}


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


def test_a_socket_is_found_by_its_name_and_answers(sockets: Path) -> None:
    with plugin(sockets / "echo.sock", echo) as calls:
        found = find("echo", "VolumeDriver", sockets=sockets, specs=())
        assert found.call("VolumeDriver.Get", {"Name": "ü"}) == {"Method": "VolumeDriver.Get", "Body": {"Name": "ü"}}
        assert calls[0] == ("Plugin.Activate", {})


def test_a_socket_in_a_directory_of_its_own_is_found(sockets: Path) -> None:
    (sockets / "echo").mkdir()
    with plugin(sockets / "echo" / "echo.sock", echo):
        assert find("echo", sockets=sockets, specs=()).implements() == ("VolumeDriver",)
        assert names(sockets=sockets, specs=()) == ["echo"]


def test_a_spec_file_says_where_it_listens(tmp_path: Path) -> None:
    (tmp_path / "a.spec").write_text(f"unix://{tmp_path}/x.sock\n")
    (tmp_path / "b.json").write_text(
        json.dumps({"Name": "b", "Addr": "tcp://127.0.0.1:99", "TLSConfig": {"CAFile": "c"}})
    )
    specs = (tmp_path / "none", tmp_path)
    assert find("a", sockets=tmp_path, specs=specs) == Plugin("a", f"unix://{tmp_path}/x.sock")
    assert find("b", sockets=tmp_path, specs=specs) == Plugin("b", "tcp://127.0.0.1:99", (("CAFile", "c"),))
    assert names(sockets=tmp_path / "none", specs=specs) == ["a", "b"]


@pytest.mark.parametrize(
    ("suffix", "content"),
    [("spec", "nonsense"), ("spec", ""), ("json", "{"), ("json", "[]"), ("json", "{}"), ("json", '{"Addr": "file:///etc/passwd"}')],
)  # fmt: skip
def test_a_spec_file_that_makes_no_sense_is_said(tmp_path: Path, suffix: str, content: str) -> None:
    (tmp_path / f"bad.{suffix}").write_text(content)
    with pytest.raises(InvalidInput):
        find("bad", sockets=tmp_path, specs=(tmp_path,))


@pytest.mark.parametrize("name", ["nosuch", "", "../echo", "a/../../b", "/etc/x"])
def test_what_is_not_there_is_not_found(sockets: Path, name: str) -> None:
    with pytest.raises(PluginNotFound) as raised:
        find(name, sockets=sockets / "plugins", specs=())
    assert raised.value.message == f'plugin "{name}" not found'


def test_a_plugin_of_another_kind_is_refused(sockets: Path) -> None:
    with plugin(sockets / "echo.sock", echo), pytest.raises(NotFound, match="does not implement NetworkDriver"):
        find("echo", "NetworkDriver", sockets=sockets, specs=())


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"Err": "disk on\x1b[31m fire\n"}, PluginError, r"^disk on \[31m fire$"),
        ((500, b'{"Err": "broken"}'), PluginError, "^broken$"),
        ((500, b""), PluginError, "HTTP status 500"),
        ((404, b"page not found"), MethodMissing, "does not know X"),
        ((200, b"[1]"), Unavailable, "no JSON object"),
        ((200, b"[" * 100_000), Unavailable, "no JSON object"),
        ((200, b"{" + b" " * MAX_ANSWER_BYTES + b"}"), Unavailable, "longer than"),
        (b"garbage\r\n\r\n", Unavailable, "X of the plug-in"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", Unavailable, "X of the plug-in"),
        (b"", Unavailable, "X of the plug-in"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_hostile_answers_are_errors_of_the_house(sockets: Path, given: Any, error: type[Exception], text: str) -> None:
    with plugin(sockets / "bad.sock", lambda method, body: given), pytest.raises(error, match=text):
        find("bad", sockets=sockets, specs=()).call("X", {})


def test_an_empty_answer_is_fine(sockets: Path) -> None:
    with plugin(sockets / "terse.sock", lambda method, body: (200, b"")):
        assert find("terse", sockets=sockets, specs=()).call("X") == {}


def test_a_trickle_of_bytes_does_not_outlive_the_deadline(sockets: Path) -> None:
    def trickle(server: socket.socket) -> None:
        other, _ = server.accept()
        with other:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100:
                try:
                    other.sendall(bytes([byte]))
                except OSError:
                    return
                time.sleep(0.05)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(sockets / "slow.sock"))
        server.listen()
        thread = threading.Thread(target=trickle, args=(server,))
        thread.start()
        begun = time.monotonic()
        with pytest.raises(Unavailable, match="no answer in time"):
            find("slow", sockets=sockets, specs=()).call("X", seconds=0.5)
        assert time.monotonic() - begun < 2
        thread.join()


def test_a_socket_that_nobody_listens_at_is_said(sockets: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(sockets / "dead.sock"))
    with pytest.raises(Unavailable, match="Connection refused"):
        find("dead", sockets=sockets, specs=()).call("X")
