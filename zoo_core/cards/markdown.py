"""Text from files where markdown is written: nothing in it is read as markup, nor breaks a table."""

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["code", "describe", "one_line", "word"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,()%/-]*")


def one_line(text: str) -> str:
    """``text`` in one line, without what cannot be printed."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def code(text: str) -> str:
    """``text`` as code, in one line; nothing where it is empty. A broken bar stands for a bar, which would end a table's cell."""
    line = one_line(text).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{line}`" if line else ""


def word(text: str) -> str:
    """``text`` as it is where it can be no markup, otherwise as code."""
    return text if _WORD.fullmatch(text) else code(text)


def describe(part: Mapping[str, Any]) -> str:
    """One line for the plain values of a sampler, scheduler, ...: ``ancestral: steps=50, eta=1.0``. What is nested or null is not told."""
    plain = {key: value for key, value in part.items() if key != "name" and value is not None and not isinstance(value, Mapping)}
    options = ", ".join(f"{key}={json.dumps(value)}" for key, value in plain.items())
    return ": ".join(filter(None, [str(part.get("name", "")), options]))
