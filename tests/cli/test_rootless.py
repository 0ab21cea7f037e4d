"""Images as an ordinary user of the machine: built, kept, moved and removed inside the user namespace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.suites.ordinary import Ordinary, first_subordinate

pytestmark = needs("newuidmap", "crun")
DOCKERFILE = """FROM bb
RUN id -u && mkdir /work && chown web /work && chmod 700 /work
COPY --chown=web:web --chmod=600 note /work/note
USER web
RUN cat /work/note && touch /work/mine
"""


@pytest.fixture
def built(user: Ordinary) -> Ordinary:
    """With an image `app`, some of whose files are web's."""
    context = user.home / "context"
    context.mkdir()
    (context / "note").write_text("a note\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    user.lamella("build", "-q", "-t", "app", context)
    return user


def test_a_build_runs_its_steps_as_root_of_the_namespace_and_gives_files_to_whom_they_are_for(built: Ordinary) -> None:
    note = next((built.root / "layers").glob("*/work/note"))
    assert note.stat().st_uid == first_subordinate() + 999
    said = built.lamella(
        "run", "--rm", "--network", "none", "app", "stat", "-c", "%n %u:%g", "/work/note", "/work/mine"
    )
    assert said.stdout == "/work/note 1000:1001\n/work/mine 1000:1001\n"


def test_the_store_is_in_the_users_home_on_overlayfs(built: Ordinary) -> None:
    facts = json.loads(built.lamella("info", "-f", "json").stdout)
    assert facts["DockerRootDir"] == str(built.root)
    assert (facts["Driver"], facts["DefaultRuntime"]) == ("overlay2", "crun")
    assert "name=rootless" in facts["SecurityOptions"]
    assert built.root.stat().st_uid == built.uid


def test_an_image_keeps_its_id_and_its_owners_through_an_archive(built: Ordinary) -> None:
    before = built.lamella("images", "-q", "--no-trunc", "app").stdout
    built.lamella("save", "-o", "app.tar", "app")
    built.lamella("rmi", "-f", "app")
    built.lamella("load", "-q", "-i", "app.tar")
    assert built.lamella("images", "-q", "--no-trunc", "app").stdout == before
    listed = built.lamella("run", "--rm", "--network", "none", "app", "ls", "-n", "/work/note").stdout
    assert listed.split()[2:4] == ["1000", "1001"]


def test_prune_and_rmi_delete_layers_whose_files_are_other_peoples(built: Ordinary) -> None:
    assert any(entry.stat().st_uid != built.uid for entry in (built.root / "layers").rglob("*"))
    built.lamella("rmi", "app", "bb")
    built.lamella("builder", "prune", "-af")
    assert os.listdir(built.root / "layers") == []


def test_it_pushes_to_and_pulls_from_a_registry_that_another_command_of_the_user_serves(built: Ordinary) -> None:
    serving = built.start(built.command("registry", "serve", "--listen", "127.0.0.1:0", "--data", built.home / "data"))
    try:
        name = f"{_address(serving)}/app:1"
        built.lamella("tag", "app", name)
        built.lamella("push", "-q", name)
        id = built.lamella("images", "-q", "--no-trunc", "app").stdout
        built.lamella("rmi", "-f", name, "app")
        built.lamella("pull", "-q", name)
        assert built.lamella("images", "-q", "--no-trunc", name.rpartition(":")[0]).stdout == id
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=20)


def _address(serving: subprocess.Popen[str]) -> str:
    assert serving.stderr is not None
    return serving.stderr.readline().split("http://")[1].split()[0]


def test_every_file_of_a_pulled_image_is_checked_by_fsck(built: Ordinary) -> None:
    assert "all whole" in built.lamella("fsck").stdout


def test_nothing_stays_behind_a_command(user: Ordinary) -> None:
    user.lamella("images")
    assert user.is_quiet()


def test_commands_that_touch_no_layer_make_no_namespace(ordinary: Ordinary) -> None:
    for words in (["version"], ["help"], ["build", "--help"], ["network", "create", "-h"], ["completion", "bash"], []):
        ordinary.lamella(*words)
    assert not (ordinary.home / ".local").exists()


def test_a_containers_own_help_and_a_hosts_name_are_no_call_for_ours(user: Ordinary) -> None:
    said = user.lamella(
        "run", "--rm", "--network", "none", "-h", "web", "bb", "sh", "-c", "echo $(hostname) $0", "--help"
    )
    assert said.stdout == "web --help\n"


def test_two_stores_of_a_user_share_nothing(user: Ordinary) -> None:
    other = user.home / "other"
    user.lamella("--root", other, "images")
    assert user.lamella("--root", other, "images", "-q").stdout == ""
    assert user.lamella("images", "-q").stdout != ""
    assert (other / "run").is_dir()


def test_without_subordinate_ids_there_is_one_line_that_says_what_helps(base_archive: Path) -> None:
    stranger = Ordinary(uid=64999)
    try:
        with base_archive.open("rb") as archive:
            loaded = stranger.lamella("load", "-q", stdin=archive)
        assert loaded.stderr.count("no subordinate IDs") == 1 and "usermod --add-subuids" in loaded.stderr
        said = stranger.lamella("run", "--rm", "--network", "none", "bb", "id", "-u")
        assert said.stdout == "0\n"
    finally:
        stranger.close()
