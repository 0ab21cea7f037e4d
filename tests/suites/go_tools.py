"""Other people's clients that no distribution packages: built once by Go, below `.venv`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PLACE = ROOT / ".venv/go"
PATH = os.environ["PATH"] + ":/usr/local/go/bin"
MODULES = {
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.20.6",
    "oras": "oras.land/oras/cmd/oras@v1.2.3",
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.0.0",
}


def go_tool(name: str) -> Path | None:
    """The program, built now where it was not before; None where it cannot be: there is no Go, or no network."""
    place = PLACE / "bin" / name
    if place.exists():
        return place
    if not shutil.which("go", path=PATH):
        return None
    env = {**os.environ, "PATH": PATH, "GOPATH": str(PLACE), "GOFLAGS": "-modcacherw"}
    done = subprocess.run(["go", "install", MODULES[name]], env=env, capture_output=True, timeout=170)
    return place if done.returncode == 0 else None
