"""Debian's docker: its daemon started by hand on a private directory, and its own client."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.suites.apart import ALONE

CLIENT = "/usr/bin/docker"  # Debian's: a newer one elsewhere on the PATH says things differently
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


@contextmanager
def dockerd(work: Path, *, networks: bool = False) -> Iterator[dict[str, str]]:
    """A daemon below `work` while the block runs; gives the environment its client needs. It has no network, or, with `networks`,
    all that it wants in a network namespace of its own, with which its bridges and its rules go.

    Raises RuntimeError, with the end of the daemon's log, where it does not start.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dockerd") as short:  # a socket's path has at most 107 bytes
        env = {
            **os.environ, "PATH": PATH, "DOCKER_HOST": f"unix://{short}/socket", "DOCKER_BUILDKIT": "0",
            "DOCKER_CONFIG": short, "TZ": "UTC",
        }  # fmt: skip
        daemon = _started(work, short, env, "overlay2", networks) or _started(
            work, short, env, "vfs", networks
        )  # no overlay on an overlay
        if daemon is None:
            raise RuntimeError(f"dockerd does not start: {(work / 'log').read_text()[-800:]}")
        try:
            yield env
        finally:
            _end(daemon)


def _started(
    work: Path, short: str, env: dict[str, str], driver: str, networks: bool
) -> subprocess.Popen[bytes] | None:
    apart, walled = (ALONE, ()) if networks else ((), ("--bridge=none", "--iptables=false"))
    with (work / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [*apart, "unshare", "--mount", "dockerd", "--data-root", work / "data", "--exec-root", f"{short}/exec", "-H", env["DOCKER_HOST"],
             "--pidfile", f"{short}/pid", *walled, "--storage-driver", driver],
            stdout=log, stderr=log, env=env, start_new_session=True,
        )  # fmt: skip
    for _ in range(200):
        if daemon.poll() is not None:
            return None
        if subprocess.run([CLIENT, "version"], env=env, capture_output=True).returncode == 0:
            return daemon
        time.sleep(0.1)
    _end(daemon)
    return None


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    daemon.wait(30)
