"""The sockets inside a sandbox on which the steward is asked, and the rules that lead port 53 of 127.0.0.11 to them.

They listen on ports of their own, so that a name server in the container may have its port 53.
"""

from __future__ import annotations

import _socket as socket  # as in `network.visiting`
import contextlib
from collections.abc import Iterator

from network.firewall import nft_beside
from network.resolv import OWN
from network.sandbox import Sandbox

_RULES = """
table ip lamella_names
delete table ip lamella_names
table ip lamella_names {{
 chain out {{
  type nat hook output priority -100; policy accept;
  ip daddr {own} udp dport 53 dnat to {own}:{udp}
  ip daddr {own} tcp dport 53 dnat to {own}:{tcp}
 }}
}}
"""


@contextlib.contextmanager
def asked_in(sandbox: Sandbox) -> Iterator[list[int]]:
    """The descriptors of a UDP and a TCP socket in the sandbox, closed after the block, when the rules are there as well.
    Replaces what was there before."""
    with contextlib.ExitStack() as stack:
        with sandbox.entered():
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            for sock in (udp, tcp):
                stack.callback(sock.close)
                sock.bind((OWN, 0))
            tcp.listen(16)
            rules = _RULES.format(own=OWN, udp=udp.getsockname()[1], tcp=tcp.getsockname()[1])
            stack.enter_context(nft_beside(rules))
        yield [udp.fileno(), tcp.fileno()]
