"""Volumes that plug-ins keep, in real containers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Lamella, needs
from tests.suites.plugged import example, plugin

pytestmark = needs("busybox", "crun", "conmon")
Run = Callable[..., str]


class TestPlugins:
    """A plug-in that keeps its volumes as directories, in the place where Docker looks for plug-ins."""

    @pytest.fixture
    def kept(self, tmp_path: Path) -> Path:
        path = tmp_path / "kept"
        path.mkdir()
        return path

    def answer(self, kept: Path, method: str, body: dict[str, object]) -> object:
        place = kept / str(body.get("Name"))
        if method == "Plugin.Activate":
            return {"Implements": ["VolumeDriver"]}
        if method == "VolumeDriver.Create":
            place.mkdir(exist_ok=True)
        elif method == "VolumeDriver.Remove":
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
        elif method in ("VolumeDriver.Mount", "VolumeDriver.Path"):
            return {"Mountpoint": str(place)}
        elif method == "VolumeDriver.Get":
            return {"Volume": {"Name": place.name, "Mountpoint": str(place), "Status": {"full": False}}}
        elif method == "VolumeDriver.List":
            return {"Volumes": [{"Name": one.name, "Mountpoint": str(one)} for one in kept.iterdir()]}
        elif method == "VolumeDriver.Capabilities":
            return {"Capabilities": {"Scope": "global"}}
        return {}

    def test_a_plugin_keeps_a_volume_from_create_to_rm(self, run: Run, lamella: Lamella, kept: Path) -> None:
        name = f"lamella-test-{os.urandom(4).hex()}"
        sockets = Path("/run/docker/plugins")
        sockets.mkdir(parents=True, exist_ok=True)
        with plugin(sockets / f"{name}.sock", lambda method, body: self.answer(kept, method, body)) as calls:
            lamella("volume", "create", "-d", name, "-o", "colour=red", "plugged")
            assert ("VolumeDriver.Create", {"Name": "plugged", "Opts": {"colour": "red"}}) in calls
            run("-v", "plugged:/d", "echo hi > /d/f")
            assert (kept / "plugged/f").read_text() == "hi\n"
            mounted = [body["ID"] for method, body in calls if method == "VolumeDriver.Mount"]
            assert mounted and mounted == [body["ID"] for method, body in calls if method == "VolumeDriver.Unmount"]
            described = json.loads(lamella("volume", "inspect", "plugged").stdout)[0]
            assert (described["Driver"], described["Scope"], described["Status"]) == (name, "global", {"full": False})
            assert described["Mountpoint"] == str(kept / "plugged")
            (kept / "foreign").mkdir()
            assert lamella("volume", "ls", "--format", "{{.Driver}} {{.Name}}").stdout.split() == [
                name,
                "foreign",
                name,
                "plugged",
            ]
            run("--volume-driver", name, "-v", "/anon", "-v", "plugged2:/d", "touch /anon/x /d/x")
            assert (kept / "plugged2/x").exists() and len(list(kept.iterdir())) == 3
            assert lamella("volume", "export", "plugged").stdout.count("hi\n") == 1
            lamella("volume", "rm", "plugged", "plugged2", "foreign")
            assert not list(kept.iterdir())

    def test_what_a_plugin_refuses_is_said_and_nothing_is_made(self, lamella: Lamella, bb: str, kept: Path) -> None:
        name = f"lamella-test-{os.urandom(4).hex()}"
        refused = {"VolumeDriver.Create": {"Err": "no room"}}

        def answer(method: str, body: dict[str, object]) -> object:
            return refused.get(method) or self.answer(kept, method, body)

        with plugin(Path("/run/docker/plugins") / f"{name}.sock", answer):
            done = lamella("volume", "create", "-d", name, "x1", check=False)
            assert done.returncode == 1 and done.stderr.startswith("lamella: create x1: no room\n")
            assert (
                lamella("run", "--rm", "--volume-driver", name, "-v", "x1:/x", bb, "true", check=False).returncode
                == 125
            )
            refused["VolumeDriver.Create"] = {}
            refused["VolumeDriver.Mount"] = {"Mountpoint": "../../etc"}
            lamella("volume", "create", "-d", name, "x1")
            for flags in (["--rm"], ["-d"]):
                done = lamella("run", *flags, "--network", "none", "-v", "x1:/x:nocopy", bb, "true", check=False)
                assert done.returncode == 125 and "gives no directory for the volume x1: '../../etc'" in done.stderr
            refused["VolumeDriver.Remove"] = {"Err": "busy"}
            for container in lamella("ps", "-aq").stdout.split():
                lamella("rm", container)
            assert lamella("volume", "rm", "x1", check=False).stderr.startswith("lamella: busy\n")
            lamella("volume", "rm", "-f", "x1")

    def test_the_example_is_a_plugin(self, run: Run, lamella: Lamella, tmp_path: Path) -> None:
        with example("volume-plugin", tmp_path / "kept") as plugin:
            lamella("volume", "create", "-d", plugin.name, "data")
            run("-v", "data:/d", "echo hi > /d/f")
            assert (tmp_path / "kept/data/f").read_text() == "hi\n"
            assert lamella("volume", "inspect", "-f", "{{.Status.files}}", "data").stdout == "1\n"
            assert lamella("volume", "create", "-d", plugin.name, ".bad", check=False).returncode == 1
            lamella("volume", "rm", "data")
            assert not (tmp_path / "kept/data").exists()
        assert not Path(f"/run/docker/plugins/{plugin.name}.sock").exists()
