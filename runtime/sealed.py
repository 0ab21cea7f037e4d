"""crun from a copy in memory that nobody can write to. Started from its file it makes itself one each time, so that no
container can change the host's (CVE-2019-5736): it mounts and unmounts that file and executes itself once more."""

from __future__ import annotations

import contextlib
import os
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

from core.value import replace
from runtime.engine import Engine

_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE  # what it looks for


def sealed(engine: Engine) -> Engine:
    """The same for this process and what it starts, for as long as it lives; `engine` itself where there is nothing to gain,
    or no way to."""
    if engine.name != "crun":
        return engine
    with contextlib.suppress(OSError), open(engine.path, "rb") as file:
        fd = os.memfd_create("crun", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        content = file.read()
        # Asked of the descriptor: who has entered a keeper's namespaces has no /proc/self there, but what it starts has.
        if os.write(fd, content) == len(content) and os.fstat(fd).st_mode & 0o100:
            fcntl(fd, F_ADD_SEALS, _SEALS)
            return replace(engine, path=f"/proc/self/fd/{fd}")
        os.close(fd)
    return engine
