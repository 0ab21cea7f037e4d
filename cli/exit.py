"""How a command ends: errors as one clear line on stderr, and the exit code that scripts rely on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence

from core import interrupts
from core.errors import LamellaError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    import click

FAILURE = 1
ENGINE_FAILURE = 125  # `run` and `create`: lamella itself failed, not the command in the container
RECOVERY = "`How to recover by hand` in docs/store.md tells how to read what is left of it"


class Exit(Exception):
    """End the command now with this code; everything worth saying has been said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def guarded(command: click.Command, argv: Sequence[str] | None = None) -> int:
    """Run a click command and turn whatever it raises into a line and an exit code."""
    try:
        result = command.main(args=None if argv is None else list(argv), prog_name="lamella", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BaseException as error:
        return report(error)


def leave(code: int) -> NoReturn:
    """End the process here and now, for a command whose every millisecond counts.

    The interpreter is not taken down piece by piece, and the catalog's log stays as it is for the next command: a
    database that is closed by its last user is tidied up, with two waits for the disk.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(code)


def protect(work: Callable[[], int | None], failure: int = FAILURE) -> int:
    """Run `work` for a process that cannot return to `guarded` (a forked child); its exit code."""
    try:
        code = work() or 0
        sys.stdout.flush()
        return code
    except BaseException as error:
        return report(error, failure)


def report(error: BaseException, failure: int = FAILURE) -> int:
    """Say on stderr what `error` means, and return the exit code it asks for."""
    if isinstance(error, Exit):
        return error.code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILURE
    if isinstance(error, KeyboardInterrupt) or interrupts.came():
        return _interrupted(error)
    if isinstance(error, BrokenPipeError):  # whoever read what we write has enough
        _silence_stdout()
        return 128 + 13
    if isinstance(error, LamellaError):
        _say(error.message + (f"\n  {error.hint}" if error.hint else ""))
        return getattr(error, "exit_code", failure)
    if isinstance(error, OSError) and not debugging():
        _say(_os_error(error))
        return failure
    if _is_torn(error) and not debugging():
        _say(f"a database of the store is damaged: {error}\n  {RECOVERY}")
        return failure
    known = _report_click(error, failure) if "click" in sys.modules else None
    return _unexpected(error, failure) if known is None else known


def _is_torn(error: BaseException) -> bool:
    """Whether SQLite says that a file is not what it wrote; it is not loaded to find out."""
    sqlite = sys.modules.get("core.sqlite")
    return sqlite is not None and type(error) is sqlite.DatabaseError


def _interrupted(error: BaseException) -> int:
    """Whatever has become of the interrupt on its way up."""
    if debugging() and isinstance(error, Exception):
        import traceback

        traceback.print_exception(error)
    _say("interrupted")
    return 128 + (interrupts.came() or 2)


def _report_click(error: BaseException, failure: int) -> int | None:
    """What click itself raises; None for anything else. click is not loaded for this: `run` can do without."""
    import click

    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return _interrupted(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return 0
    if isinstance(error, click.UsageError):
        where = f"\nRun '{error.ctx.command_path} --help' for more information" if error.ctx else ""
        _say(f"{error.format_message()}{where}")
        return failure if failure != FAILURE else 2
    if isinstance(error, click.ClickException):
        _say(error.format_message())
        return failure
    return None


def _os_error(error: OSError) -> str:
    import errno

    where = f"{error.filename}: " if error.filename else ""
    hint = {
        errno.ENOSPC: "\n  the disk is full: free some space, or see what `lamella image prune` gives back",
        errno.EDQUOT: "\n  the disk quota is used up: free some space, or see what `lamella image prune` gives back",
        errno.EACCES: "\n  run it as root, or choose another place with --root",
        errno.EPERM: "\n  run it as root, or choose another place with --root",
        errno.EROFS: "\n  choose another place with --root",
    }.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{hint}"


def _unexpected(error: BaseException, failure: int) -> int:
    if debugging():
        import traceback

        traceback.print_exception(error)
    else:
        _say(
            f"{type(error).__name__}: {error}\n  this is a defect in lamella; run it again with --debug and report what it shows"
        )
    return failure


def debugging() -> bool:
    """Whether the user asked for tracebacks (the flag may not have been parsed when the error came)."""
    return "--debug" in sys.argv[1:] or bool(os.environ.get("LAMELLA_DEBUG"))


def _say(text: str) -> None:
    text = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)  # some of it is a stranger's
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"lamella: {text}\n")
        sys.stderr.flush()


def _silence_stdout() -> None:
    # The reader is gone (`lamella images | head`): let the interpreter's last flush go nowhere.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
