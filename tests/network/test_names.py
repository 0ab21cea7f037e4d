"""The steward answers names on sockets that it is handed, forwards the rest, and ends when it should."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from network import dns, forwarding
from network.directory import Directory, Member
from network.forwarding import Forwarding
from network.visiting import Visit, forget_killed, visit, visit_or_start, was_killed

NET = "n" * 64


def query(name: str, kind: int = dns.A, number: int = 7, size: int = 0) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0"
    opt = b"\0" + struct.pack("!HHIH", dns.OPT, size, 0, 0) if size else b""
    return struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, bool(size)) + labels + struct.pack("!HH", kind, 1) + opt


def records(packet: bytes) -> list[tuple[int, bytes]]:
    """Kind and content of each answer."""
    found, at = [], packet.index(b"\0", 12) + 5
    for _ in range(struct.unpack_from("!H", packet, 6)[0]):
        kind, _, _, size = struct.unpack_from("!HHIH", packet, at + 2)
        found.append((kind, packet[at + 12 : at + 12 + size]))
        at += 12 + size
    return found


def addresses(packet: bytes) -> list[str]:
    return [
        socket.inet_ntop(socket.AF_INET if kind == dns.A else socket.AF_INET6, raw) for kind, raw in records(packet)
    ]


def member(id: str, *names: str, at: tuple[str, ...] = ("172.18.0.2",), **more: Any) -> dict[str, Any]:
    networks = {NET: {"network": "na", "names": list(names), "addresses": list(at)}}
    return {"do": "join", "id": id, "networks": networks, "upstreams": [], **more}


class TestAnswers:
    def _answer(self, directory: Directory, packet: bytes, id: str = "a") -> list[bytes] | None:
        question = dns.parse(packet)
        assert question
        return directory.answers(directory.members[id], packet, question, question.size)

    def test_names_are_known_in_any_case_and_with_their_network(self) -> None:
        directory = Directory()
        directory.put(Member("a", member("a", "Web")))
        for name in ("web", "WEB", "web.na"):
            answers = self._answer(directory, query(name))
            assert answers and addresses(answers[0]) == ["172.18.0.2"] and answers[0][:2] == b"\0\x07"
        assert (
            self._answer(directory, query("web.nb")) is None and self._answer(directory, query("far.example")) is None
        )

    def test_a_name_of_several_goes_round_and_one_without_v6_answers_with_nothing(self) -> None:
        directory = Directory()
        for number in range(3):
            directory.put(Member(str(number), member(str(number), f"c{number}", "all", at=(f"172.18.0.{number}",))))
        answers = self._answer(directory, query("all"), "0")
        assert answers and {addresses(one)[0] for one in answers} == {"172.18.0.0", "172.18.0.1", "172.18.0.2"}
        empty = self._answer(directory, query("all", dns.AAAA), "0")
        assert empty and records(empty[0]) == [] and dns.code_of(empty[0]) == 0

    def test_addresses_have_names(self) -> None:
        directory = Directory()
        directory.put(Member("a", member("a", "web", at=("172.18.0.2", "fd00::2"))))
        for address in ("172.18.0.2", "fd00::2"):
            answers = self._answer(directory, query(dns.reverse_name(address), dns.PTR))
            assert answers and records(answers[0]) == [(dns.PTR, b"\x03web\x02na\0")]

    def test_an_answer_that_is_too_long_says_so(self) -> None:
        directory = Directory()
        for number in range(60):
            directory.put(Member(str(number), member(str(number), "all", at=(f"172.18.0.{number}",))))
        short, long = (self._answer(directory, query("all", size=size), "0") for size in (0, 4096))
        assert short and len(short[0]) <= 512 and short[0][2] & 2
        assert long and len(records(long[0])) == 60 and not long[0][2] & 2

    def test_who_left_has_no_name(self) -> None:
        directory = Directory()
        for id, name in (("a", "web"), ("b", "db")):
            directory.put(Member(id, member(id, name)))
        directory.remove("b")
        assert self._answer(directory, query("db")) is None

    def test_a_link_is_one_container_s_own_word(self) -> None:
        directory = Directory()
        directory.put(Member("a", member("a", "web", aliases={"data": "db"})))
        directory.put(Member("b", member("b", "db", at=("172.18.0.9",))))
        answers = self._answer(directory, query("data"))
        assert answers and addresses(answers[0]) == ["172.18.0.9"]
        assert self._answer(directory, query("data"), "b") is None

    def test_whatever_is_no_query_is_nothing(self) -> None:
        good = query("web.na", size=1232)
        assert dns.parse(good)
        for end in range(len(good) - 11):
            dns.parse(good[:end])
        dice = random.Random(7)
        for _ in range(20000):
            packet = bytearray(good)
            for _ in range(dice.randrange(1, 4)):
                packet[dice.randrange(len(packet))] = dice.randrange(256)
            question = dns.parse(bytes(packet))
            if question:
                dns.reply(bytes(packet), question, [])
        assert dns.parse(b"") is None and dns.parse(good[:2] + b"\x80" + good[3:]) is None


def answered(asked: bytes) -> bytes:
    question = dns.parse(asked)
    assert question
    return dns.reply(asked, question, dns.address_records(["1.2.3.4"], dns.A))


def unknown(asked: bytes) -> bytes:
    return dns.failure(asked, dns.NXDOMAIN)


class TestForwarding:
    @pytest.fixture
    def upstreams(self) -> Iterator[list[socket.socket]]:
        made, net = [], random.randrange(256)
        for last in (1, 2):
            sock = socket.socket(type=socket.SOCK_DGRAM)
            sock.settimeout(2)
            sock.bind((f"127.84.{net}.{last}", 53))
            made.append(sock)
        yield made
        for sock in made:
            sock.close()

    def _ask(
        self, upstreams: list[socket.socket], packet: bytes, replies: list[list[Any]], seconds: float = 3
    ) -> list[bytes]:
        """What comes of the question when each upstream answers with what its functions make of it."""
        poll, heard = select.epoll(), list[bytes]()
        work = Forwarding(poll)
        threads = [threading.Thread(target=self._serve, args=pair) for pair in zip(upstreams, replies, strict=True)]
        for thread in threads:
            thread.start()
        work.ask(packet, [sock.getsockname()[0] for sock in upstreams], heard.append)
        end = time.monotonic() + seconds
        while not heard and time.monotonic() < end:
            for fd, _ in poll.poll(0.05):
                work.hear(fd)
            work.expire()
        poll.close()
        for thread in threads:
            thread.join()
        return heard

    def _serve(self, sock: socket.socket, makers: list[Any]) -> None:
        try:
            packet, asker = sock.recvfrom(4096)
        except OSError:
            return
        for make in makers:
            sock.sendto(make(packet), asker)

    def test_only_an_answer_to_this_very_question_is_taken(self, upstreams: list[socket.socket]) -> None:
        packet = query("far.example", number=4242)
        forged = [
            lambda asked: b"\0\0" + answered(asked)[2:],
            lambda asked: asked[:2] + answered(query("evil.example"))[2:],
        ]
        heard = self._ask(upstreams, packet, [[*forged, answered], []])
        assert heard[0][:2] == packet[:2] and addresses(heard[0]) == ["1.2.3.4"]

    def test_one_that_fails_or_is_silent_is_followed_by_the_next(
        self, upstreams: list[socket.socket], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(forwarding, "SECONDS", 0.2)
        for first in ([], [lambda asked: dns.failure(asked, dns.SERVFAIL)]):
            heard = self._ask(upstreams, query("far.example"), [first, [unknown]])
            assert dns.code_of(heard[0]) == dns.NXDOMAIN
        heard = self._ask(upstreams, query("far.example"), [[], []])
        assert dns.code_of(heard[0]) == dns.SERVFAIL


class TestSteward:
    @pytest.fixture
    def state(self, tmp_path: Path) -> Iterator[Path]:
        yield tmp_path
        pid = self._pid(tmp_path)
        if pid:
            os.kill(pid, signal.SIGKILL)

    def _pid(self, state: Path) -> int:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if f"{state}/steward.lock".encode() in path.read_bytes():
                    return int(path.parent.name)
            except OSError:
                continue
        return 0

    def _join(self, visitor: Visit, id: str, *names: str) -> tuple[socket.socket, socket.socket, int]:
        """A container that is on a network: its UDP and TCP sockets, and the end whose closing is its end."""
        udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
        for sock in (udp, tcp):
            sock.bind(("127.0.0.1", 0))
        tcp.listen()
        life, alive = os.pipe()
        visitor.tell(member(id, *names), [life, udp.fileno(), tcp.fileno()])
        os.close(life)
        return udp, tcp, alive

    def _ask(self, server: socket.socket, packet: bytes) -> bytes:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(3)
            sock.sendto(packet, server.getsockname())
            return sock.recv(4096)

    def test_it_answers_over_udp_and_tcp_small_and_ends_with_its_last_container(self, state: Path) -> None:
        marker = state / "cleared"
        with visit_or_start(state, ["/usr/bin/touch", str(marker)]) as visitor:
            assert visitor.fresh
            udp, tcp, alive = self._join(visitor, "a", "web")
        assert addresses(self._ask(udp, query("web"))) == ["172.18.0.2"]
        with socket.create_connection(tcp.getsockname(), timeout=3) as stream:
            packet = query("web")
            for _ in range(2):
                stream.sendall(len(packet).to_bytes(2, "big") + packet)
                size = int.from_bytes(stream.recv(2), "big")
                assert addresses(stream.recv(size)) == ["172.18.0.2"]
        assert dns.code_of(self._ask(udp, query("far.example"))) == dns.SERVFAIL
        status = Path(f"/proc/{self._pid(state)}/status").read_text()
        kilobytes = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
        assert kilobytes < 25 * 1024
        assert not marker.exists()
        os.close(alive)
        end = time.monotonic() + 8
        while self._pid(state):
            assert time.monotonic() < end
            time.sleep(0.1)
        assert marker.exists() and not (state / "steward.sock").exists()
        udp.close()
        tcp.close()

    def test_one_steward_serves_all_and_a_killed_one_is_replaced(self, state: Path) -> None:
        first = visit_or_start(state, ["/bin/true"])
        udp, tcp, alive = self._join(first, "a", "web")
        with visit_or_start(state, ["/bin/true"]) as second:
            assert not second.fresh
            other = self._join(second, "b", "db")
        assert addresses(self._ask(other[0], query("web"))) == ["172.18.0.2"]
        os.kill(self._pid(state), signal.SIGKILL)
        end = time.monotonic() + 5
        while not was_killed(state):
            assert time.monotonic() < end
        assert visit(state) is None
        with visit_or_start(state, ["/bin/true"]) as third:
            assert third.fresh and not was_killed(state)
        first.close()
        os.kill(self._pid(state), signal.SIGKILL)
        while not was_killed(state):
            assert time.monotonic() < end + 5
        forget_killed(state)
        assert not (state / "steward.sock").exists()
        for sock in (udp, tcp, *other[:2]):
            sock.close()
        for fd in (alive, other[2]):
            os.close(fd)

    def test_who_knocks_and_runs_does_no_harm(self, state: Path) -> None:
        with visit_or_start(state, ["/bin/true"]) as visitor:
            udp, tcp, alive = self._join(visitor, "a", "web")
            pid = self._pid(state)
            os.kill(pid, signal.SIGSTOP)  # so that all have left when it opens
            for _ in range(20):
                assert not was_killed(state)
            os.kill(pid, signal.SIGCONT)
            assert addresses(self._ask(udp, query("web"))) == ["172.18.0.2"] and self._pid(state) == pid
        for sock in (udp, tcp):
            sock.close()
        os.close(alive)

    def test_nonsense_from_a_visitor_is_answered_and_changes_nothing(self, state: Path) -> None:
        with visit_or_start(state, ["/bin/true"]) as visitor:
            udp, tcp, alive = self._join(visitor, "a", "web")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
                sock.connect(str(state / "steward.sock"))
                assert sock.recv(64) == b"welcome"
                for message in (b"{", b"[]", b'{"do": "join"}', b'{"do": "join", "id": "zz"}', b"1"):
                    sock.send(message)
                    assert sock.recv(4096) != b"ok"
            assert addresses(self._ask(udp, query("web"))) == ["172.18.0.2"]
        for sock in (udp, tcp):
            sock.close()
        os.close(alive)
