"""RUN --device: devices as the files of the Container Device Interface describe them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builder.conftest import Build, Built
from tests.conftest import needs

pytestmark = needs("crun")

KIND = {"cdiVersion": "0.6.0", "kind": "vendor1.com/device"}
DeviceBuild = Callable[..., Built]


def device(name: str, edits: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "containerEdits": edits or {"env": [f"DEVICE_{name}=yes"]}, **more}


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """Two devices, of which one has a class; what needs a node and a mount; and what needs a hook."""
    (tmp_path / "library").write_text("from the vendor\n")
    one = device("one", annotations={"org.mobyproject.buildkit.device.class": "fast"})
    node = {"path": "/dev/mine", "hostPath": "/dev/full", "fileMode": 0o640, "gid": 50, "permissions": "r"}
    mount = {"hostPath": os.fspath(tmp_path / "library"), "containerPath": "/usr/lib/vendor", "options": ["ro", "bind"]}
    card = device("card", {"deviceNodes": [node], "mounts": [mount]})
    hooked = device("hooked", {"hooks": [{"hookName": "createContainer", "path": "/bin/true"}]})
    gone = device("gone", {"deviceNodes": [{"path": "/dev/is-not-there"}]})
    spec = KIND | {"devices": [one, device("two"), card, hooked, gone], "containerEdits": {"env": ["KIND=here"]}}
    directory = tmp_path / "cdi"
    directory.mkdir()
    (directory / "vendor1.yaml").write_text(json.dumps(spec))  # JSON is YAML, too
    return directory


@pytest.fixture
def run(build: Build, described: Path, tmp_path: Path) -> DeviceBuild:
    """run(device, script, *options): a build of that RUN, with every device allowed unless options say what is."""

    def go(name: str, script: str, *options: str, check: bool = True) -> Built:
        text = f"FROM bb\nRUN --device={name} {script}\n"
        options = options or ("--allow=device",)
        return build(text, *options, check=check, env={"LAMELLA_CDI": f"{tmp_path}/none:{described}:{tmp_path}/later"})

    return go


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("vendor1.com/device=two", ["DEVICE_two=yes", "KIND=here"]),
        ("name=vendor1.com/device=two,required", ["DEVICE_two=yes", "KIND=here"]),
        ("fast", ["DEVICE_one=yes", "KIND=here"]),
        ("vendor1.com/device=three", ["there is no device vendor1.com/device=three here, so it runs without"]),
    ],
)
def test_a_device_is_meant_by_its_name_or_its_class(run: DeviceBuild, name: str, seen: list[str]) -> None:
    assert sorted(run(name, "env | grep -E '^(DEVICE|KIND)' || true").printed()) == seen


def test_a_kind_alone_is_its_first_and_a_star_all(run: DeviceBuild, described: Path) -> None:
    (described / "other.json").write_text(
        json.dumps({"cdiVersion": "0.6.0", "kind": "v/c", "devices": [device("b"), device("a")]})
    )
    assert run("v/c", "env | grep DEVICE").printed() == ["DEVICE_a=yes"]
    assert sorted(run("v/c=*", "env | grep DEVICE").printed()) == ["DEVICE_a=yes", "DEVICE_b=yes"]


def test_nodes_and_mounts_are_there_for_the_step_alone(run: DeviceBuild, lamella: Any) -> None:
    script = "stat -c '%F %a %g' /dev/mine; head -c 3 /dev/mine | wc -c; cat /usr/lib/vendor; echo x >/usr/lib/vendor || true"
    done = run("vendor1.com/device=card", script, "--allow=device", "-t", "app")
    assert done.printed()[:3] == ["character special file 640 50", "3", "from the vendor"]
    assert "Read-only file system" in done.said
    data = json.loads(lamella("image", "inspect", "app").stdout)[0]["GraphDriver"]["Data"]
    assert os.listdir(data["UpperDir"]) == []


def test_a_build_gets_only_what_it_is_allowed(run: DeviceBuild, described: Path) -> None:
    name, script = "vendor1.com/device=two", "env | grep DEVICE"
    done = run(name, script, "--allow=security.insecure", check=False)
    assert done.code == 1
    assert f"Dockerfile:2: device {name} is requested by the build but not allowed" in done.said
    done = run(name, script, "--allow=device=vendor1.com/device=one", check=False)
    assert done.code == 1 and "not allowed" in done.said
    for right in (f"device={name}", "device=vendor1.com/device=*"):
        assert run(name, f"{script} # {right}", f"--allow={right}").printed() == ["DEVICE_two=yes"]
    free = device("free", annotations={"org.mobyproject.buildkit.device.autoallow": "true"})
    (described / "free.json").write_text(json.dumps({"cdiVersion": "0.6.0", "kind": "v/c", "devices": [free]}))
    assert run("v/c=free", script, "--no-cache").printed() == ["DEVICE_free=yes"]


def test_which_devices_a_step_gets_is_in_its_key(run: DeviceBuild) -> None:
    script = "env | grep -c DEVICE || true"
    assert run("vendor1.com/device=two", script).printed() == ["1"]
    assert run("vendor1.com/device=two", script).printed() == []
    assert run("vendor1.com/device=*,required", script, "--allow=device", check=False).code == 1  # one has a hook
    assert run("vendor1.com/device=one", script).printed() == ["1"]


@pytest.mark.parametrize(
    "edits",
    [
        {"env": ["DEVICE_two=other"]},
        {"deviceNodes": [{"path": "/dev/null"}]},
        {"deviceNodes": [{"path": "/dev/null", "permissions": "r"}]},
        {"mounts": [{"hostPath": "/usr/lib", "containerPath": "/opt/lib"}]},
    ],
)
def test_a_device_that_is_described_anew_under_its_name_runs_the_step_again(
    run: DeviceBuild, tmp_path: Path, edits: dict[str, Any]
) -> None:
    (tmp_path / "later").mkdir()

    def printed(edits: dict[str, Any], **more: Any) -> list[str]:
        spec = KIND | {"devices": [device("two", {"env": ["A=1"]} | edits)]} | more
        (tmp_path / "later/it.json").write_text(json.dumps(spec))
        return run("vendor1.com/device=two", "echo ran").printed()

    assert printed({}) == ["ran"] and printed({}) == []
    assert printed(edits) == ["ran"]
    assert printed(edits, annotations={"what": "is only told of it"}) == []


def test_a_later_directory_wins(run: DeviceBuild, tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    spec = KIND | {"devices": [device("two", {"env": ["DEVICE_two=later"]})]}
    (tmp_path / "later/it.json").write_text(json.dumps(spec))
    assert run("vendor1.com/device=two", "env | grep DEVICE").printed() == ["DEVICE_two=later"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vendor1.com/device=three,required", "there is no device vendor1.com/device=three here"),
        ("vendor1.com/device=hooked", "the device vendor1.com/device=hooked needs hooks, which lamella has not"),
        ("vendor1.com/device=gone", "/dev/is-not-there is no device node of this machine"),
    ],
)
def test_what_cannot_be_given_is_said_with_its_line(run: DeviceBuild, name: str, said: str) -> None:
    done = run(name, "true", check=False)
    assert done.code == 1 and f"Dockerfile:2: {said}" in done.said and "Traceback" not in done.said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: v/c\ndevices: []\n", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[]", "it is no description of devices"),
        (
            json.dumps(KIND | {"devices": [device("x", {"deviceNodes": [{"path": "/x", "uid": 1e999}]})]}),
            "no description",
        ),
        ('{"kind": "v/c", "devices": [{"name": "x", "containerEdits": {"deviceNodes": [1]}}]}', "no description"),
        (json.dumps(KIND | {"devices": [device("two")]}), "the device vendor1.com/device=two is described twice"),
    ],
)
def test_a_file_that_is_wrong_is_named(run: DeviceBuild, described: Path, text: str, said: str) -> None:
    (described / "wrong.yml").write_text(text)
    done = run("vendor1.com/device=two", "true", check=False)
    assert done.code == 1 and said in done.said and os.fspath(described) in done.said and "Traceback" not in done.said


def test_what_is_no_file_is_passed_by(run: DeviceBuild, described: Path) -> None:
    (described / "directory.json").mkdir()
    (described / "nowhere.json").symlink_to("nowhere")
    os.mkfifo(described / "pipe.json")
    assert run("vendor1.com/device=two", "env | grep DEVICE").printed() == ["DEVICE_two=yes"]
