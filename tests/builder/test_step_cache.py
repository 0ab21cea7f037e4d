"""The step cache: what hits, what misses, and that a hit is right."""

from __future__ import annotations

import os

from tests.conftest import needs

pytestmark = needs("crun")
TEXT = "FROM bb\nRUN echo one\nCOPY f /f\nRUN cat /f\n"


def test_a_second_build_runs_nothing(build):
    build(TEXT, files={"f": "x"})
    assert build(TEXT).steps[1:] == ["RUN echo one: CACHED", "COPY f /f: CACHED", "RUN cat /f: CACHED"]


def test_labels_and_other_metadata_rebuild_nothing(build):
    build(TEXT, files={"f": "x"})
    done = build(TEXT.replace("RUN echo", "LABEL a=b\nEXPOSE 80\nCMD x\nRUN echo"))
    assert {step.rpartition(" ")[2] for step in done.steps[1:]} == {"CACHED"}


def test_changed_content_misses_and_what_comes_after_runs_again(build):
    build(TEXT, files={"f": "x"})
    done = build(TEXT, files={"f": "y"})
    assert done.steps[1:] == ["RUN echo one: CACHED", "COPY f /f: DONE", "RUN cat /f: DONE"]
    assert done.printed() == ["y"]


def test_times_of_files_do_not_matter_but_their_mode_does(build, context):
    build(TEXT, files={"f": "x"})
    os.utime(context / "f", (1, 1))
    assert build(TEXT).steps[2] == "COPY f /f: CACHED"
    (context / "f").chmod(0o755)
    assert build(TEXT).steps[2] == "COPY f /f: DONE"


def test_what_is_not_copied_does_not_matter(build):
    build(TEXT, files={"f": "x", "other": "1"})
    assert build(TEXT, files={"other": "2"}).steps[2] == "COPY f /f: CACHED"


def test_env_and_args_are_part_of_what_a_run_depends_on(build):
    text = "FROM bb\nARG V\nRUN echo v=$V\n"
    build(text, "--build-arg=V=1")
    assert build(text, "--build-arg=V=2").printed() == ["v=2"]
    assert build(text, "--build-arg=V=1").steps[-1].endswith("CACHED")


def test_no_cache_runs_everything_and_a_filter_one_stage(build):
    build(TEXT, files={"f": "x"})
    assert all(step.endswith("DONE") for step in build(TEXT, "--no-cache").steps)
    text = "FROM bb AS a\nRUN echo a\nFROM bb AS b\nRUN echo b\nCOPY --from=a /etc/passwd /p\n"
    build(text)
    done = build(text, "--no-cache-filter=b")
    assert "RUN echo b: DONE" in done.steps and "RUN echo a: DONE" not in done.steps


def test_a_stage_whose_copies_hit_is_not_run(build):
    text = "FROM bb AS a\nRUN echo a >/a\nFROM bb\nCOPY --from=a /a /a\n"
    build(text)
    assert not any("RUN" in step for step in build(text).steps)


def test_what_a_failing_build_finished_is_kept(build):
    text = "FROM bb\nRUN echo costly\nRUN test -e /f\n"
    assert build(text, check=False).code == 1
    assert build(text, check=False).steps[1] == "RUN echo costly: CACHED"


def test_equal_layers_are_stored_once_and_stack_all_the_same(build, store_root):
    text = "FROM bb\n" + "".join(f"RUN true {n}\n" for n in range(5)) + "RUN echo end >/end\n"
    done = build(text)
    assert len(set(done.config.diff_ids[1:6])) == 1
    again = build(text + "RUN cat /end\n")
    assert again.printed() == ["end"] and len(again.steps) == 8
    assert len(os.listdir(store_root / "layers")) == len(set(again.config.diff_ids))


def test_a_stage_that_changed_without_changing_its_files_rebuilds_no_other(build):
    text = "FROM bb AS a\nRUN echo {} >/dev/null; echo product >/a\nFROM bb\nCOPY --from=a /a /a\nRUN cat /a\n"
    build(text.format("first"))
    done = build(text.format("second"))
    assert "COPY --from=a /a /a: CACHED" in done.steps and done.steps[-1] == "RUN cat /a: CACHED"
    assert "RUN echo second >/dev/null; echo product >/a: DONE" in done.steps


def test_a_stage_that_runs_again_is_copied_from_again(build):
    text = "FROM bb AS a\nRUN cat /proc/uptime >/a\nFROM bb AS b\nCOPY --from=a /a /a\nRUN cat /a\n"
    build(text)
    done = build(text, "--no-cache-filter=a")
    assert "COPY --from=a /a /a: DONE" in done.steps and done.steps[-1] == "RUN cat /a: DONE"
