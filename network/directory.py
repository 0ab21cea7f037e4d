"""Who is called what: the names on each network, and what a container gets to hear when it asks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from network import dns

MOST_TURNS = 32  # answers that are kept for one question, each with the addresses in another order
MOST_CACHED = 4096  # questions of one container whose answers are kept
FORWARD = None  # not ours to answer


class Member:
    """A container: the networks it is on (ID → its names and addresses there), and where its other questions go."""

    def __init__(self, id: str, data: dict[str, Any]) -> None:
        self.id = id
        self.networks: dict[str, Any] = data["networks"]
        self.upstreams: list[str] = data["upstreams"]
        self.aliases: dict[str, str] = data.get("aliases", {})  # what it alone calls others
        self.cache: dict[bytes, list[bytes]] = {}


class Directory:
    """All members, and their names by network."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self._remote: dict[str, list[dict[str, Any]]] = {}
        self._names: dict[str, dict[str, list[str]]] = {}
        self._pointers: dict[str, dict[str, str]] = {}

    def put(self, member: Member) -> None:
        """Take a member in, in place of one with its ID."""
        self.members[member.id] = member
        self._rebuild()

    def remove(self, id: str) -> None:
        """Harmless to repeat."""
        if self.members.pop(id, None):
            self._rebuild()

    def put_remote(self, network: str, those: list[dict[str, Any]]) -> None:
        """On that network these are on other hosts, each with `names` and `addresses`; in place of all that were."""
        self._remote[network] = those
        self._rebuild()

    def _rebuild(self) -> None:
        self._names, self._pointers = {}, {}
        called: dict[str, str] = {}
        for member in self.members.values():
            member.cache = {}
            for network, there in member.networks.items():
                called[network] = there["network"]
                self._enter(network, there["network"], there)
        for network, name in called.items():
            for there in self._remote.get(network, ()):
                self._enter(network, name, there)

    def _enter(self, network: str, called: str, there: dict[str, Any]) -> None:
        names = self._names.setdefault(network, {})
        for name in _spellings(there["names"], called):
            found = names.setdefault(name, [])
            found += [address for address in there["addresses"] if address not in found]
        for address in there["addresses"] if there["names"] else ():
            pointer = f"{there['names'][0]}.{called}"
            self._pointers.setdefault(network, {})[dns.reverse_name(address)] = pointer

    def answers(self, member: Member, packet: bytes, question: dns.Question, limit: int) -> list[bytes] | None:
        """The answers to a question about a container, to be given in turn; FORWARD where it is about none."""
        if question.kind == dns.PTR:
            for network in member.networks:
                pointer = self._pointers.get(network, {}).get(question.name)
                if pointer:
                    return [dns.reply(packet, question, [dns.pointer_record(pointer)], limit=limit)]
            return FORWARD
        name = member.aliases.get(question.name, question.name)
        for network in member.networks:
            addresses = self._names.get(network, {}).get(name)
            if addresses is not None:
                return [
                    dns.reply(packet, question, records, limit=limit) for records in _turns(question.kind, addresses)
                ]
        return FORWARD


def _spellings(names: Iterable[str], network: str) -> Iterable[str]:
    for name in names:
        yield name.lower()
        yield f"{name}.{network}".lower()


def _turns(kind: int, addresses: Sequence[str]) -> Iterable[list[bytes]]:
    kinds = (dns.A, dns.AAAA) if kind == dns.ANY else (kind,) if kind in (dns.A, dns.AAAA) else ()
    records = [record for one in kinds for record in dns.address_records(addresses, one)]
    for turn in range(min(len(records), MOST_TURNS) or 1):
        yield records[turn:] + records[:turn]
