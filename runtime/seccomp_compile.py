"""Rules → a BPF program, by libseccomp, which is there wherever a runtime is."""

from __future__ import annotations

import ctypes
import os
from typing import Any

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000, "SCMP_ACT_KILL_THREAD": 0x00000000, "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000, "SCMP_ACT_ERRNO": 0x00050000, "SCMP_ACT_LOG": 0x7FFC0000, "SCMP_ACT_ALLOW": 0x7FFF0000,
}  # fmt: skip
COMPARISONS = {
    "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}  # fmt: skip
_UNKNOWN = -1
EPERM = 1


class _Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def compile_rules(spec: dict[str, Any]) -> bytes | None:
    """The program for a spec's `linux.seccomp`; None where this machine has no libseccomp. Names it lacks are left out,
    as every runtime does."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    default = _action(spec["defaultAction"], spec.get("defaultErrnoRet"))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    try:
        for name in spec.get("architectures", [])[1:]:
            token = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
            if token:
                library.seccomp_arch_add(context, ctypes.c_uint32(token))
        for rule in spec["syscalls"]:
            _add(library, context, rule, default)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _action(name: str, errno: int | None) -> int:
    return ACTIONS[name] | (EPERM if errno is None else errno) if name == "SCMP_ACT_ERRNO" else ACTIONS[name]


def _add(library: Any, context: ctypes.c_void_p, rule: dict[str, Any], default: int) -> None:
    action = _action(rule["action"], rule.get("errnoRet"))
    if action == default:
        return  # libseccomp refuses a rule that changes nothing
    conditions = [
        _Comparison(a["index"], COMPARISONS[a["op"]], a["value"], a.get("valueTwo") or 0) for a in rule.get("args", ())
    ]
    array = (_Comparison * len(conditions))(*conditions)
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number != _UNKNOWN:
            library.seccomp_rule_add_array(context, ctypes.c_uint32(action), number, len(conditions), array)


def _export(library: Any, context: ctypes.c_void_p) -> bytes:
    fd = os.memfd_create("seccomp")
    try:
        if library.seccomp_export_bpf(context, fd):
            raise OSError("libseccomp cannot export the filter")
        return os.pread(fd, 1 << 20, 0)
    finally:
        os.close(fd)


def load(program: bytes) -> None:
    """Install the program for this process and all it becomes (seccomp(2)); needs CAP_SYS_ADMIN."""
    instructions = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    whole = Program(len(program) // 8, ctypes.cast(instructions, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(whole), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "seccomp")
