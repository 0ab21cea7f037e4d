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
    (("-v", "--volume"), {"multiple": True, "metavar": "[SOURCE:]TARGET[:OPTIONS]", "help": "Mount a volume, or a directory or file of the host."}),
    (("--mount",), {"multiple": True, "metavar": "type=volume|bind|tmpfs|image,…", "help": "Mount a volume, directory, file, tmpfs or image."}),
    (("--volumes-from",), {"multiple": True, "metavar": "CONTAINER[:ro|rw]", "help": "Mount what another container has mounted."}),
    (("--volume-driver",), {"metavar": "NAME", "help": "Driver of the volumes that are made.  [default: local]"}),
    (("--tmpfs",), {"multiple": True, "metavar": "TARGET[:OPTIONS]", "help": "Mount a tmpfs."}),
    (("--read-only",), {"is_flag": True, "help": "Mount the root file system read-only."}),
    (("--shm-size",), {"metavar": "SIZE", "help": "Size of /dev/shm.  [default: 64m]"}),
)  # fmt: skip
NETWORK: tuple[Flag, ...] = (
    (("--network", "--net"), {"multiple": True, "metavar": "NETWORK", "help": "Network: a name, host, none, container:NAME.  [default: host]"}),
    (("-p", "--publish"), {"multiple": True, "metavar": "[IP:][HOST:]PORT", "help": "Publish a port on the host."}),
    (("-P", "--publish-all"), {"is_flag": True, "help": "Publish all exposed ports on free ports of the host."}),
    (("--expose",), {"multiple": True, "metavar": "PORT", "help": "A port for -P, and for links."}),
    (("--network-alias", "--net-alias"), {"multiple": True, "metavar": "NAME", "help": "Another name on the network."}),
    (("--ip",), {"metavar": "ADDRESS", "help": "IPv4 address on the network."}),
    (("--ip6",), {"metavar": "ADDRESS", "help": "IPv6 address on the network."}),
    (("--mac-address",), {"metavar": "MAC", "help": "Hardware address on the network."}),
    (("--link",), {"multiple": True, "metavar": "CONTAINER[:ALIAS]", "help": "Link to a container (legacy: use a network)."}),
    (("--dns",), {"multiple": True, "metavar": "ADDRESS", "help": "Name server, in place of the host's."}),
    (("--dns-search",), {"multiple": True, "metavar": "DOMAIN", "help": "Where names without dots are looked for."}),
    (("--dns-option", "--dns-opt"), {"multiple": True, "metavar": "OPTION", "help": "Option of resolv.conf."}),
    (("--add-host",), {"multiple": True, "metavar": "NAME:ADDRESS", "help": "Add a line to /etc/hosts; host-gateway is the host."}),
)  # fmt: skip
ISOLATION: tuple[Flag, ...] = (
    (("--privileged",), {"is_flag": True, "help": "Give all capabilities and devices: no wall to the host."}),
    (("--cap-add",), {"multiple": True, "metavar": "NAME", "help": "Add a capability."}),
    (("--cap-drop",), {"multiple": True, "metavar": "NAME", "help": "Drop a capability."}),
    (("--security-opt",), {"multiple": True, "metavar": "OPTION", "help": "seccomp=unconfined|FILE, no-new-privileges, label=…, apparmor=…, systempaths=unconfined, mask=PATH, unmask=PATH."}),
    (("--device",), {"multiple": True, "metavar": "HOST[:CONTAINER][:rwm]", "help": "Give it a device of the host."}),
    (("--device-cgroup-rule",), {"multiple": True, "metavar": "RULE", "help": "Let it use devices by number, such as 'c 189:* rwm'."}),
    (("--gpus",), {"metavar": "GPUS", "hidden": True}),
    (("--sysctl",), {"multiple": True, "metavar": "NAME=VALUE", "help": "Set a kernel parameter of its own namespaces."}),
    (("--ulimit",), {"multiple": True, "metavar": "NAME=SOFT[:HARD]", "help": "Limit each process (setrlimit)."}),
    (("--pid",), {"metavar": "host|container:NAME", "help": "See the processes of the host, or of another container."}),
    (("--ipc",), {"metavar": "MODE", "help": "Shared memory: private, none, shareable, host, container:NAME."}),
    (("--uts",), {"metavar": "host", "help": "Share the host's name."}),
    (("--userns",), {"metavar": "host", "help": "Users are the host's."}),
    (("--cgroupns",), {"metavar": "host|private", "help": "Whether it sees the host's cgroup paths."}),
    (("--oom-score-adj",), {"type": int, "metavar": "NUMBER", "help": "How readily the kernel kills it for memory: -1000 to 1000."}),
    (("--runtime",), {"metavar": "NAME", "envvar": "LAMELLA_RUNTIME", "help": "The OCI runtime that starts it: crun, runc, …, or a path; chroot is lamella's own."}),
    (("--storage-opt",), {"multiple": True, "metavar": "NAME=VALUE", "hidden": True}),
    (("--isolation",), {"metavar": "default", "hidden": True}),
)  # fmt: skip
LIMITS: tuple[Flag, ...] = (
    (("-m", "--memory"), {"metavar": "SIZE", "help": "Memory, at least 6m."}),
    (("--memory-swap",), {"metavar": "SIZE", "help": "Memory and swap together, -1 for any.  [default: twice the memory]"}),
    (("--memory-reservation",), {"metavar": "SIZE", "help": "Memory it is cut back to when the host has little."}),
    (("--memory-swappiness",), {"type": int, "metavar": "PERCENT", "help": "How readily it is swapped out: 0 to 100."}),
    (("--oom-kill-disable",), {"is_flag": True, "help": "Let it wait for memory instead of killing it."}),
    (("--cpus",), {"metavar": "NUMBER", "help": "Processors it may keep busy, such as 1.5."}),
    (("-c", "--cpu-shares"), {"type": int, "metavar": "NUMBER", "help": "Its share where processors are short (1024 is one part)."}),
    (("--cpu-period",), {"type": int, "metavar": "MICROSECONDS", "help": "The time in which --cpu-quota is given out."}),
    (("--cpu-quota",), {"type": int, "metavar": "MICROSECONDS", "help": "Processor time in each period."}),
    (("--cpuset-cpus",), {"metavar": "LIST", "help": "The processors it may run on: 0-3, 0,1."}),
    (("--cpuset-mems",), {"metavar": "LIST", "help": "The memory nodes it may use."}),
    (("--pids-limit",), {"type": int, "metavar": "NUMBER", "help": "Processes and threads it may have, -1 for any."}),
    (("--blkio-weight",), {"type": int, "metavar": "NUMBER", "help": "Its weight for block devices: 10 to 1000."}),
    (("--blkio-weight-device",), {"multiple": True, "metavar": "DEVICE:NUMBER", "help": "Its weight for one device."}),
    (("--device-read-bps",), {"multiple": True, "metavar": "DEVICE:SIZE", "help": "Bytes a second read from a device."}),
    (("--device-write-bps",), {"multiple": True, "metavar": "DEVICE:SIZE", "help": "Bytes a second written to a device."}),
    (("--device-read-iops",), {"multiple": True, "metavar": "DEVICE:NUMBER", "help": "Reads a second from a device."}),
    (("--device-write-iops",), {"multiple": True, "metavar": "DEVICE:NUMBER", "help": "Writes a second to a device."}),
    (("--cgroup-parent",), {"metavar": "PATH", "help": "The cgroup that its own is made in."}),
)  # fmt: skip
SUPERVISION: tuple[Flag, ...] = (
    (("--restart",), {"metavar": "POLICY", "default": "no", "help": "When to start it again: no, always, unless-stopped, on-failure[:N]."}),
    (("--health-cmd",), {"metavar": "COMMAND", "default": "", "help": "A shell command that tells whether the container is well."}),
    (("--health-interval",), {"metavar": "TIME", "default": "", "help": "Pause between two checks.  [default: 30s]"}),
    (("--health-timeout",), {"metavar": "TIME", "default": "", "help": "How long one check may take.  [default: 30s]"}),
    (("--health-retries",), {"type": int, "metavar": "N", "default": 0, "help": "Failures in a row that make it unhealthy.  [default: 3]"}),
    (("--health-start-period",), {"metavar": "TIME", "default": "", "help": "How long it may fail at first.  [default: 0s]"}),
    (("--health-start-interval",), {"metavar": "TIME", "default": "", "help": "Pause between two checks meanwhile.  [default: 5s]"}),
    (("--no-healthcheck",), {"is_flag": True, "help": "Forget the image's health check."}),
)  # fmt: skip
SHARED: tuple[Flag, ...] = (*PROCESS, *MOUNTS, *NETWORK, *ISOLATION, *LIMITS, *SUPERVISION)
RUN: tuple[Flag, ...] = (
    *SHARED,
    (("-d", "--detach"), {"is_flag": True, "help": "Run in the background and print the ID."}),
    (("-a", "--attach"), {"multiple": True, "metavar": "STREAM", "help": "Accepted for Docker's sake: all are attached."}),
    (("--sig-proxy/--no-sig-proxy",), {"default": True, "hidden": True}),
)  # fmt: skip
