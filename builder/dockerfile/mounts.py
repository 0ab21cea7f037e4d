"""The values of `RUN --mount=...` (reference: Dockerfile, "RUN --mount")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from builder.dockerfile.expand import Expander

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. `raw` is the text of the flag; where it has variables, the fields that need them are right only once
    expanded. `origin` (from=) is never expanded and names a stage, a context or an image; empty is the build context.

    None and "" mean not given. `size` in bytes, 0 = no limit. `env` is the variable that gets a secret; "" = its id.
    """

    raw: str
    type: MountType = "bind"
    origin: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = True
    id: str = ""
    sharing: Sharing | None = None
    required: bool = False
    size: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None

    def expanded(self, expander: Expander) -> Mount:
        """Read again with variables replaced. Raises ExpansionError for what is no valid mount then."""
        return parse_mount(self.raw, expander)


def parse_mount(raw: str, expander: Expander | None = None) -> Mount:
    """The mount that `raw` describes. Raises ExpansionError. Without `expander`, values with a `$` are left out."""
    raise ValueError(raw)
