"""Questions for names, as fast as they are answered: how many a second, and how long the slowest hundredth waits."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

IN_FLIGHT = 32
PATIENCE = 1.0  # seconds until what was lost is asked again


def question(name: str, number: int) -> bytes:
    """A query for the name's IPv4 address."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def ask(sock: socket.socket, names: Sequence[str], seconds: float) -> tuple[float, float]:
    """Answers a second, and p99 in milliseconds, with IN_FLIGHT questions on the way all the time. `sock` is connected."""
    queries = [question(names[number % len(names)], number) for number in range(IN_FLIGHT)]
    sent, waited = [0.0] * IN_FLIGHT, list[float]()
    sock.settimeout(PATIENCE)
    clock, send, receive = time.perf_counter, sock.send, sock.recv
    begin = clock()
    for number, query in enumerate(queries):
        sent[number] = clock()
        send(query)
    while (now := clock()) < begin + seconds:
        try:
            answer = receive(512)
        except TimeoutError:
            for query in queries:
                send(query)
            continue
        if answer[3] & 0xF or not answer[7]:
            raise RuntimeError(f"no answer to {names}: {answer!r}")
        number = answer[0] << 8 | answer[1]
        now = clock()
        waited.append(now - sent[number])
        sent[number] = now
        send(queries[number])
    waited.sort()
    return len(waited) / (now - begin), waited[len(waited) * 99 // 100] * 1000
