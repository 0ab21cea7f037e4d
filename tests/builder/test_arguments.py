"""ARG and what it means where (reference: Dockerfile, "ARG"): scopes, precedence, what is there without one."""

from __future__ import annotations

import subprocess

import pytest

from builder.ops.run import RunOp
from image.platform import host_platform
from tests.conftest import needs
from tests.suites.checked import planner_of

HOST = host_platform()

# the Dockerfile (LOOK: a RUN that prints what follows), the build args, and what is printed
CASES = {
    "a global one is not in a stage": ("ARG v=1\nFROM bb\nLOOK [$v]", {}, ["[]"]),
    "a bare one brings it in": ("ARG v=1\nFROM bb\nARG v\nLOOK [$v]", {}, ["[1]"]),
    "a default of the stage wins over it": ("ARG v=1\nFROM bb\nARG v=2\nLOOK [$v]", {}, ["[2]"]),
    "a build arg wins over both": ("ARG v=1\nFROM bb\nARG v=2\nLOOK [$v]", {"v": "3"}, ["[3]"]),
    "an empty build arg is a value": ("FROM bb\nARG v=2\nLOOK [${v-unset}]", {"v": ""}, ["[]"]),
    "a bare one without a value is unset": ("FROM bb\nARG v\nLOOK [${v-unset}]", {}, ["[unset]"]),
    "an empty default is a value": ("FROM bb\nARG v=\nLOOK [${v-unset}]", {}, ["[]"]),
    "it begins where it stands": ("FROM bb\nLABEL a=${v:-none}\nLOOK [$v]\nARG v=1\nLOOK [$v]", {"v": "2"}, ["[]", "[2]"]),
    "a later one wins": ("FROM bb\nARG v=1\nARG v=2\nLOOK [$v]", {}, ["[2]"]),
    "defaults see those before them": ("ARG a=1\nARG b=${a}2\nFROM bb\nARG b\nARG c=${b}3\nLOOK [$c]", {}, ["[123]"]),
    "in one instruction too": ("FROM bb\nARG a=1 b=${a}2\nLOOK [$b]", {}, ["[12]"]),
    "with the build arg's value": ("ARG a=1\nARG b=${a}2\nFROM bb\nARG b\nLOOK [$b]", {"a": "9"}, ["[92]"]),
    "a default that is not needed is not read": ("FROM bb\nARG v=${no:?must be set}\nLOOK [$v]", {"v": "1"}, ["[1]"]),
    "a stage from a stage has it": ("FROM bb AS one\nARG v=1\nFROM one\nLOOK [$v]", {}, ["[1]"]),
    "another stage has not": ("FROM bb AS one\nARG v=1\nRUN true\nFROM bb\nCOPY --from=one /etc/group /g\nLOOK [$v]", {},
                              ["[]"]),
    "ENV wins over one before it": ("FROM bb\nARG v=1\nENV v=2\nLOOK [$v]", {"v": "3"}, ["[2]"]),
    "one with a value wins over ENV before it": ("FROM bb\nENV v=2\nARG v=1\nLOOK [$v]", {}, ["[1]"]),
    "one without a value does not": ("FROM bb\nENV v=2\nARG v\nLOOK [$v]", {}, ["[2]"]),
    "several in one line": ("FROM bb\nARG a=1 b c='x y'\nLOOK [$a$b$c]", {}, ["[1x y]"]),
    "names are case-sensitive": ("FROM bb\nARG v=1\nLOOK [$V]", {}, ["[]"]),
    "platforms": (
        "ARG TARGETOS\nFROM bb\nARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDARCH BUILDOS\n"
        "LOOK $TARGETPLATFORM $TARGETARCH [$TARGETVARIANT] $BUILDPLATFORM $BUILDARCH $BUILDOS", {},
        [f"{HOST} {HOST.architecture} [{HOST.variant}] {HOST} {HOST.architecture} {HOST.os}"],
    ),
    "platforms are not there unasked": ("FROM bb\nLOOK [$TARGETARCH]", {}, ["[]"]),
    "platforms can be given": ("FROM bb\nARG TARGETARCH\nLOOK [$TARGETARCH]", {"TARGETARCH": "mine"}, ["[mine]"]),
    "the target's name": ("FROM bb\nARG TARGETSTAGE\nLOOK [$TARGETSTAGE]", {}, ["[default]"]),
    "in FROM": ("ARG base=nope\nFROM ${base}\nLOOK x", {"base": "bb"}, ["x"]),
    "what a scan is told is no variable": (
        "FROM bb\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nLOOK [$BUILDKIT_SBOM_SCAN_STAGE]", {}, ["[]"],
    ),
}  # fmt: skip


def printed(text: str, args: dict[str, str]) -> list[str]:
    """What the RUN steps of the target print: each is run by the shell of this machine, with what a container's would get."""
    said = []
    for step in planner_of(text, args).plan().steps:
        if isinstance(step.op, RunOp):
            environ = dict(pair.split("=", 1) for pair in (*step.op.hidden, *step.op.env))
            said.append(subprocess.run(step.op.argv, env=environ, capture_output=True, text=True, check=True).stdout)
    return "".join(said).splitlines()


@pytest.mark.parametrize("name", CASES)
def test_what_a_run_sees(name: str) -> None:
    text, args, expected = CASES[name]
    lines = [f'RUN echo "{line[5:]}"' if line.startswith("LOOK ") else line for line in text.split("\n")]
    assert printed("\n".join(lines), args) == expected


@needs("crun")
def test_arguments_reach_containers_and_the_flags_of_copy(build) -> None:
    text = "FROM bb\nARG who=web\nCOPY --chown=$who Dockerfile /f\nRUN stat -c %U /f; echo $who\n"
    assert build(text, "--build-arg=who=nobody").printed() == ["nobody", "nobody"]


def test_the_target_stage_is_named_by_an_argument() -> None:
    text = "FROM bb AS One\nARG TARGETSTAGE\nENV v=$TARGETSTAGE\nFROM bb AS last\n"
    assert planner_of(text, target="one").plan().state.variables["v"] == "one"


def test_a_named_last_stage_is_the_target_by_its_name() -> None:
    assert printed("FROM bb AS last\nARG TARGETSTAGE\nRUN echo [$TARGETSTAGE]\n", {}) == ["[last]"]


def test_arguments_are_in_no_config() -> None:
    config = planner_of("FROM bb\nENV v=env\nARG v=arg w=2\nRUN true\n").plan().state.config
    assert "v=env" in config.env and not any(pair.startswith("w=") for pair in config.env)


@needs("crun")
def test_what_steers_a_builder_is_not_called_unused(build) -> None:
    steering = [
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_MULTI_PLATFORM",
        "SOURCE_DATE_EPOCH",
        "BUILDKIT_SYNTAX",
        "http_proxy",
    ]
    assert "not consumed" not in build("FROM bb\n", *(f"--build-arg={name}=1" for name in steering)).said


@needs("crun")
def test_a_proxy_that_an_arg_declares_is_like_any_other(build) -> None:
    text = "FROM bb\nARG HTTP_PROXY\nRUN echo p=$HTTP_PROXY\n"
    first = build(text, "--build-arg=HTTP_PROXY=http://one")
    assert first.config.history[-1].created_by.startswith("RUN |1 HTTP_PROXY=http://one /bin/sh")
    assert build(text, "--build-arg=HTTP_PROXY=http://two").printed() == ["p=http://two"]


HISTORIES = [
    ("ARG v", "ARG v"),
    ("ARG v=1 w", "ARG v=1 w"),
    ("ARG b=2 a=1\nRUN true", "RUN |2 b=2 a=1 /bin/sh -c true # buildkit"),
    ("ARG v\nRUN true", "RUN |1 v= /bin/sh -c true # buildkit"),
    ("ARG v=1\nENV v=2\nRUN true", "RUN |1 v=2 /bin/sh -c true # buildkit"),
    ("ARG v=1\nARG w=2\nARG v=3\nRUN true", "RUN |2 v=3 w=2 /bin/sh -c true # buildkit"),
    ("RUN [\"echo\", \"a b\"]", "RUN echo a b # buildkit"),
    ("RUN <<EOF\necho hi\nEOF", "RUN /bin/sh -c echo hi\n # buildkit"),
    ("ENV a=1 b='2 3'", "ENV a=1 b=2 3"),
    ("ENV a 1 2", "ENV a=1 2"),
    ("LABEL a=1 'b c'=d", "LABEL a=1 b c=d"),
    ("EXPOSE 80 53/udp 8000-8001", "EXPOSE [53/udp 80/tcp 8000/tcp 8001/tcp]"),
    ("USER me:us", "USER me:us"),
    ("WORKDIR a/b", "WORKDIR /a/b"),
    ("WORKDIR /", "WORKDIR /"),
    ("VOLUME /a /b", "VOLUME [/a /b]"),
    ("STOPSIGNAL 9", "STOPSIGNAL 9"),
    ("SHELL [\"/bin/sh\", \"-c\"]", "SHELL [/bin/sh -c]"),
    ("CMD a \"b\"", "CMD [\"/bin/sh\" \"-c\" \"a \\\"b\\\"\"]"),
    ("ENTRYPOINT [\"a\", \"b c\"]", "ENTRYPOINT [\"a\" \"b c\"]"),
    ("MAINTAINER me <a@b>", "MAINTAINER me <a@b>"),
    ("HEALTHCHECK NONE", "HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}"),
    ("HEALTHCHECK --interval=90s --timeout=1.5s --retries=2 CMD true", "HEALTHCHECK {Test:[CMD-SHELL true] Interval:1m30s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:2}"),
    ("COPY --chown=1:2 --chmod=600 Dockerfile /f", "COPY --chown=1:2 --chmod=600 Dockerfile /f # buildkit"),
    ("COPY --link --parents --exclude=x Dockerfile /f/", "COPY --parents Dockerfile /f/ # buildkit"),
    ("ADD Dockerfile /f", "ADD Dockerfile /f # buildkit"),
    ("COPY <<x /f\nhi\nx", "COPY <<x /f # buildkit"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), HISTORIES)
def test_histories_are_written_as_buildkit_writes_them(line: str, expected: str) -> None:
    stage = planner_of(f"FROM bb\n{line}\n").plan()
    assert stage.state.history[-1].created_by == expected
