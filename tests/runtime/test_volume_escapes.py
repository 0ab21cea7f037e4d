"""Links in images and volumes lead nowhere but inside the container."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Lamella, needs

pytestmark = needs("busybox", "crun", "conmon")
Run = Callable[..., str]


class TestEscapes:
    """Links in images and volumes lead nowhere but inside the container."""

    def test_a_target_through_a_link_stays_in_the_root(
        self, run: Run, lamella: Lamella, bb: str, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        lamella(
            "run",
            "--name",
            "seed",
            "--network",
            "none",
            bb,
            "sh",
            "-c",
            f"ln -s {outside} /out; ln -s ../../../../../{outside} /up",
        )
        lamella("commit", "seed", "linked")
        lamella("rm", "seed")
        for target in ("/out", "/up", "/out/deep"):
            assert run("-v", f"data:{target}", f"echo x > {target}/f; ls {target}", image="linked") == "f\n"
        assert not list(outside.iterdir())

    def test_copy_up_through_a_link_stays_in_the_root(
        self, run: Run, lamella: Lamella, bb: str, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret/key").write_text("secret")
        lamella("run", "--name", "seed", "--network", "none", bb, "sh", "-c", f"ln -s {tmp_path}/secret /srv")
        lamella("commit", "seed", "linked")
        lamella("rm", "seed")
        assert run("-v", "data:/srv", "ls /srv", image="linked") == ""

    @pytest.mark.parametrize("link", ["/etc", "../../../../../../etc", "up/../../../etc"])
    def test_a_subpath_that_leads_out_is_refused(self, run: Run, lamella: Lamella, bb: str, link: str) -> None:
        run("-v", "data:/d", f"mkdir /d/up; ln -s {link} /d/link")
        done = lamella(
            "run",
            "--rm",
            "--network",
            "none",
            "--mount",
            "source=data,target=/x,volume-subpath=link",
            bb,
            "ls",
            "/x",
            check=False,
        )
        assert (
            done.returncode == 125 and "subpath 'link' of volume data is not in it" in done.stderr and done.stdout == ""
        )

    @pytest.mark.parametrize("subpath", ["..", "../..", "/etc", "a/../../x"])
    def test_a_subpath_of_dots_is_refused(self, lamella: Lamella, bb: str, subpath: str) -> None:
        lamella("volume", "create", "data")
        mount = f"source=data,target=/x,volume-subpath={subpath}"
        done = lamella("run", "--rm", "--network", "none", "--mount", mount, bb, "ls", "/x", check=False)
        assert done.returncode == 125 and done.stdout == ""

    def test_a_subpath_that_changes_while_it_is_mounted_never_leads_out(
        self, run: Run, lamella: Lamella, bb: str
    ) -> None:
        run("-v", "data:/d", "mkdir -p /d/a/b; touch /d/a/b/inside")
        race = "while true; do mv /d/a /d/z; ln -s / /d/a; rm /d/a; mv /d/z /d/a; done"
        lamella("run", "-d", "--name", "racer", "--network", "none", "-v", "data:/d", bb, "sh", "-c", race)
        seen = set()
        for _ in range(12):
            done = lamella(
                "run",
                "--rm",
                "--network",
                "none",
                "--mount",
                "source=data,target=/x,volume-subpath=a/b",
                bb,
                "ls",
                "/x",
                check=False,
            )
            seen.add((done.returncode, done.stdout))
        lamella("rm", "-f", "racer")
        assert seen <= {(0, "inside\n"), (125, "")}
