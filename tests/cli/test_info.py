"""What an installation says about itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

from core.version import VERSION

Lamella = Callable[..., "CompletedProcess[str]"]


def test_info_has_dockers_keys(lamella: Lamella, store_root: Path) -> None:
    data = json.loads(lamella("info", "--format", "json").stdout)
    assert data["DockerRootDir"] == str(store_root) and data["ServerVersion"] == VERSION
    assert (data["Images"], data["Containers"], data["OSType"]) == (0, 0, "linux")
    assert data["DefaultRuntime"] in {*data["Runtimes"], "chroot"} and data["Driver"] in ("overlay2", "vfs")


def test_info_is_text_or_a_template(lamella: Lamella, store_root: Path) -> None:
    assert f"Root: {store_root}\n" in lamella("info").stdout
    assert lamella("info", "-f", "[{{.Runtimes.nvidia}}] {{.OSType}}").stdout == "[<no value>] linux\n"


def test_version_is_text_or_a_template(lamella: Lamella) -> None:
    assert lamella("version").stdout == f"lamella {VERSION}\n"
    assert lamella("version", "-f", "{{.Client.Version}}").stdout == f"{VERSION}\n"
