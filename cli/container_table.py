"""The flags of `run` and `create` as tables, a table for each thing they decide."""

from __future__ import annotations

from cli.flags import Flag

PROCESS: tuple[Flag, ...] = (
    (("-e", "--env"), {"multiple": True, "metavar": "NAME[=VALUE]", "help": "Set a variable; without a value, pass ours on."}),
    (("--env-file",), {"multiple": True, "metavar": "FILE", "help": "Read variables from a file."}),
    (("-w", "--workdir"), {"metavar": "DIR", "default": "", "help": "Working directory in the container."}),
    (("-u", "--user"), {"metavar": "USER[:GROUP]", "default": "", "help": "User name or ID, and group."}),
    (("--name",), {"metavar": "NAME", "default": "", "help": "Name of the container."}),
    (("-h", "--hostname"), {"metavar": "NAME", "default": "", "help": "Host name in the container."}),
    (("--entrypoint",), {"metavar": "COMMAND", "help": "Replace the image's entrypoint."}),
    (("-l", "--label"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Label the container."}),
    (("--label-file",), {"multiple": True, "metavar": "FILE", "help": "Read labels from a file."}),
    (("--init",), {"is_flag": True, "help": "Run a small init that reaps orphans."}),
    (("--stop-signal",), {"metavar": "SIGNAL", "default": "", "help": "Signal that `stop` sends."}),
    (("--stop-timeout",), {"type": int, "metavar": "SECONDS", "help": "How long `stop` waits before it kills."}),
    (("-i", "--interactive"), {"is_flag": True, "help": "Keep stdin open."}),
    (("-t", "--tty"), {"is_flag": True, "help": "Give the container a terminal."}),
    (("--rm",), {"is_flag": True, "help": "Remove the container when it ends."}),
    (("--pull",), {"choices": ("missing", "always", "never"), "default": "missing", "help": "When to pull the image."}),
    (("--cidfile",), {"metavar": "FILE", "help": "Write the container's ID to a new file."}),
    (("-q", "--quiet"), {"is_flag": True, "help": "Do not show the progress of a pull."}),
)  # fmt: skip
MOUNTS: tuple[Flag, ...] = (
    (("-v", "--volume"), {"multiple": True, "metavar": "SOURCE:TARGET[:ro]", "help": "Bind a directory or file of the host."}),
    (("--mount",), {"multiple": True, "metavar": "type=bind|tmpfs,…", "help": "Mount a directory, file or tmpfs."}),
    (("--tmpfs",), {"multiple": True, "metavar": "TARGET[:OPTIONS]", "help": "Mount a tmpfs."}),
    (("--read-only",), {"is_flag": True, "help": "Mount the root file system read-only."}),
    (("--shm-size",), {"metavar": "SIZE", "help": "Size of /dev/shm.  [default: 64m]"}),
)  # fmt: skip
NETWORK: tuple[Flag, ...] = (
    (("--network", "--net"), {"metavar": "host|none", "default": "host", "help": "Network: the host's, or none."}),
    (("-p", "--publish"), {"multiple": True, "metavar": "[IP:]HOST:PORT", "help": "Publish a port (needs a bridge network)."}),
    (("-P", "--publish-all"), {"is_flag": True, "help": "Publish all exposed ports (needs a bridge network)."}),
    (("--add-host",), {"multiple": True, "metavar": "NAME:ADDRESS", "help": "Add a line to /etc/hosts."}),
)  # fmt: skip
ISOLATION: tuple[Flag, ...] = (
    (("--privileged",), {"is_flag": True, "help": "Give all capabilities and devices: no wall to the host."}),
    (("--cap-add",), {"multiple": True, "metavar": "NAME", "help": "Add a capability."}),
    (("--cap-drop",), {"multiple": True, "metavar": "NAME", "help": "Drop a capability."}),
    (("--security-opt",), {"multiple": True, "metavar": "OPTION", "help": "seccomp=unconfined, seccomp=FILE."}),
)  # fmt: skip
LIMITS: tuple[Flag, ...] = ()
SUPERVISION: tuple[Flag, ...] = ()
SHARED: tuple[Flag, ...] = (*PROCESS, *MOUNTS, *NETWORK, *ISOLATION, *LIMITS, *SUPERVISION)
RUN: tuple[Flag, ...] = (
    *SHARED,
    (("-d", "--detach"), {"is_flag": True, "help": "Run in the background and print the ID."}),
    (("-a", "--attach"), {"multiple": True, "metavar": "STREAM", "help": "Accepted for Docker's sake: all are attached."}),
    (("--sig-proxy/--no-sig-proxy",), {"default": True, "hidden": True}),
)  # fmt: skip
