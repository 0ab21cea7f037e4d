"""Questions that are not about containers go on to the resolvers the host uses, one after the other until one answers."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Sequence

from network import dns

SECONDS = 4.0  # for each upstream
MOST_UPSTREAMS = 3
MOST_IN_FLIGHT = 1024
Answer = Callable[[bytes], None]


class _Pending:
    __slots__ = ("answer", "deadline", "left", "query", "sent", "socket")

    def __init__(self, query: bytes, upstreams: Sequence[str], answer: Answer) -> None:
        self.query, self.answer = query, answer
        self.left = list(upstreams[:MOST_UPSTREAMS])
        self.deadline, self.sent = 0.0, b""
        self.socket: socket.socket | None = None


class Forwarding:
    """Everything that is in flight. Each question leaves from a socket of its own, with an ID of its own: who wants to
    slip in an answer must guess both."""

    def __init__(self, poll: select.epoll) -> None:
        self._poll = poll
        self._pending: dict[int, _Pending] = {}

    def ask(self, query: bytes, upstreams: Sequence[str], answer: Answer) -> None:
        """Call `answer` with the answer, or with a failure."""
        if len(self._pending) >= MOST_IN_FLIGHT or not upstreams:
            answer(dns.failure(query, dns.SERVFAIL))
            return
        self._next(_Pending(query, upstreams, answer))

    def _next(self, pending: _Pending) -> None:
        self._drop(pending)
        while pending.left:
            address = pending.left.pop(0)
            sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            pending.sent = os.urandom(2) + pending.query[2:]
            try:
                sock.connect((address, 53))
                sock.send(pending.sent)
            except OSError:
                sock.close()
                continue
            pending.socket, pending.deadline = sock, time.monotonic() + SECONDS
            self._pending[sock.fileno()] = pending
            self._poll.register(sock, select.EPOLLIN)
            return
        pending.answer(dns.failure(pending.query, dns.SERVFAIL))

    def _drop(self, pending: _Pending) -> None:
        if pending.socket is not None:
            self._pending.pop(pending.socket.fileno(), None)
            self._poll.unregister(pending.socket)
            pending.socket.close()
            pending.socket = None

    def hear(self, fd: int) -> bool:
        """Something has come in on `fd`; False where it is none of ours."""
        pending = self._pending.get(fd)
        if pending is None or pending.socket is None:
            return False
        try:
            packet = pending.socket.recv(65535)
        except BlockingIOError:
            return True
        except OSError:  # nobody listens there
            self._next(pending)
            return True
        question = dns.parse(pending.sent)
        end = question.end if question else 12
        if packet[:2] != pending.sent[:2] or packet[12:end].lower() != pending.sent[12:end].lower():
            return True
        if dns.code_of(packet) in (dns.SERVFAIL, dns.REFUSED) and pending.left:
            self._next(pending)
        else:
            self._drop(pending)
            pending.answer(pending.query[:2] + packet[2:])
        return True

    def expire(self) -> float | None:
        """Give up what has waited too long; the seconds until there is more to give up."""
        now = time.monotonic()
        for pending in [one for one in self._pending.values() if one.deadline <= now]:
            self._next(pending)
        return (
            max(0.0, min((one.deadline for one in self._pending.values()), default=now) - now)
            if self._pending
            else None
        )


def ask_over_tcp(query: bytes, upstreams: Sequence[str]) -> bytes:
    """The answer to `query` over TCP, or a failure. Waits; for a thread of its own."""
    for address in upstreams[:MOST_UPSTREAMS]:
        try:
            with socket.create_connection((address, 53), timeout=SECONDS) as sock:
                sock.sendall(len(query).to_bytes(2, "big") + query)
                answer = receive(sock)
        except OSError:
            continue
        if answer and answer[:2] == query[:2] and dns.code_of(answer) not in (dns.SERVFAIL, dns.REFUSED):
            return answer
    return dns.failure(query, dns.SERVFAIL)


def receive(sock: socket.socket) -> bytes:
    """One message from a TCP stream; empty at its end."""
    head = _exactly(sock, 2)
    return _exactly(sock, int.from_bytes(head, "big")) if head else b""


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            return b""
        data += piece
    return data
