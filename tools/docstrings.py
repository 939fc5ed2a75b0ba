"""A griffe extension: docstrings as this repository writes them, as markdown for the site."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")
EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*\n(?:(?P=indent)\S.*\n?)*", re.MULTILINE)
SHARED = re.compile(r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+): (?P<text>.*)$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Makes links of roles such as ``:class:`Heun```, blocks of code of examples, and an entry for each argument of ``a, b: text``."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            text = ROLE.sub(lambda match: _link(match[1], obj), obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(_fenced, SHARED.sub(_apart, text))


def _link(name: str, obj: griffe.Object) -> str:
    short = name.rpartition(".")[2]
    try:
        target = name if name.startswith("zoo_") else obj.resolve(name)
    except griffe.NameResolutionError:
        return f"`{short}`"
    return f'<autoref identifier="{target}" optional><code>{short}</code></autoref>'


def _fenced(match: re.Match[str]) -> str:
    indent = match["indent"]
    return f"{indent}```pycon\n{match[0].rstrip()}\n{indent}```\n"


def _apart(match: re.Match[str]) -> str:
    return "\n".join(f"{match['indent']}{name}: {match['text']}" for name in match["names"].split(", "))
