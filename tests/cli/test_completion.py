"""Completion in shells, and help."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import COMMANDS, LazyGroup, lamella, load
from store.holds import Hold
from store.images import Image
from store.store import Store

Cli = Callable[..., tuple[int, str, str]]
Make = Callable[..., Image]
ROOT = Path(__file__).parent.parent.parent


def completed(store: Store, words: str) -> list[str]:
    """What bash is offered for the line `words`."""
    from click.shell_completion import ShellComplete

    *before, incomplete = words.split(" ")[1:]
    complete = ShellComplete(lamella, {}, "lamella", "_LAMELLA_COMPLETE")
    return [item.value for item in complete.get_completions(["--root", str(store.root), *before], incomplete)]


def test_commands_and_options_are_completed(store: Store) -> None:
    assert completed(store, "lamella imag") == ["images", "image"]
    assert completed(store, "lamella image pr") == ["prune"]
    assert "--no-trunc" in completed(store, "lamella images --no")


def test_images_and_containers_are_completed(store: Store, make: Make) -> None:
    image = make("app:1", "localhost:5000/app:2")
    store.holds.set(Hold("container", "c" * 64, "apache", image.id, True))
    assert completed(store, "lamella rmi ap") == ["app", "app:1"]
    assert completed(store, "lamella tag localhost:5000/") == ["localhost:5000/app", "localhost:5000/app:2"]
    assert completed(store, f"lamella history {image.id.hex[:4]}") == [image.id.short]
    assert completed(store, "lamella inspect ap") == ["apache", "app", "app:1"]
    assert completed(store, "lamella run ap") == completed(store, "lamella push ap") == ["app", "app:1"]
    store.holds.set(Hold("container", "d" * 64, "april", image.id, False))
    for command in ("rm", "logs", "start", "wait", "container rm"):
        assert completed(store, f"lamella {command} ap") == ["apache", "april"]
    for command in ("stop", "kill", "exec"):
        assert completed(store, f"lamella {command} ap") == ["apache"]
    for command in ("restart", "rename", "update", "port", "stats", "pause", "top"):
        assert "apache" in completed(store, f"lamella {command} ap")
    assert completed(store, "lamella cp ap") == ["apache:", "april:"]
    assert completed(store, "lamella cp apache:/etc/x ./y") == ["./y"]


def test_drivers_of_networks_are_completed(store: Store) -> None:
    name = f"lamella-test-{os.urandom(4).hex()}"
    path = Path(f"/run/docker/plugins/{name}.sock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(path))
    except PermissionError:
        pytest.skip("needs root")
    try:
        assert completed(store, "lamella network create -d m") == ["macvlan"]
        assert completed(store, f"lamella network create --driver {name[:17]}") == [name]
        assert {"bridge", "macvlan", name} <= set(completed(store, "lamella network create -d "))
        assert completed(store, "lamella network create -d nu") == []
    finally:
        path.unlink()


def test_an_unknown_command_completes_to_nothing(store: Store) -> None:
    assert completed(store, "lamella rmx ap") == []


def test_pressing_tab_makes_no_store(tmp_path: Path) -> None:
    from click.shell_completion import ShellComplete

    complete = ShellComplete(lamella, {}, "lamella", "_LAMELLA_COMPLETE")
    assert complete.get_completions(["--root", str(tmp_path / "none"), "rmi"], "a") == []
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(cli: Cli, shell: str) -> None:
    code, out, _ = cli("completion", shell)
    assert code == 0 and f"_LAMELLA_COMPLETE={shell}_complete" in out and "%(" not in out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=out, text=True, check=True)


def test_bash_really_completes(cli: Cli, store: Store, make: Make, tmp_path: Path) -> None:
    make("myapp:1")
    script = cli("completion", "bash").out
    (tmp_path / "lamella").write_text(f'#!/bin/sh\nexec {sys.executable} -m lamella "$@"\n')
    (tmp_path / "lamella").chmod(0o755)
    ask = f'{script}\nCOMP_WORDS=(lamella rmi my) COMP_CWORD=2\n_lamella_completion lamella\necho "${{COMPREPLY[@]}}"'
    env = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LAMELLA_ROOT": str(store.root),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.split() == ["myapp", "myapp:1"]


def test_help_groups_the_commands(cli: Cli) -> None:
    code, out, _ = cli("help")
    assert code == 0
    places = [out.index(title) for title in ("Build and move:", "Images:", "Containers:", "lamella:")]
    assert places == sorted(places) and out == cli("--help").out


def test_help_goes_down_the_tree(cli: Cli) -> None:
    assert cli("help", "image", "prune").out == cli("image", "prune", "--help").out
    code, _, err = cli("help", "imges")
    assert code == 2 and "did you mean 'images'?" in err
    assert cli("help", "tag", "x").code == 2


def commands() -> list[str]:
    """`image ls` and the like: every command that is no group, and is shown."""
    found = []
    for name, (target, _) in COMMANDS.items():
        command = load(target)
        below = command.table if isinstance(command, LazyGroup) else {}
        found += [f"{name} {word}" for word in below] or [name]
    return found


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(cli: Cli, name: str) -> None:
    code, out, _ = cli(*name.split(" "), "--help")
    assert code == 0 and "Example" in out and "\n  lamella" in out.replace("    lamella", "  lamella")
