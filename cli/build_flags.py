"""The flags of `build`."""

from __future__ import annotations

from cli.flags import Flag

BUILD: tuple[Flag, ...] = (
    (("-t", "--tag", "tags"), {"multiple": True, "metavar": "NAME", "help": "Name the image, as name[:tag] (repeatable)."}),
    (("-f", "--file"), {"metavar": "FILE", "help": "The Dockerfile; - reads it from stdin [PATH/Dockerfile]."}),
    (("--build-arg", "args"), {"multiple": True, "metavar": "KEY[=VALUE]", "help": "Set an ARG; without a value, from the environment."}),
    (("--target",), {"default": "", "metavar": "STAGE", "help": "Build this stage instead of the last one."}),
    (("--label", "labels"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Add a label to the image."}),
    (("--no-cache",), {"is_flag": True, "help": "Run every step again."}),
    (("--no-cache-filter", "no_cache_stages"), {"multiple": True, "metavar": "STAGE", "help": "Run this stage's steps again."}),
    (("--pull",), {"is_flag": True, "help": "Ask the registry for newer base images."}),
    (("-q", "--quiet"), {"is_flag": True, "help": "Print nothing but the image's ID."}),
    (("--iidfile",), {"metavar": "FILE", "help": "Write the image's ID to a file."}),
    (("--metadata-file",), {"metavar": "FILE", "help": "Write what was built to a file, as JSON."}),
    (("--annotation", "annotations"), {"multiple": True, "metavar": "KEY=VALUE", "help": "Add an annotation to the image's manifest."}),
    (("--push",), {"is_flag": True, "help": "Send the image to the registries in its names."}),
    (("--squash",), {"is_flag": True, "help": "Merge all layers that the build adds into one."}),
    (("--check",), {"is_flag": True, "help": "Look at the Dockerfile instead of building it."}),
    (("--call",), {"default": "", "metavar": "METHOD", "help": "Instead of a build: check, outline or targets[,format=json]."}),
    (("--progress",), {"default": "auto", "envvar": "BUILDKIT_PROGRESS", "metavar": "KIND", "help": "auto, plain, tty, rawjson, quiet or none."}),
    (("--platform",), {"default": "", "envvar": "DOCKER_DEFAULT_PLATFORM", "metavar": "OS/ARCH", "help": "Must be this machine's."}),
    (("--network",), {"default": "default", "choices": ("default", "none", "host"), "help": "What RUN steps see of the network."}),
    (("--build-context", "contexts"), {"multiple": True, "metavar": "NAME=VALUE", "help": "A directory, docker-image://, oci-layout://, git or http(s) address that stands for a stage, image or --from of that name."}),
    (("--add-host", "add_hosts"), {"multiple": True, "metavar": "HOST:IP", "help": "Add a line to /etc/hosts of RUN steps; host-gateway is this machine."}),
    (("--secret", "secrets"), {"multiple": True, "metavar": "id=NAME,src=FILE", "help": "Give RUN --mount=type=secret a file, or env=VARIABLE."}),
    (("--ssh", "agents"), {"multiple": True, "metavar": "default|ID[=SOCKET|KEY]", "help": "Give RUN --mount=type=ssh an agent, or private keys."}),
    (("--allow",), {"multiple": True, "metavar": "RIGHT", "help": "Let steps do more, such as security.insecure."}),
    (("--shm-size",), {"metavar": "SIZE", "help": "Size of /dev/shm in RUN steps.  [default: 64m]"}),
    (("--ulimit", "limits"), {"multiple": True, "metavar": "NAME=SOFT[:HARD]", "help": "Limit what RUN steps may use (repeatable)."}),
    (("--jobs",), {"metavar": "N", "help": "Run so many steps of independent stages at a time [one a processor]."}),
)  # fmt: skip
