"""The steward: one small process for a store while its containers hang on networks.

It answers their questions for names, on sockets that were opened inside their own sandboxes, and asks the host's resolvers
for what it does not know. When the last container is gone it waits a moment, has cleared away what nobody uses any more,
and ends. It keeps nothing that matters: whoever finds it killed starts another and tells it everything again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from network import dns
from network.directory import MOST_CACHED, Directory, Member
from network.forwarding import Forwarding, ask_over_tcp, receive

LINGER = 2.0  # seconds without a container before it clears away and ends
MOST_FAILURES = 5  # of clearing away, before it ends all the same
MOST_TALKS = 64  # TCP connections at a time
TALK_SECONDS = 10.0
MESSAGE = 1 << 18
_BURST = 64
_QUESTION = 4096  # bytes


class Seat:
    """A member with its sockets. `watch` becomes readable when the container has ended."""

    def __init__(self, member: Member, watch: int, udp: socket.socket | None, tcp: socket.socket | None) -> None:
        self.member, self.watch, self.udp, self.tcp = member, watch, udp, tcp


class Steward:
    """One event loop; `run` returns when there is nothing left to do."""

    def __init__(self, listening: socket.socket, lock: str, clear: Callable[[], bool]) -> None:
        self._listening = listening
        self._lock = lock
        self._clear = clear
        self._poll = select.epoll()
        self._directory = Directory()
        self._forwarding = Forwarding(self._poll)
        self._seats: dict[str, Seat] = {}
        self._handlers: dict[int, Callable[[], None]] = {}
        self._visitors = 0
        self._talks = 0
        self._failures = 0
        self._idle_since = time.monotonic()
        self._listen(listening, self._welcome)

    def run(self) -> None:
        while not self._may_end():
            for fd, _ in self._poll.poll(self._timeout()):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler()
                else:
                    self._forwarding.hear(fd)

    def _timeout(self) -> float:
        expiry = self._forwarding.expire()
        wait = -1.0 if expiry is None else expiry
        if self._seats or self._visitors:
            return wait
        rest = max(0.0, self._idle_since + LINGER - time.monotonic())
        return min(wait, rest) if wait >= 0 else rest

    def _may_end(self) -> bool:
        """Whether all is done: nobody there for a while, all cleared away, and nobody at the door when that is locked."""
        if self._seats or self._visitors or time.monotonic() < self._idle_since + LINGER:
            return False
        cleared = self._clear()
        self._idle_since = time.monotonic()
        if (
            not cleared and self._failures < MOST_FAILURES
        ):  # a store that is being deleted, most likely: soon it is gone
            self._failures += 1
            return False
        try:
            lock = open(self._lock, "w", encoding="ascii")
        except OSError:  # the store's run-time state is gone, and nobody can find us
            return True
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            if select.select([self._listening], [], [], 0)[0]:
                return False
            with contextlib.suppress(OSError):
                os.unlink(self._listening.getsockname())
            self._listening.close()
        return True

    def _listen(self, sock: socket.socket | int, handler: Callable[[], None]) -> None:
        fd = sock if isinstance(sock, int) else sock.fileno()
        self._handlers[fd] = handler
        self._poll.register(fd, select.EPOLLIN)

    def _ignore(self, sock: socket.socket | int | None) -> None:
        if sock is None:
            return
        fd = sock if isinstance(sock, int) else sock.fileno()
        if self._handlers.pop(fd, None):
            self._poll.unregister(fd)
        if isinstance(sock, int):
            os.close(sock)
        else:
            sock.close()

    # Visitors: commands that tell what has changed.

    def _welcome(self) -> None:
        visitor, _ = self._listening.accept()
        self._visitors += 1
        self._listen(visitor, lambda: self._attend(visitor))
        with contextlib.suppress(OSError):  # who only looked whether anybody is here has left
            visitor.send(b"welcome")

    def _attend(self, visitor: socket.socket) -> None:
        try:
            message, descriptors, _, _ = socket.recv_fds(visitor, MESSAGE, 3)
        except OSError:
            message, descriptors = b"", []
        if not message:
            self._ignore(visitor)
            self._visitors -= 1
            self._idle_since = time.monotonic()
            return
        try:
            self._heed(json.loads(message), descriptors)
            answer = b"ok"
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            for fd in descriptors:
                with contextlib.suppress(OSError):
                    os.close(fd)
            answer = f"{type(error).__name__}: {error}".encode()[:400]
        with contextlib.suppress(OSError):
            visitor.send(answer)

    def _heed(self, order: dict[str, Any], descriptors: Sequence[int]) -> None:
        id = order["id"]
        if order["do"] == "leave":
            self._leave(id)
            return
        if order["do"] == "remote":
            from network.elsewhere import read

            self._directory.put_remote(id, read(order["file"]))
            return
        member = Member(id, order)
        if not descriptors:  # one that is here hangs on other networks now
            self._seats[id].member = member
        else:
            self._leave(id)
            self._seat(member, descriptors)
        self._directory.put(member)

    def _seat(self, member: Member, descriptors: Sequence[int]) -> None:
        sockets = [socket.socket(fileno=fd) for fd in descriptors[1:]]
        udp, tcp = sockets if len(sockets) == 2 else (None, None)
        seat = Seat(member, descriptors[0], udp, tcp)
        self._seats[member.id] = seat
        self._listen(seat.watch, lambda: self._leave(member.id))
        if udp is not None and tcp is not None:
            udp.setblocking(False)
            tcp.setblocking(False)
            self._listen(udp, lambda: self._questions(seat, udp))
            self._listen(tcp, lambda: self._talk(seat, tcp))

    def _leave(self, id: str) -> None:
        seat = self._seats.pop(id, None)
        self._directory.remove(id)
        if seat is not None:
            for sock in (seat.watch, seat.udp, seat.tcp):
                self._ignore(sock)
            self._idle_since = time.monotonic()

    # Questions.

    def _questions(self, seat: Seat, udp: socket.socket) -> None:
        cache, receive, send = seat.member.cache, udp.recvfrom, udp.sendto
        with contextlib.suppress(OSError):  # nothing more, or an asker who is gone: whoever still waits is heard again
            for _ in range(_BURST):
                packet, asker = receive(_QUESTION)
                answers = cache.get(packet[2:])
                if answers is None:
                    answers = self._look(seat.member, packet)
                    if answers is None:
                        self._forward(seat, udp, packet, asker)
                        continue
                    if not answers:
                        continue
                send(packet[:2] + answers[0], asker)
                if len(answers) > 1:
                    answers.append(answers.pop(0))

    def _look(self, member: Member, packet: bytes) -> list[bytes] | None:
        """The answers without their IDs, to be given in turn; none to what is no question, None where it is not ours."""
        question = dns.parse(packet)
        if question is None:
            return []
        found = self._directory.answers(member, packet, question, question.size)
        if found is None:
            return None
        answers = [answer[2:] for answer in found]
        if len(member.cache) < MOST_CACHED:
            member.cache[packet[2:]] = answers
        return answers

    def _forward(self, seat: Seat, udp: socket.socket, packet: bytes, asker: Any) -> None:
        def answer(data: bytes) -> None:
            if udp.fileno() >= 0:
                with contextlib.suppress(OSError):
                    udp.sendto(data, asker)

        self._forwarding.ask(packet, seat.member.upstreams, answer)

    def _talk(self, seat: Seat, tcp: socket.socket) -> None:
        import threading

        try:
            sock, _ = tcp.accept()
        except OSError:
            return
        if self._talks >= MOST_TALKS:
            sock.close()
            return
        self._talks += 1
        threading.Thread(target=self._converse, args=(seat, sock), daemon=True).start()

    def _converse(self, seat: Seat, sock: socket.socket) -> None:
        try:
            with sock:
                sock.settimeout(TALK_SECONDS)
                while query := receive(sock):
                    answer = self._answer(seat.member, query)
                    sock.sendall(len(answer).to_bytes(2, "big") + answer)
        except OSError:
            pass
        finally:
            self._talks -= 1

    def _answer(self, member: Member, query: bytes) -> bytes:
        question = dns.parse(query)
        if question is None:
            return dns.failure(query.ljust(12, b"\0"), dns.REFUSED)
        answers = self._directory.answers(member, query, question, 65535)
        return answers[0] if answers else ask_over_tcp(query, member.upstreams)


def main(listening: int, lock: str, clear: Sequence[str], stay: str = "") -> None:
    """Be the steward: `listening` is the descriptor of its socket, `clear` the command that clears away, `stay` the state
    directory of the store whose user namespace it is to be a member of, if any."""

    os.closerange(3, listening)
    os.closerange(listening + 1, 1 << 16)
    os.chdir("/")
    if stay:
        from core.rootless import remain

        remain(stay)

    def run() -> bool:
        pid = os.posix_spawn(
            clear[0],
            list(clear),
            {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
        return os.waitpid(pid, 0)[1] == 0

    Steward(socket.socket(fileno=listening), lock, run).run()
