"""The main job by each later Python that is here: a start leans on what 3.11's own modules are made of (docs/adr/0010)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT, Lamella, needs

VERSIONS = ("3.12", "3.13", "3.14")


def found() -> list[str]:
    """Their interpreters: Debian's, or pyenv's."""
    ours = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [
        str(path) for version in VERSIONS
        for path in [shutil.which(f"python{version}", path="/usr/bin"), *sorted(ours.glob(f"{version}.*/bin/python"))[:1]] if path
    ]  # fmt: skip


def test_none_is_left_out_where_pyenv_has_them() -> None:
    if not os.environ.get("PYENV_ROOT"):
        pytest.skip("there is no pyenv here")
    assert found()


@needs("crun", "conmon")
@pytest.mark.parametrize("python", found())
def test_it_builds_runs_joins_and_lists(
    lamella: Lamella, base: str, store_root: Path, tmp_path: Path, python: str
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {base}\nRUN echo made >/f\nCOPY Dockerfile /\n")
    env = {**os.environ, "LAMELLA_ROOT": str(store_root), "PYTHONPATH": f"{ROOT}:{sysconfig.get_path('purelib')}"}

    def other(*words: object) -> str:
        # -S: what some .pth file loads would hide what a start does not
        command = [python, "-S", ROOT / "scripts/lamella", *map(str, words)]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    other("build", "-q", "-t", "made", ".")
    assert other("run", "--rm", "--network", "none", "made", "cat", "/f") == "made\n"
    other("run", "-d", "--name", "web", "--network", "none", "made", "sleep", "60")
    assert other("exec", "web", "cat", "/f") == "made\n" and "web" in other("ps")
    assert other("logs", "web") == "" and '"Running": true' in other("inspect", "web")
    other("rm", "-f", "web")
    other("image", "prune", "-af")
    assert other("images", "-q") == "" and other("fsck").endswith("whole\n")
