"""What few containers ask for besides: values, as the user wrote them."""

from __future__ import annotations

from typing import Any

from core.value import Value


class Extras(Value):
    """`groups` are further groups of its user, by name or number. `attached` are the streams that `run -a` joins, empty for
    those that it joins anyway."""

    domainname: str = ""
    groups: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()


def apply(spec: dict[str, Any], extras: Extras) -> None:
    """Put the domain name into the runtime spec."""
    if extras.domainname:
        linux = spec["linux"]
        linux["sysctl"] = {**linux.get("sysctl", {}), "kernel.domainname": extras.domainname}
