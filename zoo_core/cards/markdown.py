"""Markdown of text from files, escaped so that no part of it is read as markup or breaks a table."""

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["code", "describe", "one_line", "word"]

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,()%/-]*")

_MOST_ITEMS = 100  # of a list in a line


def one_line(text: str) -> str:
    """``text`` in one line, without characters that cannot be printed."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def code(text: str) -> str:
    """``text`` as code, in one line; empty if it is empty. A bar, which would end a table's cell, becomes a broken bar.

    Example:
        >>> from zoo_core.cards.markdown import code
        >>> code("a|b"), code("")
        ('`a¦b`', '')
    """
    line = one_line(text).replace("`", "'").replace("|", "\N{BROKEN BAR}")
    return f"`{line}`" if line else ""


def word(text: str) -> str:
    """``text`` unchanged if it cannot be markup, otherwise as code."""
    return text if _WORD.fullmatch(text) else code(text)


def describe(part: Mapping[str, Any]) -> str:
    """One line for the name and plain values of a sampler, scheduler, ...; nested values and nulls are left out, long lists cut short.

    Example:
        >>> from zoo_core.cards.markdown import describe
        >>> describe({"name": "ancestral", "steps": 50, "eta": 1.0})
        'ancestral: steps=50, eta=1.0'
    """
    plain = {key: value for key, value in part.items() if key != "name" and value is not None and not isinstance(value, Mapping)}
    options = ", ".join(f"{key}={_short(value)}" for key, value in plain.items())
    return ": ".join(filter(None, [str(part.get("name", "")), options]))


def _short(value: object) -> str:
    """A value as JSON; of a list of more than 100 items, their number."""
    return f"[{len(value):,} items]" if isinstance(value, list) and len(value) > _MOST_ITEMS else json.dumps(value)
