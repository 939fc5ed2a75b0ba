"""Options of ``publish`` in messages: arguments for a caller in Python, flags for a caller on the command line."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

__all__ = ["command_line", "option"]

_AS_FLAGS: ContextVar[bool] = ContextVar("zoo_publish_options_as_flags", default=False)


@contextmanager
def command_line() -> Iterator[None]:
    """Makes messages of the block name options as flags."""
    before = _AS_FLAGS.set(True)
    try:
        yield
    finally:
        _AS_FLAGS.reset(before)


def option(name: str, value: str | Literal[True] | None = None) -> str:
    """An option of ``publish`` as its caller writes it.

    Args:
        name: name of the argument, such as ``dry_run``.
        value: its value; True for a switch, None for the name alone.

    Example:
        >>> from zoo_core.publishing.options import command_line, option
        >>> option("license", "mit"), option("dry_run", True), option("pin")
        ('license="mit"', 'dry_run=True', 'pin')
        >>> with command_line():
        ...     option("license", "mit"), option("dry_run", True), option("pin")
        ('--license mit', '--dry-run', '--pin')
    """
    if _AS_FLAGS.get():
        flag = "--" + name.replace("_", "-")
        return f"{flag} {shlex.quote(value)}" if isinstance(value, str) else flag
    if value is None:
        return name
    return f"{name}={json.dumps(value, ensure_ascii=False) if isinstance(value, str) else value}"
