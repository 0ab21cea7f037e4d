"""The little of DNS (RFC 1035) that answers about containers need: one question in, records of four kinds out."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
TTL = 600
SMALL = 512  # bytes that any resolver takes over UDP
_HEADER = struct.Struct("!HHHHHH")
_QR, _RD, _RA, _TC = 0x8000, 0x0100, 0x0080, 0x0200
_OPCODE = 0x7800


class Question:
    """What a query asks. `end` is where it ends in the packet, `size` how large an answer the asker takes."""

    __slots__ = ("end", "kind", "name", "size")

    def __init__(self, name: str, kind: int, end: int, size: int) -> None:
        self.name, self.kind, self.end, self.size = name, kind, end, size


def parse(packet: bytes) -> Question | None:
    """The question of a query; None for whatever is not a plain query of one question."""
    if len(packet) < 17:
        return None
    _, flags, questions, answers, _, additional = _HEADER.unpack_from(packet)
    if flags & (_QR | _OPCODE) or questions != 1 or answers:
        return None
    labels, at = [], 12
    while True:
        if at >= len(packet):
            return None
        length = packet[at]
        if length == 0:
            break
        if length > 63 or at + 1 + length >= len(packet):
            return None
        labels.append(packet[at + 1 : at + 1 + length])
        at += 1 + length
    if at + 5 > len(packet) or at - 12 > 254:
        return None
    kind, class_ = struct.unpack_from("!HH", packet, at + 1)
    if class_ not in (IN, ANY):
        return None
    name = b".".join(labels).lower().decode("latin-1")
    return Question(name, kind, at + 5, _size(packet, at + 5) if additional else SMALL)


def _size(packet: bytes, at: int) -> int:
    """The buffer that an OPT record (RFC 6891) right after the question tells of."""
    if len(packet) >= at + 11 and packet[at] == 0:
        kind, size = struct.unpack_from("!HH", packet, at + 1)
        if kind == OPT:
            return max(SMALL, int(size))
    return SMALL


def reply(packet: bytes, question: Question, records: Sequence[bytes], *, limit: int = 65535) -> bytes:
    """The answer to `packet` with as many `records` as `limit` bytes hold; marked where some were left out."""
    head = packet[12 : question.end]
    room = limit - 12 - len(head)
    kept: list[bytes] = []
    for record in records:
        room -= len(record)
        if room < 0:
            break
        kept.append(record)
    flags = _QR | _RA | (packet[2] << 8 & _RD) | (_TC if len(kept) < len(records) else 0)
    return packet[:2] + _HEADER.pack(0, flags, 1, len(kept), 0, 0)[2:] + head + b"".join(kept)


def failure(packet: bytes, code: int) -> bytes:
    """An answer without records that says `code`."""
    question = parse(packet)
    head = packet[12 : question.end] if question else b""
    return packet[:2] + _HEADER.pack(0, _QR | _RA | (packet[2] << 8 & _RD) | code, bool(question), 0, 0, 0)[2:] + head


def code_of(packet: bytes) -> int:
    """The response code of an answer."""
    return packet[3] & 0xF


def address_records(addresses: Iterable[str], kind: int) -> list[bytes]:
    """A or AAAA records for the name that was asked for; addresses of the other family are left out."""
    found = []
    for address in addresses:
        if (":" in address) == (kind == AAAA):
            raw = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, address)
            found.append(b"\xc0\x0c" + struct.pack("!HHIH", kind, IN, TTL, len(raw)) + raw)
    return found


def pointer_record(name: str) -> bytes:
    """A PTR record for what was asked."""
    labels = (label.encode("latin-1", "replace")[:63] for label in name.split(".") if label)
    raw = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return b"\xc0\x0c" + struct.pack("!HHIH", PTR, IN, TTL, len(raw)) + raw


def reverse_name(address: str) -> str:
    """What a PTR question about `address` asks for."""
    if ":" in address:
        digits = socket.inet_pton(socket.AF_INET6, address).hex()
        return ".".join(reversed(digits)) + ".ip6.arpa"
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"
