"""The system call filter: Docker's default profile, and those of the users' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from runtime import seccomp
from runtime.capabilities import ALL, DEFAULT
from runtime.default_profile import default_profile

PODMAN_S = Path("/usr/share/containers/seccomp.json")


def allowed(capabilities: tuple[str, ...] = DEFAULT) -> set[str]:
    rules = seccomp.flatten("", capabilities)["syscalls"]
    return {
        name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args") for name in rule["names"]
    }


def rules_of(name: str, capabilities: tuple[str, ...] = DEFAULT) -> list[dict[str, Any]]:
    return [rule for rule in seccomp.flatten("", capabilities)["syscalls"] if name in rule["names"]]


class TestTheDefault:
    def test_it_is_docker_s(self) -> None:
        """361 names for everybody, EPERM for the rest, groups for capabilities: the counts of Docker 29's profile."""
        profile = default_profile()
        sizes = {
            (entry.get("includes") or {}).get("caps", [""])[0]: len(entry["names"])
            for entry in profile["syscalls"]
            if entry["action"] == "SCMP_ACT_ALLOW" and not entry.get("args") and set(entry.get("includes") or ()) <= {"caps"}
        }  # fmt: skip
        assert (profile["defaultAction"], profile["defaultErrnoRet"], sizes.pop("")) == ("SCMP_ACT_ERRNO", 1, 361)
        assert {name.removeprefix("CAP_"): size for name, size in sizes.items()} == {
            "DAC_READ_SEARCH": 1, "SYS_ADMIN": 26, "SYS_BOOT": 1, "SYS_CHROOT": 1, "SYS_MODULE": 3, "SYS_PACCT": 1,
            "SYS_PTRACE": 6, "SYS_RAWIO": 2, "SYS_TIME": 4, "SYS_TTY_CONFIG": 1, "SYS_NICE": 4, "SYSLOG": 1, "BPF": 1,
            "PERFMON": 1,
        }  # fmt: skip

    def test_what_leads_out_is_not_in_it(self) -> None:
        dangerous = (
            "unshare setns mount umount2 pivot_root keyctl add_key request_key bpf perf_event_open userfaultfd kexec_load "
            "kexec_file_load init_module finit_module delete_module reboot swapon open_by_handle_at fsopen fsconfig fsmount "
            "move_mount open_tree io_uring_setup ptrace_scope iopl ioperm settimeofday acct quotactl lookup_dcookie"
        )
        assert not allowed() & set(dangerous.split())

    def test_a_capability_brings_its_calls(self) -> None:
        assert {"mount", "unshare", "setns", "clone3"} <= allowed((*DEFAULT, "CAP_SYS_ADMIN"))
        assert {"kexec_load", "keyctl", "userfaultfd"}.isdisjoint(allowed(ALL))

    def test_clone3_is_not_there_so_that_libraries_go_back_to_clone(self) -> None:
        assert rules_of("clone3") == [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]

    def test_clone_makes_no_namespace(self) -> None:
        (rule,) = rules_of("clone")
        assert rule["args"] == [{"index": 0, "value": 0x7E020000, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]

    def test_sockets_of_all_families_but_two(self) -> None:
        assert [(rule["args"][0]["op"], rule["args"][0]["value"]) for rule in rules_of("socket")] == [
            ("SCMP_CMP_LT", 38), ("SCMP_CMP_EQ", 39), ("SCMP_CMP_GT", 40),
        ]  # fmt: skip

    @pytest.mark.skipif(not PODMAN_S.exists(), reason="needs golang-github-containers-common")
    def test_it_allows_no_more_than_podman_s_but_what_is_newer(self) -> None:
        theirs = seccomp.flatten(str(PODMAN_S), DEFAULT)["syscalls"]
        known = {name for rule in theirs for name in rule["names"]}
        more = {name for name in allowed() & known if not any(
            name in rule["names"] and rule["action"] == "SCMP_ACT_ALLOW" for rule in theirs)}  # fmt: skip
        assert more == {"io_pgetevents", "vmsplice"}


class TestProfiles:
    @pytest.mark.parametrize(
        "content",
        ["", "[]", "{}", '{"defaultAction": "SCMP_ACT_NONE"}', '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "x"}]}',
         '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 0, "op": "?"}]}]}',
         '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "args": [{"op": "SCMP_CMP_EQ"}]}]}'],
    )  # fmt: skip
    def test_one_that_makes_no_sense_is_refused(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "p.json").write_text(content)
        with pytest.raises(InvalidInput, match="no seccomp profile"):
            seccomp.flatten(str(tmp_path / "p.json"), DEFAULT)

    def test_rules_for_other_kernels_and_machines_do_not_count(self, tmp_path: Path) -> None:
        def rule(name: str, **includes: Any) -> dict[str, Any]:
            return {"names": [name], "action": "SCMP_ACT_ALLOW", "includes": includes}

        rules = [rule("old", minKernel="2.6"), rule("new", minKernel="99.0"), rule("far", arches=["vax"])]
        (tmp_path / "p.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
        flat = seccomp.flatten(str(tmp_path / "p.json"), DEFAULT)["syscalls"]
        assert [rule["names"] for rule in flat] == [["old"]]

    def test_the_machine_s_owner_may_set_another_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "own.json").write_text('{"defaultAction": "SCMP_ACT_LOG"}')
        assert seccomp.profile_path("default") == "" == seccomp.profile_path("builtin")
        monkeypatch.setattr(seccomp, "OWN_DEFAULT", str(tmp_path / "own.json"))
        path = seccomp.profile_path("default")
        assert path and seccomp.flatten(path, DEFAULT)["defaultAction"] == "SCMP_ACT_LOG"
        assert seccomp.profile_path("builtin") == "" and seccomp.profile_path("unconfined") is None

    def test_what_was_compiled_is_remembered_until_the_profile_changes(self, tmp_path: Path) -> None:
        profile = tmp_path / "p.json"
        profile.write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        first = seccomp.program(str(profile), DEFAULT, tmp_path)
        if first is None:
            pytest.skip("needs libseccomp")
        assert first == seccomp.program(str(profile), DEFAULT, tmp_path) and len(list(tmp_path.glob("seccomp-*"))) == 1
        profile.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
        assert seccomp.program(str(profile), DEFAULT, tmp_path) != first
