"""lamella: the whole container-image loop in one program without a daemon."""

from core.version import VERSION as __version__

__all__ = ["__version__"]
