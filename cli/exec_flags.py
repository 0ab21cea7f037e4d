"""The flags of `exec` as a table."""

from __future__ import annotations

from cli.flags import Flag

EXEC: tuple[Flag, ...] = (
    (("-i", "--interactive"), {"is_flag": True, "help": "Give it our stdin."}),
    (("-t", "--tty"), {"is_flag": True, "help": "Give it a terminal."}),
    (("-d", "--detach"), {"is_flag": True, "help": "Do not wait for it."}),
    (("-e", "--env"), {"multiple": True, "metavar": "NAME[=VALUE]", "help": "Set a variable."}),
    (("--env-file",), {"multiple": True, "metavar": "FILE", "help": "Read variables from a file."}),
    (("-w", "--workdir"), {"default": "", "metavar": "DIR", "help": "Working directory."}),
    (("-u", "--user"), {"default": "", "metavar": "USER[:GROUP]", "help": "User name or ID, and group."}),
    (("--privileged",), {"is_flag": True, "help": "Give it all capabilities."}),
    (("--detach-keys",), {"metavar": "KEYS", "help": "Keys that leave it to itself.  [default: ctrl-p,ctrl-q]"}),
)  # fmt: skip
