"""A fault in a copy of a fake family."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Fault"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault in a copy of a fake family, the check that must catch it, and the arguments of ``write_broken``."""

    check: str
    what: str
    denoiser: bool = False
    text: bool = False
    top: str = ""
    hook: str = ""
    config_top: str = ""
    config: str = ""
    model: str = ""
    trainer: str = ""

    def write(self, write_broken: Callable[..., Path], folder: Path) -> Path:
        return write_broken(folder, **{name: value for name, value in asdict(self).items() if name not in ("check", "what")})
