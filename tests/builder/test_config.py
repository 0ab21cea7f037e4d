"""What instructions leave in the image's config and history."""

from __future__ import annotations

from tests.conftest import needs

pytestmark = needs("crun")


def test_every_instruction_lands_in_the_config(build):
    text = (
        'FROM bb\nENV A=1 B="two words"\nLABEL k=v "other key"=w\nEXPOSE 80 53/udp\nVOLUME /data\nUSER web\nWORKDIR /srv\n'
        'STOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\nSHELL ["/bin/ash", "-c"]\nENTRYPOINT ["/bin/e"]\nCMD go\n'
        "MAINTAINER me\nONBUILD RUN true\n"
    )
    image = build(text, "--label=k=last").config
    config = image.config
    assert config.env[-2:] == ("A=1", "B=two words")
    assert config.labels == {"k": "last", "other key": "w"}
    assert config.exposed_ports == ("53/udp", "80/tcp") and config.volumes == ("/data",)
    assert (config.user, config.working_dir, config.stop_signal) == ("web", "/srv", "SIGINT")
    assert config.healthcheck and config.healthcheck.test == ("CMD-SHELL", "true")
    assert config.healthcheck.interval == 5 * 10**9
    assert config.entrypoint == ("/bin/e",) and config.cmd == ("/bin/ash", "-c", "go") and config.args_escaped
    assert image.author == "me" and config.on_build == ("RUN true",)


def test_entrypoint_drops_an_inherited_cmd_but_not_the_stages_own(build):
    assert build('FROM bb\nENTRYPOINT ["/e"]\n').config.config.cmd is None
    assert build('FROM bb\nCMD ["own"]\nENTRYPOINT ["/e"]\n').config.config.cmd == ("own",)
    assert build('FROM bb AS a\nCMD ["own"]\nFROM a\nENTRYPOINT ["/e"]\n').config.config.cmd is None


def test_scratch_starts_with_a_path_and_the_root(build):
    config = build("FROM scratch\nCOPY f /\n", files={"f": ""}).config.config
    assert config.env == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    assert config.working_dir == "/"


def test_history_is_written_as_buildkit_writes_it(build):
    done = build(
        'FROM bb\nARG V=1\nENV A=b\nRUN echo $V\nWORKDIR /w\nCOPY --chown=1:2 f /f\nCMD ["x", "y"]\n', files={"f": ""}
    )
    own = done.config.history[-6:]
    assert [entry.created_by for entry in own] == [
        "ARG V=1", "ENV A=b", "RUN |1 V=1 /bin/sh -c echo $V # buildkit", "WORKDIR /w", "COPY --chown=1:2 f /f # buildkit",
        'CMD ["x" "y"]',
    ]  # fmt: skip
    assert [entry.empty_layer for entry in own] == [True, True, False, False, False, True]
    assert all(entry.created and entry.comment == "buildkit.dockerfile.v0" for entry in own)
    assert len(done.config.diff_ids) == sum(not entry.empty_layer for entry in done.config.history)


def test_a_rebuild_that_changes_nothing_gives_the_same_image(build):
    text = "FROM bb\nRUN echo x >/x\nCOPY f /\nLABEL a=b\n"
    assert build(text, files={"f": "1"}).id == build(text).id


def test_source_date_epoch_dates_the_image(build):
    done = build("FROM bb\nRUN true\n", "--no-cache", "--build-arg=SOURCE_DATE_EPOCH=1700000000")
    assert done.config.created == "2023-11-14T22:13:20Z" == done.config.history[-1].created


def test_variables_are_those_from_before_the_instruction(build):
    assert build("FROM bb\nENV a=1\nENV a=2 b=$a\n").config.config.env[-1] == "b=1"


def test_a_variable_that_is_not_set_is_warned_of_with_its_line(build):
    for _ in range(2):  # the second time, it is remembered
        said = build("FROM bb\nENV a=$nope\n").said
        assert " 1 warning found (use --check to expand):\n" in said
        assert " - UndefinedVar: Usage of undefined variable '$nope' (line 2)\n" in said


BASE = (
    'FROM bb\nENV A=1\nLABEL l=base m=base\nEXPOSE 80\nVOLUME /v\nUSER web\nWORKDIR /w\nSTOPSIGNAL 9\nSHELL ["/bin/ash", "-c"]\n'
    'HEALTHCHECK --interval=5s CMD true\nENTRYPOINT ["/e"]\nCMD ["c"]\nMAINTAINER me\n'
)


def test_an_image_inherits_all_of_its_base_but_the_dates(build):
    base = build(BASE, "-t", "base")
    done = build("FROM base\nLABEL m=own\nEXPOSE 90\nVOLUME /x\n", "--label=n=given")
    config, inherited = done.config.config, base.config.config
    assert config.labels == {"l": "base", "m": "own", "n": "given"}
    assert config.exposed_ports == ("80/tcp", "90/tcp") and config.volumes == ("/v", "/x")
    for name in ("env", "user", "working_dir", "stop_signal", "shell", "healthcheck", "entrypoint", "cmd"):
        assert getattr(config, name) == getattr(inherited, name), name
    assert done.config.author == "me"
    assert done.config.history[: len(base.config.history)] == base.config.history
    assert done.config.created > base.config.created


def test_cmd_alone_keeps_the_bases_entrypoint(build):
    build(BASE, "-t", "base")
    config = build('FROM base\nCMD ["other"]\n').config.config
    assert (config.entrypoint, config.cmd) == (("/e",), ("other",))


def test_a_base_without_a_path_gets_one(build, lamella, rootfs_tar):
    lamella("import", "--change", "ENV OTHER=1", rootfs_tar, "bare")
    assert build("FROM bare\nLABEL a=1\n").config.config.env == (
        "OTHER=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    )  # fmt: skip


def test_a_stage_that_is_copied_from_passes_nothing_but_files(build):
    config = build("FROM bb AS one\nLABEL a=1\nENV B=2\nFROM bb\nCOPY --from=one /etc/group /g\n").config.config
    assert not config.labels and "B=2" not in config.env


def test_triggers_of_a_stage_run_in_the_stage_on_it(build):
    done = build("FROM bb AS one\nONBUILD RUN echo triggered\nONBUILD ENV T=1\nFROM one\nRUN echo $T\n")
    assert done.printed() == ["triggered", "1"] and not done.config.config.on_build
