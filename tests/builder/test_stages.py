"""Stages: what is built, what is left out, what goes from one to the other."""

from __future__ import annotations

from builder.build import MAX_STAGES
from tests.conftest import needs

pytestmark = needs("crun")


def test_what_the_target_does_not_need_is_neither_resolved_nor_run(build):
    done = build("FROM no-such-image-anywhere AS unused\nRUN false\nFROM bb AS wanted\nRUN echo hi\n")
    assert done.printed() == ["hi"]


def test_the_last_stage_is_the_target_and_another_can_be_named(build):
    text = "FROM bb AS First\nENV A=1\nFROM bb\nENV B=2\n"
    assert "B=2" in build(text).config.config.env
    assert "A=1" in build(text, "--target=FIRST").config.config.env
    assert "A=1" in build(text, "--target=0").config.config.env


def test_an_unknown_target_is_an_error_with_a_suggestion(build):
    done = build("FROM bb AS builder\n", "--target=bilder", check=False)
    assert done.code == 1 and "'bilder' could not be found" in done.said and "builder" in done.said


def test_files_come_from_earlier_stages_by_name_and_number_and_from_images(build):
    text = "FROM bb AS one\nRUN echo 1 >/a\nFROM bb\nRUN echo 2 >/b\nFROM scratch\nCOPY --from=one /a /\nCOPY --from=1 /b /\nCOPY --from=bb /etc/group /g\nFROM bb\n"
    text += "COPY --from=2 / /all\nRUN cat /all/a /all/b; head -n1 /all/g\n"
    assert build(text).printed() == ["1", "2", "root:x:0:"]


def test_a_later_stage_cannot_be_copied_from(build):
    done = build("FROM bb\nCOPY --from=late /a /\nFROM bb AS late\n", "--target=0", check=False)
    assert done.code == 1 and "Dockerfile:2" in done.said and "does not come before" in done.said


def test_a_stage_from_a_stage_inherits_everything(build):
    text = "FROM bb AS one\nARG V=arg\nENV E=env\nWORKDIR /w\nRUN echo x >f\nFROM one\nRUN cat f; echo $V $E; pwd\n"
    assert build(text).printed() == ["x", "arg env", "/w"]


def test_a_global_arg_is_seen_by_from_and_only_imported_elsewhere(build):
    text = "ARG BASE=bb\nARG V=global\nFROM $BASE\nRUN echo [$V]\nARG V\nRUN echo [$V]\n"
    assert build(text).printed() == ["[]", "[global]"]
    assert build(text, "--build-arg=V=given").printed() == ["[given]"]


def test_env_wins_over_an_earlier_arg(build):
    assert build("FROM bb\nARG V=arg\nENV V=env\nRUN echo $V\n", "--build-arg=V=given").printed() == ["env"]


def test_platform_arguments_are_there_when_asked_for(build):
    assert build("FROM bb\nARG TARGETOS TARGETPLATFORM\nRUN echo $TARGETOS ${TARGETPLATFORM%%/*}\n").printed() == [
        "linux linux"
    ]


def test_proxies_reach_run_but_neither_key_nor_history(build):
    text = "FROM bb\nRUN echo p=$HTTP_PROXY\n"
    first = build(text, "--build-arg=HTTP_PROXY=http://one")
    assert first.printed() == ["p=http://one"] and "one" not in str(first.config.history)
    assert build(text, "--build-arg=HTTP_PROXY=http://two").steps[-1].endswith("CACHED")


def test_a_build_arg_that_nobody_declares_is_warned_of(build):
    assert "WARNING: one or more build-args ['NOPE'] were not consumed" in build("FROM bb\n", "--build-arg=NOPE=1").said


def test_onbuild_runs_in_the_next_build_and_is_gone_then(build):
    build("FROM bb\nONBUILD COPY f /f\nONBUILD RUN cat /f\n", "-t", "trigger")
    done = build("FROM trigger\nRUN echo after\n", "-t", "child", files={"f": "from the child\n"})
    assert done.printed() == ["from the child", "after"]
    assert not done.config.config.on_build


def test_an_image_is_found_by_its_id(build):
    first = build("FROM bb\nRUN echo x >/x\n")
    assert build(f"FROM {first.id}\nRUN cat /x\n").printed() == ["x"]
    assert build(f"FROM {first.id[7:19]}\nRUN cat /x; true\n").printed() == ["x"]


def test_another_platform_is_refused_with_the_line(build):
    done = build("FROM --platform=linux/s390x bb\n", check=False)
    assert done.code == 1 and "Dockerfile:1" in done.said and "s390x" in done.said


def test_stages_may_stand_on_each_other_in_any_number_of_ways(lamella, context):
    """Each of two before it: there are more ways down than anybody could walk."""
    stages = ["FROM scratch AS s0\nCOPY f /f\n", "FROM scratch AS s1\nCOPY f /g\n"]
    stages += [f"FROM scratch AS s{n}\nCOPY --from=s{n - 1} / /a\nCOPY --from=s{n - 2} /f* /f\n" for n in range(2, 60)]
    (context / "f").touch()
    (context / "Dockerfile").write_text("".join(stages))
    ids = {lamella("build", "-q", "--target=s59", context, timeout=60).stdout for _ in range(2)}
    assert len(ids) == 1


def test_a_chain_of_stages_may_be_as_long_as_the_limit(lamella, context):
    chain = "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(MAX_STAGES - 1))
    (context / "Dockerfile").write_text(f"FROM scratch AS s0\nCOPY <<X /x\nX\n{chain}")
    assert lamella("build", "-q", context).stdout.startswith("sha256:")
    (context / "Dockerfile").write_text(f"FROM scratch AS s0\n{chain}FROM s0\n")
    done = lamella("build", context, check=False)
    assert done.returncode == 1 and "has 1001 stages, and 1000 are the limit" in done.stderr
