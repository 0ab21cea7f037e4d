"""Platforms: what an image runs on (image-spec image-index.md "platform"), in containerd's normal form."""

from __future__ import annotations

import functools
import os

from core.errors import InvalidInput
from core.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self

_ARCHITECTURES = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "armv7l": "arm",
    "armv6l": "arm", "i386": "386", "i486": "386", "i586": "386", "i686": "386",
}  # fmt: skip


class Platform(Value):
    """`os/architecture[/variant]`; the OS version is only compared where both sides have one."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """`linux/arm64/v8`, `linux/amd64`, or a bare `arm64`/`linux`. Raises InvalidInput."""
        parts = text.lower().split("/")
        if not all(parts) or len(parts) > 3:
            raise InvalidInput(f"invalid platform: {text!r}", "write it as os/architecture, such as linux/arm64")
        if len(parts) == 1:
            host = host_platform()
            parts = [parts[0], host.architecture] if parts[0] in ("linux", "windows", "darwin") else [host.os, parts[0]]
        return cls._normal(parts[0], parts[1], parts[2] if len(parts) > 2 else "")

    @classmethod
    def _normal(cls, os_name: str, architecture: str, variant: str, os_version: str = "") -> Self:
        known = _ARCHITECTURES.get(architecture, architecture)
        if known == "arm" and not variant:
            variant = {"armel": "v6", "armv6l": "v6"}.get(architecture, "v7")
        if (known, variant) in (("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")):
            variant = ""
        return cls(os_name, known, f"v{variant}" if variant.isdigit() else variant, os_version)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From an index's `platform` or an image config; missing fields read as unknown."""
        names = [_plain(data.get(name)) for name in ("os", "architecture", "variant", "os.version")]
        return cls._normal(names[0] or "unknown", names[1] or "unknown", names[2], names[3])

    def to_json(self) -> dict[str, str]:
        data = {"architecture": self.architecture, "os": self.os}
        return (
            data
            | ({"variant": self.variant} if self.variant else {})
            | ({"os.version": self.os_version} if self.os_version else {})
        )

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def accepts(self, offered: Platform) -> int:
        """How well `offered` serves a request for this one: 0 not at all, more is better."""
        if (self.os, self.architecture) != (offered.os, offered.architecture):
            return 0
        if self.variant == offered.variant:
            return 10
        if self.architecture == "arm" and offered.variant <= self.variant:
            number = offered.variant.lstrip("v")
            return 1 + (int(number) if number.isdecimal() and len(number) == 1 else 0)
        return 1 if not self.variant or not offered.variant else 0


def _plain(name: object) -> str:
    """What an image calls its platform, without what a terminal would take for a command."""
    return "".join(c if c.isprintable() else "?" for c in str(name or "")[:100])


@functools.cache
def host_platform() -> Platform:
    """What this machine runs."""
    return Platform._normal("linux", os.uname().machine, "")
