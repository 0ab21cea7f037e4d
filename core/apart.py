"""Work that needs mounts of its own, in a child: what it mounts goes with it, and what it raises is raised here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from core import errors
from core import plain_json as json
from core.errors import LamellaError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def apart(work: Callable[[], object]) -> None:
    """Run `work` in a forked child with a private mount namespace, and wait for its end. What it changes in memory is lost.

    Raises the LamellaError of the house (as its family), OSError or KeyboardInterrupt that `work` raised, and Unavailable
    where the child was killed.
    """
    told, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        os._exit(_child(work, tell))
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if said:
        raise _raised(json.loads(said))
    if status:
        raise Unavailable(f"a process of ours was killed at its work (signal {-status})", "try again")


def _child(work: Callable[[], object], tell: int) -> int:
    from core.namespaces import enter_private_mounts

    try:
        enter_private_mounts()
        work()
        return 0
    except LamellaError as error:
        said: list[object] = [_family(error), error.message, error.hint]
    except OSError as error:
        said = ["OSError", error.errno, error.strerror, os.fsdecode(error.filename or "")]
    except KeyboardInterrupt:
        said = ["KeyboardInterrupt"]
    except BaseException as error:
        said = ["LamellaError", f"{type(error).__name__}: {error}", None]
    os.write(tell, json.dumps(said).encode())
    return 1


def _family(error: LamellaError) -> str:
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def _raised(said: list[Any]) -> BaseException:
    if said[0] == "KeyboardInterrupt":
        return KeyboardInterrupt()
    if said[0] == "OSError":
        return OSError(*said[1:])
    kind: type[LamellaError] = getattr(errors, said[0])
    return kind(said[1], said[2])
