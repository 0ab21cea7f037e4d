"""What a plan takes from neither the file nor the context: URLs and repositories of ADD, and the further contexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.dockerfile.instructions import Add, Instruction
from builder.ops.copy import CopyOp
from builder.ops.fetch import fetched
from builder.request import BuildRequest
from builder.sources.address import GitAddress, HttpAddress, parse_address, with_commit
from builder.sources.named import DirectoryContext, Further, ImageContext, LayoutContext, find
from builder.stages import BaseImage, Directory, Origin, Stage, Step
from builder.state import StageState, start_from_image, start_from_scratch, start_from_stage
from core.errors import InvalidInput, LamellaError
from core.value import replace
from image.digest import Digest

if TYPE_CHECKING:
    from image.platform import Platform

MAX_NAME_BYTES = 255
FindLayout = Callable[[LayoutContext, "Platform"], BaseImage]
Base = tuple[Stage | BaseImage | None, StageState]


class Elsewhere:
    """One plan's; the same address is one stage, however often it is named."""

    def __init__(
        self, request: BuildRequest, image: Callable[[str, Instruction], BaseImage], layout: FindLayout | None
    ) -> None:
        self._request = request
        self._image = image
        self._layout = layout
        self._stages: dict[object, Stage] = {}

    def added(self, source: str, asking: Add) -> tuple[Stage, str]:
        """The stage that holds the remote `source` of an ADD, and what is to be copied from it. Raises DockerfileError."""
        try:
            address = parse_address(source)
            if isinstance(address, GitAddress):
                return self._fetched(_told(address, asking), asking), "/"
            assert isinstance(address, HttpAddress)
            name = address.name
            if "\0" in name or len(name.encode()) > MAX_NAME_BYTES:
                raise InvalidInput("the URL ends with what cannot be the name of a file", "fetch it in a RUN")
            checksum = Digest.parse(asking.checksum) if asking.checksum else ""
            if checksum and not checksum.startswith("sha256:"):
                raise InvalidInput(f"--checksum={checksum} is no sha256", "write --checksum=sha256:…")
        except LamellaError as error:
            raise asking.error(error.message, error.hint) from error
        return self._fetched(address, asking, checksum), _literally(name)

    def named(self, name: str, asking: Instruction) -> Origin | None:
        """What a --from of that name means, if it is a further context. Raises DockerfileError."""
        found = find(self._request.contexts, name, self._request.platform)
        if found is None:
            return None
        if isinstance(found, DirectoryContext):
            return Directory(name, found.path)
        if isinstance(found, ImageContext | LayoutContext):
            return self._image_of(found, asking)
        return self._fetched(found, asking, context=True)

    def base(self, name: str, asking: Instruction) -> Base | None:
        """What a FROM of that name starts from, if it is a further context. Raises DockerfileError."""
        if find(self._request.contexts, name, self._request.platform) == ImageContext("scratch"):
            return None, start_from_scratch()
        origin = self.named(name, asking)
        if isinstance(origin, Directory):
            copy = CopyOp(("/",), "/", True, origin, (), "", "")
            steps = (Step(copy, f"[internal] load {name} from {origin.path}", asking),)
            origin = Stage(-1, "", None, steps, start_from_scratch(), asking, "")
        if isinstance(origin, Stage):
            return origin, start_from_stage(origin.state)
        return (origin, start_from_image(origin.config)) if origin else None

    def _image_of(self, found: Further, asking: Instruction) -> BaseImage:
        if isinstance(found, ImageContext):
            return self._image(found.name, asking)
        assert isinstance(found, LayoutContext)
        try:
            if self._layout is None:
                raise InvalidInput("an oci-layout is of no use here", "name an image")
            return self._layout(found, self._request.platform)
        except LamellaError as error:
            raise asking.error(error.message, error.hint) from error

    def _fetched(
        self, address: GitAddress | HttpAddress, asking: Instruction, checksum: str = "", *, context: bool = False
    ) -> Stage:
        key = (address, checksum, context)
        if key not in self._stages:
            self._stages[key] = fetched(address, asking, checksum=checksum, context=context)
        return self._stages[key]


def _told(address: GitAddress, asking: Add) -> GitAddress:
    """The address with what the flags of ADD say."""
    keep = asking.keep_git
    if keep is not None and address.keep_git is not None and keep != address.keep_git:
        raise InvalidInput("--keep-git-dir and the address's keep-git-dir contradict each other", "leave one out")
    if keep is not None:
        address = replace(address, keep_git=keep)
    return with_commit(address, asking.checksum) if asking.checksum else address


def _literally(name: str) -> str:
    """A pattern for that very name: a URL has no wildcards."""
    if not any(c in name for c in "*?["):
        return name
    return "".join(f"[{c}]" if c in "*?[" else "\\\\" if c == "\\" else c for c in name)
