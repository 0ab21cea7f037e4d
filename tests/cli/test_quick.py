"""`run`, `exec` and `build` are read without click where they are plain: both must read the same, and doubt must go to click."""

from __future__ import annotations

import shlex

import pytest

from cli.build import build
from cli.exec import exec_
from cli.ps import ps
from cli.quick import parse_build, parse_exec, parse_ps, parse_run, quick
from cli.run import run

PLAIN = [
    "bb", "bb true", "--rm --network none bb true", "--rm -it bb sh -c 'echo x'", "-d --name web -p 80:80 -p 81:81 bb",
    "-e A=1 --env B=2 --env-file=f -v /a:/b bb env", "--stop-timeout 7 --pull always bb", "--network=none --entrypoint= bb",
    "-w /x -u web -h box --label a=b -l c=d bb --rm -x --", "-itd --init --read-only bb", "--name=a=b bb",
    "-a stdout --attach stderr bb", "--net host bb -- ls",
]  # fmt: skip
DOUBTFUL = [
    "", "--rm", "--help", "-h", "--no-such bb", "-x bb", "-dp 80:80 bb", "-eA=1 bb", "--rm=false bb", "--rm=true bb", "-- bb",
    "--pull sometimes bb", "--stop-timeout soon bb", "--no-sig-proxy bb", "--sig-proxy=false bb", "--use-api-socket bb", "--nam x bb",
]  # fmt: skip


@pytest.mark.parametrize("line", PLAIN)
def test_what_is_plain_is_read_as_click_reads_it(line: str) -> None:
    words = shlex.split(line)
    assert parse_run(words, {}) == run.make_context("run", list(words)).params


@pytest.mark.parametrize("line", DOUBTFUL)
def test_what_is_doubtful_is_left_to_click(line: str) -> None:
    assert parse_run(shlex.split(line), {}) is None


PLAIN_EXECS = ["web true", "-it web sh -c 'echo x'", "-e A=1 --env B=2 -u web -w /x web env", "-d --privileged --user=0:0 web id -u", "--detach-keys ctrl-x web ls --"]  # fmt: skip
DOUBTFUL_EXECS = [
    "",
    "web",
    "-it web",
    "--help",
    "-h web true",
    "-uroot web id",
    "--no-such web true",
    "-- web true",
    "-w",
]


@pytest.mark.parametrize("line", PLAIN_EXECS)
def test_so_is_a_plain_exec(line: str) -> None:
    words = shlex.split(line)
    assert parse_exec(words, {}) == exec_.make_context("exec", list(words)).params


@pytest.mark.parametrize("line", DOUBTFUL_EXECS)
def test_a_doubtful_exec_is_left_to_click(line: str) -> None:
    assert parse_exec(shlex.split(line), {}) is None


@pytest.mark.parametrize(
    "line", ["", "-a", "-aq", "-q --no-trunc -f status=exited --filter name=web", "-n 3 -s", "-l --format json"]
)
def test_so_is_a_plain_ps(line: str) -> None:
    words = shlex.split(line)
    assert parse_ps(words, {}) == ps.make_context("ps", list(words)).params


@pytest.mark.parametrize("line", ["x", "-a x", ".", "--help", "-h", "-n", "-n -1", "-n3", "--all=true", "-x"])
def test_a_doubtful_ps_is_left_to_click(line: str) -> None:
    assert parse_ps(shlex.split(line), {}) is None


PLAIN_BUILDS = [
    ".", "-", "-t app .", ". -t app", "-t app -t app:2 --build-arg A=1 --build-arg B . --label x=y", "-q --no-cache --pull dir",
    "-f=x .".replace("=", " "), "--file=deploy/Dockerfile --target test .", "--network none --progress=plain --platform linux/amd64 .",
    "--add-host a:1.2.3.4 --no-cache-filter one,two --iidfile id .",
]  # fmt: skip
DOUBTFUL_BUILDS = [
    "", "-t", "-t app", ". ..", "--help", "-h .", "--rm .", "--network bridge .", "-f=x .", "-tapp .", "--no-cache=false .", "--output x .", "-- .",
]  # fmt: skip


@pytest.mark.parametrize("line", PLAIN_BUILDS)
@pytest.mark.parametrize("environ", [{}, {"BUILDKIT_PROGRESS": "plain"}, {"DOCKER_DEFAULT_PLATFORM": "linux/arm64"}])
def test_so_is_a_plain_build(line: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    words = shlex.split(line)
    assert parse_build(words, environ) == build.make_context("build", list(words)).params


@pytest.mark.parametrize("line", DOUBTFUL_BUILDS)
def test_a_doubtful_build_is_left_to_click(line: str) -> None:
    assert parse_build(shlex.split(line), {}) is None


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--root", "/x", "run", "bb"],
        ["images"],
        ["container", "ps"],
        ["container", "run", "bb"],
        ["--debug", "run", "bb"],
    ],
)
def test_other_commands_are_for_click(argv: list[str]) -> None:
    assert quick(argv, {}) is None


@pytest.mark.parametrize("name", ["LAMELLA_NO_SYNC", "LAMELLA_DEBUG", "_LAMELLA_COMPLETE"])
def test_so_is_what_the_environment_changes(name: str) -> None:
    assert quick(["run", "bb"], {name: "1"}) is None
