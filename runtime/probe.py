"""Find the OCI runtime that starts fastest here, by starting a tiny container, and remember the answer."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from core import plain_json as json
from runtime.engine import DIALECTS, Engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PLACES = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/bin", "/sbin")
CANDIDATES = (
    ("crun", ("--cgroup-manager=disabled",), False),
    ("crun", ("--cgroup-manager=cgroupfs",), True),
    ("runc", (), True),
    ("runsc", (), True),
    (
        "youki",
        (),
        True,
    ),  # only where nothing else starts: what `exec` starts by it has no system call filter, and is refused
)
CHROOT = Engine("chroot", "")
GOOD_ENOUGH = 0.015  # seconds: what starts within this is not raced against the rest
CLEARLY = 0.5  # they are in the order of their speed: on a busy machine a little less time proves nothing
PACKAGES = "install crun (or runc) and conmon"


def choose(state: Path) -> Engine:
    """The engine to use; `CHROOT` where no OCI runtime starts. Costs a few stats once the answer is remembered.

    Must be called where mounting is private (`core.namespaces`), for the first call starts containers.
    """
    present = installed()
    remembered = state / "runtime.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(remembered.read_bytes())
        if data["present"] == present:
            return _decode(data["engine"])
    engine = _race(state, {name: path for name, path, _ in present})
    if engine.path or not present:  # that nothing starts may have a cause that passes
        _remember(remembered, present, engine)
    return engine


def installed() -> list[list[Any]]:
    """[name, path, mtime in ns] of each runtime found."""
    found = []
    for name in dict.fromkeys(name for name, _, _ in CANDIDATES):
        for place in PLACES:
            with contextlib.suppress(OSError):
                found.append([name, f"{place}/{name}", os.stat(f"{place}/{name}").st_mtime_ns])
                break
    return found


def _decode(data: dict[str, Any]) -> Engine:
    return Engine(data["name"], data["path"], tuple(data["options"]), bool(data["cgroups"]))


def _remember(path: Path, present: list[list[Any]], engine: Engine) -> None:
    from core.files import write_file

    data = {"name": engine.name, "path": engine.path, "options": engine.options, "cgroups": engine.cgroups}
    with contextlib.suppress(OSError):
        write_file(path, json.dumps({"present": present, "engine": data}).encode(), mode=0o600, sync=False)


def _race(state: Path, paths: dict[str, str]) -> Engine:
    best, best_time = CHROOT, float("inf")
    if not paths:
        return best
    with _tiny_root(state) as bundle:
        for name, options, cgroups in CANDIDATES:
            if name not in paths or best.name == name or (name == "youki" and best is not CHROOT):
                continue
            engine = Engine(name, paths[name], options, cgroups)
            took = _try(engine, bundle)
            if took < (best_time if best is CHROOT else best_time * CLEARLY):
                best, best_time = engine, took
            if best_time < GOOD_ENOUGH:
                break
    return best


def _try(engine: Engine, bundle: Path) -> float:
    """Seconds of the faster of two starts; infinite where it fails."""
    from runtime.streams import listen

    _write_config(engine, bundle)
    times = []
    for _ in range(2):
        name = f"probe-{os.urandom(4).hex()}"
        start = time.monotonic()
        command = engine.command(bundle / "state", bundle / "log", "run", "--bundle", str(bundle), name)
        try:
            code = listen(command, lambda stream, data: None, lambda: None)
        except OSError:
            return float("inf")
        if code:
            return float("inf")
        times.append(time.monotonic() - start)
    return min(times)


def _write_config(engine: Engine, bundle: Path) -> None:
    from runtime.spec import Bundle, Process
    from runtime.user import User

    # Without a device cgroup the root's `nodev` is the wall to the host's disks: it must really be there.
    args = ("/bin/true",) if engine.cgroups else ("grep", "-Eq", "^[^ ]+ / [^ ]+ [^ ]*nodev", "/proc/self/mounts")
    process = Process(args, (), "/", User(0, 0, (), "/"), ())
    cgroup = f"/lamella-probe-{os.urandom(4).hex()}" if engine.cgroups else ""
    spec = Bundle(process, str(bundle / "root"), "probe", cgroup=cgroup, devices=str(bundle / "dev")).to_spec()
    if engine.name in DIALECTS:
        from runtime.dialects import adapt

        adapt(spec, engine.name)
    (bundle / "config.json").write_text(json.dumps(spec))


@contextlib.contextmanager
def _tiny_root(state: Path) -> Iterator[Path]:
    """A bundle whose root is the host's own programs, bound read-only on a private tmpfs."""
    from core import syscalls
    from runtime.mounts import make_devices

    bundle = state / f"probe-{os.urandom(4).hex()}"  # no pid: every contained process is number 1
    bundle.mkdir(0o700)
    syscalls.mount("tmpfs", bundle, "tmpfs", syscalls.MS_NOSUID, "mode=0700")
    try:
        make_devices(str(bundle / "dev"))
        root = bundle / "root"
        for name in ("proc", "dev", "sys"):
            (root / name).mkdir(parents=True)
        for name in ("usr", "bin", "lib", "lib64"):
            _show(Path("/") / name, root / name)
        syscalls.mount(
            str(bundle / "dev/null"), "/dev/null", flags=syscalls.MS_BIND
        )  # runsc gives its streams to nobody
        try:
            yield bundle
        finally:
            syscalls.unmount("/dev/null")
    finally:
        syscalls.unmount(bundle)
        bundle.rmdir()


def _show(source: Path, target: Path) -> None:
    from core import syscalls

    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    elif source.is_dir():
        target.mkdir()
        # With all that is mounted in it: without, a user namespace refuses what it must not uncover.
        syscalls.mount(str(source), target, flags=syscalls.MS_BIND | syscalls.MS_REC)
