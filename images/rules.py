"""What removing an image means, decided from facts alone: Docker's rules, without any I/O.

Hard conflicts (child images, running containers) cannot be forced; soft ones (several names, stopped containers) can.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import Conflict
from core.value import Value, replace
from image.digest import Digest
from image.reference import Reference
from store.holds import Hold


class RemovalConflict(Conflict):
    """Somebody needs the image. `used`: a container does, rather than another name or image."""

    def __init__(self, message: str, hint: str, *, used: bool = False) -> None:
        super().__init__(f"conflict: {message}", hint)
        self.used = used


class Facts(Value):
    """All that decides about one image. `references` are its tags and repository digests."""

    id: Digest
    parent: Digest | None
    references: tuple[Reference, ...]
    children: tuple[Digest, ...]
    holds: tuple[Hold, ...]

    def without(self, references: Sequence[Reference]) -> Facts:
        """The facts once `references` are gone."""
        return replace(self, references=tuple(r for r in self.references if r not in references))


class Decision(Value):
    """What to do about one image: names to take away, and whether the image itself goes."""

    untag: tuple[Reference, ...]
    delete: bool


def decide_by_name(facts: Facts, name: Reference, typed: str, *, force: bool) -> Decision:
    """Removing `name`, one of the references, `typed` by somebody. Raises RemovalConflict where it is the last and a
    container uses the image."""
    if not force and single(facts.references) and facts.holds:
        hold = facts.holds[0]
        raise RemovalConflict(
            f'unable to remove repository reference "{typed}" (must force) - {_who(hold)} is using'
            f" its referenced image {facts.id.short}",
            _remove_hint(hold),
            used=True,
        )
    gone = _with_digests(facts.references, name)
    rest = facts.without(gone)
    if rest.references:
        return Decision(gone, delete=False)
    return Decision(gone, delete=_conflict(rest, force=force) is None)


def decide_by_id(facts: Facts, *, force: bool) -> Decision:
    """Removing the image with all its names. Raises RemovalConflict."""
    mine = facts.without(facts.references) if force or single(facts.references) else facts
    conflict = _conflict(mine, force=force)
    if conflict:
        raise conflict
    return Decision(facts.references, delete=True)


def goes_along(facts: Facts) -> bool:
    """Whether a parent goes with its last child: nobody names, contains or uses it any more."""
    return _conflict(facts, force=False) is None


def single(references: Sequence[Reference]) -> bool:
    """Whether they count as one name: at most one tag, all digests in the same repository."""
    tags = [r for r in references if r.tag]
    repositories = {r.repository for r in references}
    return len(references) <= 1 or (len(tags) <= 1 and len(repositories) == 1)


def _with_digests(references: Sequence[Reference], name: Reference) -> tuple[Reference, ...]:
    """`name`, and where it was the last tag of its repository that repository's digests."""
    same = [r for r in references if r.repository == name.repository and r != name]
    if name.digest or any(r.tag for r in same):
        return (name,)
    return (name, *same)


def _conflict(facts: Facts, *, force: bool) -> RemovalConflict | None:
    running = [hold for hold in facts.holds if hold.running]
    stopped = [hold for hold in facts.holds if not hold.running]
    if facts.children:
        why, hint = "image has dependent child images", f"remove {facts.children[0].short} first"
        return _unable(facts, "cannot be forced", why, hint)
    if running:
        why = f"image is being used by running {_who(running[0])}"
        return _unable(facts, "cannot be forced", why, _remove_hint(running[0]), used=True)
    if force:
        return None
    if facts.references:
        why = "image is referenced in multiple repositories"
        return _unable(facts, "must be forced", why, "remove its names one by one, or all of them with -f")
    if stopped:
        why = f"image is being used by stopped {_who(stopped[0])}"
        return _unable(facts, "must be forced", why, _remove_hint(stopped[0]), used=True)
    return None


def _unable(facts: Facts, how: str, why: str, hint: str, *, used: bool = False) -> RemovalConflict:
    return RemovalConflict(f"unable to delete {facts.id.short} ({how}) - {why}", hint, used=used)


def _who(hold: Hold) -> str:
    return f"{'container' if hold.kind == 'mounted' else hold.kind} {hold.id[:12]}"


def _remove_hint(hold: Hold) -> str:
    if hold.kind == "mount":
        return f"unmount it first: lamella image unmount {hold.name or hold.id[:12]}"
    if hold.kind not in ("container", "mounted"):
        return f"wait until {hold.kind} {hold.name or hold.id[:12]} is done"
    name = hold.name or hold.id[:12]
    if hold.running:
        return f"stop and remove it first: lamella rm -f {name}"
    return f"remove it first (lamella rm {name}), or take the image's name away from it with -f"
