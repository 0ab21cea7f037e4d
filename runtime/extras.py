"""What few containers ask for besides: values, as the user wrote them."""

from __future__ import annotations

from typing import Any

from core.value import Value


class Extras(Value):
    """`groups` are further groups of its user, by name or number. `attached` are the streams that `run -a` joins, empty for
    those that it joins anyway. `annotations` are `KEY=VALUE` for the runtime."""

    domainname: str = ""
    groups: tuple[str, ...] = ()
    attached: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()

    def annotated(self) -> dict[str, str]:
        """The annotations by name."""
        return {key: value for key, _, value in (text.partition("=") for text in self.annotations)}


def apply(spec: dict[str, Any], extras: Extras) -> None:
    """Put the domain name and the annotations into the runtime spec."""
    if extras.annotations:
        spec["annotations"] = {**extras.annotated(), **spec.get("annotations", {})}
    if extras.domainname:
        linux = spec["linux"]
        linux["sysctl"] = {**linux.get("sysctl", {}), "kernel.domainname": extras.domainname}
