"""Each rule: what it finds, where, and in which words."""

from __future__ import annotations

import pytest

from image.config import ContainerConfig
from tests.suites.checked import FOREIGN, findings, told

# text, and what is found in it: rule, line, message
CASES: dict[str, tuple[str, list[str]]] = {
    "a stage's name in upper case": (
        "FROM scratch AS Base\n", ["StageNameCasing 1 Stage name 'Base' should be lowercase"],
    ),
    "AS unlike FROM": ("FROM scratch as base\n", ["FromAsCasing 1 'as' and 'FROM' keywords' casing do not match"]),
    "from unlike AS": (
        "from scratch AS base\n", ["FromAsCasing 1 'AS' and 'from' keywords' casing do not match"],
    ),
    "mixed case is told once": (
        "From scratch as base\nCOPY a /\n",
        ["ConsistentInstructionCasing 1 Command 'From' should match the case of the command majority (uppercase)"],
    ),
    "an empty line in a continuation": (
        "FROM scratch\nCOPY a \\\n\n  /b\n", ["NoEmptyContinuation 4 Empty continuation line"],
    ),
    "the majority is lower": (
        "from scratch\ncopy a /\nENV x=1\n",
        ["ConsistentInstructionCasing 3 Command 'ENV' should match the case of the command majority (lowercase)"],
    ),
    "global ARGs have no vote": ("arg A=1\narg B=1\nFROM scratch\n", []),
    "a name twice": (
        "FROM scratch AS a\nFROM scratch AS a\n",
        ['DuplicateStageName 2 Duplicate stage name "a", stage names should be unique'],
    ),
    "a reserved name": (
        "FROM scratch AS scratch\nFROM scratch AS context\n",
        [f'ReservedStageName {n} Stage name should not use the same name as reserved stage "{name}"'
         for n, name in ((1, "scratch"), (2, "context"))],
    ),
    "shell form": (
        "FROM scratch\nENTRYPOINT a\nCMD b\n",
        [f"JSONArgsRecommended {n} JSON arguments recommended for {name} to prevent unintended behavior related to OS"
         " signals" for n, name in ((2, "ENTRYPOINT"), (3, "CMD"))],
    ),
    "shell form where a shell was chosen": ('FROM scratch\nSHELL ["/bin/sh", "-c"]\nCMD b\n', []),
    "exec form": ('FROM scratch\nCMD ["b"]\n', []),
    "MAINTAINER": (
        "FROM scratch\nMAINTAINER me\n",
        ["MaintainerDeprecated 2 Maintainer instruction is deprecated in favor of using label"],
    ),
    "FROM with a name that nobody declares": (
        "ARG VERSION=1\nFROM a:${VERSON:-2}${VERSON}\n",
        ["UndefinedArgInFrom 2 FROM argument 'VERSON' is not declared (did you mean VERSION?)"],
    ),
    "FROM with an automatic name": ("FROM --platform=$BUILDPLATFORM a\n", []),
    "a relative WORKDIR": (
        "FROM scratch\nWORKDIR a\nWORKDIR b\n",
        ['WorkdirRelativePath 2 Relative workdir "a" can have unexpected results if the base image changes'],
    ),
    "a relative WORKDIR after an absolute one": ("FROM scratch AS a\nWORKDIR /a\nFROM a\nWORKDIR b\n", []),
    "a variable that is nowhere": (
        "FROM scratch\nARG good\nENV name=1\nENV b=$nam c=$other d=$good e=${no:-x}\n",
        ["UndefinedVar 4 Usage of undefined variable '$nam' (did you mean $name?)",
         "UndefinedVar 4 Usage of undefined variable '$other'"],
    ),
    "a global ARG is not in the stage": (
        "ARG v=1\nFROM scratch\nLABEL a=$v\n", ["UndefinedVar 3 Usage of undefined variable '$v'"],
    ),
    "an ARG sees those before it": ("FROM scratch\nARG one=1 two=$one\n", []),
    "an ARG that sees nothing": (
        "FROM scratch\nARG two=$one\n", ["UndefinedVar 2 Usage of undefined variable '$one'"],
    ),
    "several of which one counts, told of the first": (
        'FROM scratch\nCMD ["a"]\nCMD ["b"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE\nFROM scratch\nCMD ["c"]\n',
        [f"MultipleInstructionsDisallowed {n} Multiple {name} instructions should not be used in the same stage because"
         " only the last one will be used" for n, name in ((2, "CMD"), (4, "HEALTHCHECK"))],
    ),
    "a blank between key and value": (
        "FROM scratch\nENV a b\nLABEL a b\n",
        [f'LegacyKeyValueFormat {n} "{name} key=value" should be used instead of legacy "{name} key value" format'
         for n, name in ((2, "ENV"), (3, "LABEL"))],
    ),
    "a base for another machine": (
        "FROM foreign\n",
        [f'InvalidBaseImagePlatform 1 Base image foreign was pulled with platform "linux/{FOREIGN}", expected "HOST"'
         " for current build"],
    ),
    "the target's platform": (
        "FROM --platform=${TARGETPLATFORM} a\n",
        ["RedundantTargetPlatform 1 Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the"
         " default behavior"],
    ),
    "a platform that is always the same": (
        "FROM --platform=HOST a AS b\n",
        ['FromPlatformFlagConstDisallowed 1 FROM --platform flag should not use constant value "HOST"'],
    ),
    "a platform that the stage is named after": ("FROM --platform=HOST a AS for-linux\n", []),
    "secrets": (
        "FROM scratch\nARG GITHUB_TOKEN API_KEY=1\nENV password=1 KEYBOARD=2 PUBLIC_KEY=3 TOKEN_FILE=4 auth=5\n",
        [f'SecretsUsedInArgOrEnv {n} Do not use ARG or ENV instructions for sensitive data ({name} "{key}")'
         for n, name, key in ((2, "ARG", "GITHUB_TOKEN"), (2, "ARG", "API_KEY"), (3, "ENV", "password"),
                              (3, "ENV", "auth"))],
    ),
    "a base that needs a build arg": (
        "ARG TAG\nFROM busybox:${TAG}\n",
        ["InvalidDefaultArgInFrom 2 Default value for ARG busybox:${TAG} results in empty or invalid base image name"],
    ),
    "a protocol in upper case": (
        "FROM scratch\nEXPOSE 80/TCP 53/udp\n",
        ["ExposeProtoCasing 2 Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"],
    ),
    "a port of the host": (
        "FROM scratch\nEXPOSE 127.0.0.1:80:80 90:90\n",
        [f"ExposeInvalidFormat 2 EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
         for port in ("127.0.0.1:80:80", "90:90")],
    ),
    "descriptions": (
        "# check=experimental=all\n# one is right\nARG one=1\n# wrong\nARG two=2\n# wrong\nARG a=1 b=2\n# apart\n\nARG"
        " c=1\n# wrong\nFROM scratch AS base\n# fine\nCOPY a /\n",
        ["InvalidDefinitionDescription 5 Comment for ARG should follow the format: `# two <description>`",
         "InvalidDefinitionDescription 7 Comment for ARG should follow the format: `# <arg_key> <description>`",
         "InvalidDefinitionDescription 12 Comment for FROM should follow the format: `# base <description>`"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name: str) -> None:
    from image.platform import host_platform

    text, expected = (
        CASES[name][0].replace("HOST", str(host_platform())),
        [one.replace("HOST", str(host_platform())) for one in CASES[name][1]],
    )
    args = {"TAG": "1"} if "TAG}" in text else {}
    assert told(text, args=args) == expected


IGNORED = [
    (["a"], "COPY a /", ['CopyIgnoredFile 2 Attempting to Copy file "a" that is excluded by .dockerignore']),
    (["a"], "ADD ./a/b /", ['CopyIgnoredFile 2 Attempting to Add file "a/b" that is excluded by .dockerignore']),
    (["*.log"], "COPY x.log /y", ['CopyIgnoredFile 2 Attempting to Copy file "x.log" that is excluded by .dockerignore']),
    (["*"], "COPY . /", ['CopyIgnoredFile 2 Attempting to Copy file "." that is excluded by .dockerignore']),
    (["a"], "COPY . /", []),
    (["a", "!a/b"], "COPY a /", []),
    (["a"], "COPY --from=other a /", []),
    ([], "COPY a /", []),
]  # fmt: skip


@pytest.mark.parametrize(("ignored", "line", "expected"), IGNORED)
def test_a_file_that_is_left_out_of_the_context(ignored: list[str], line: str, expected: list[str]) -> None:
    assert told(f"FROM scratch\n{line}\n", ignored=ignored) == expected


SKIPS = [
    ("# check=skip=MaintainerDeprecated\nFROM scratch\nMAINTAINER me\nCMD x\n", ["JSONArgsRecommended"]),
    ("# check=skip=all\nFROM scratch\nMAINTAINER me\n", []),
    ("# check=skip=all;experimental=all\n# x\nFROM scratch AS b\n", ["InvalidDefinitionDescription"]),
    ("FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me\nMAINTAINER you\n", ["MaintainerDeprecated"]),
    ("FROM scratch\n# check=skip=MaintainerDeprecated\n\nMAINTAINER me\n", ["MaintainerDeprecated"]),
    ("FROM scratch\n# check=nonsense\nMAINTAINER me\n", ["MaintainerDeprecated"]),
    ("FROM scratch AS a\n# check=skip=DuplicateStageName, a generated file\nFROM scratch AS a\n", []),
]


@pytest.mark.parametrize(("text", "rules"), SKIPS)
def test_the_file_and_a_comment_above_an_instruction_choose_the_rules(text: str, rules: list[str]) -> None:
    assert [one.rule for one in findings(text)] == rules


def test_a_build_arg_wins_over_the_directive() -> None:
    text = "# check=skip=all\nFROM scratch\nMAINTAINER me\n"
    assert [one.rule for one in findings(text, args={"BUILDKIT_DOCKERFILE_CHECK": "skip=CopyIgnoredFile"})] == [
        "MaintainerDeprecated"
    ]


def test_stages_that_the_target_does_not_need_are_looked_at_as_text_alone() -> None:
    text = "FROM scratch AS one\nCMD x\nMAINTAINER me\nFROM scratch AS two\nCMD y\n"
    assert [(one.rule, one.span.line) for one in findings(text, target="two")] == [
        ("MaintainerDeprecated", 3), ("JSONArgsRecommended", 5),
    ]  # fmt: skip


def test_what_the_base_image_defines_is_defined() -> None:
    config = ContainerConfig(env=("HERE=1",), shell=("/bin/bash", "-c"))
    assert told("FROM base AS a\nENV x=$HERE\nCMD x\nFROM a\nENV y=$HERE\n", config=config) == []


def test_nothing_is_undefined_where_the_base_image_is_not_known() -> None:
    assert told("FROM base AS a\nENV x=$HERE\nFROM a\nENV y=$HERE\n", unknown=["base"]) == []
