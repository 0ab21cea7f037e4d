"""A Ctrl-C at the worst instants, each of them met for certain: it is always told as what it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from store.images import Image
from store.store import Store
from tests.conftest import ROOT

Make = Callable[..., Image]


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)


def test_it_is_not_lost_in_a_finalizer() -> None:
    """Libraries' finalizers run at any moment, and what they raise Python only prints."""
    script = (
        "import time\nfrom core import interrupts\ninterrupts.heed()\n"
        "class Connection:\n    def __del__(self):\n        raise KeyboardInterrupt\n"
        "try:\n    Connection()\n    time.sleep(10)\nexcept KeyboardInterrupt:\n    print('stopped')\n"
    )
    done = run(script)
    assert (done.stdout, done.stderr) == ("stopped\n", "")


# What a command does when it is interrupted, and in what that ends; `press()` is a Ctrl-C.
ENDS = {
    "what it breaks off": "press()",
    "a clean-up that finds a block not left": "try: press()\n finally: raise AssertionError('in a transaction')",
    "an error of the house": "try: press()\n except BaseException as e: raise LamellaError('a child was killed') from e",
    "a library that turns it into its own": "try: press()\n except BaseException: pass\n raise ValueError('closed file')",
    "threads that fail because of it": "try: press()\n finally: fail = threading.Thread(target=press); fail.start(); fail.join()",
    "a child's": "apart(lambda: press())",
}


def work(body: str) -> str:
    return (
        "import os, signal, threading\nfrom core import interrupts, namespaces\nfrom core.apart import apart\n"
        "from core.errors import LamellaError\nfrom cli.exit import protect\n"
        "namespaces.enter_private_mounts = lambda: None\ninterrupts.heed()\n"
        f"def press(): signal.raise_signal(signal.SIGINT)\ndef work():\n {body}\nos._exit(protect(work))\n"
    )


@pytest.mark.parametrize("body", ENDS.values(), ids=list(ENDS))
def test_whatever_it_has_become_on_its_way_up(body: str) -> None:
    done = run(work(body))
    assert (done.returncode, done.stderr) == (130, "lamella: interrupted\n")


def test_a_defect_without_one_is_told() -> None:
    done = run(work("raise AssertionError('in a transaction')"))
    assert done.returncode == 1 and "AssertionError: in a transaction\n  this is a defect" in done.stderr


def test_one_that_was_ignored_stays_ignored() -> None:
    script = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{work('press()')}"
    assert run(script).returncode == 0


# Runs a command again and again, and interrupts the first one before the end of its first `with`, the next one before
# that of the second, and so on. Says how each ended where it neither was through nor told of an interrupt.
AT_EACH_END = """
import contextlib, os, shutil, signal, sys
from lamella.__main__ import main

root, words = sys.argv[1], sys.argv[2:]

def interrupted_at(number, where):
    seen = 0
    def trace(frame, event, arg):
        nonlocal seen
        if frame.f_code is contextlib._GeneratorContextManager.__exit__.__code__:
            seen += 1
            if seen == number:
                signal.raise_signal(signal.SIGINT)
    os.environ["LAMELLA_ROOT"] = where
    sys.argv = ["lamella", *words]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(where + ".said", os.O_CREAT | os.O_RDWR), 2)
    sys.settrace(trace)
    main()

for number in range(1, 1000):
    where = f"{root}.{number}"
    shutil.copytree(root, where, symlinks=True)
    child = os.fork()
    if child == 0:
        interrupted_at(number, where)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = open(where + ".said").read().strip()
    shutil.rmtree(where)
    if code == 0:
        print("interrupted", number - 1)
        break
    if (code, said) != (130, "lamella: interrupted"):
        print(number, code, said)
"""


def test_before_a_block_has_reached_its_end(store: Store, make: Make) -> None:
    make("app", "app:1")
    store.close()
    done = run(AT_EACH_END, store.root, "rmi", "app:1")
    assert done.stdout.startswith("interrupted") and int(done.stdout.split()[1]) > 5, done
