"""Hooks of MkDocs: pages from outside docs/, links that hold on a code host and on the site, equations, and numbers of the cards."""

import posixpath
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Pages and pictures that the site shows beside those of docs/, by their paths in the repository.
OUTSIDE = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "plugins/*/README.md",
    "model_cards/*/README.md",
    "model_cards/*/*.png",
    "model_cards/*/LICENSE",
    "examples/*.ipynb",
]
LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=\))")
MARKER = re.compile(r"^<!-- checkpoints of ([\w-]+) -->$", re.MULTILINE)
# A bar over alpha as one letter, since fonts without mathematics draw the accent into it.
BAR = re.compile(r"<mover><mi>(?:&#x003B1;|\u03b1)</mi><mo[^>]*>[^<]*</mo></mover>")
EQUATION = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)


def on_config(config: Any) -> Any:
    """Replaces ``cards`` and ``plugin pages`` in the navigation by the pages that there are."""
    pages = {
        "cards": [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("model_cards/*/README.md"))],
        "plugin pages": [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("plugins/*/README.md"))],
    }
    sections = [section for section in config.nav if isinstance(section, dict)]
    for child in (child for section in sections for children in section.values() for child in children):
        if isinstance(child, dict):
            child.update({title: pages[page] for title, page in child.items() if page in pages})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages and pictures of ``OUTSIDE``."""
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Adds the checkpoints of a family, and rewrites links between files of the repository as links between pages of the site."""
    markdown = MARKER.sub(lambda match: "\n".join(checkpoints_of(match[1])), markdown)
    outside = page.file.generated_by is not None
    page.meta.pop("tags", None)  # those of cards are for the Hub, and the search would put them above every title
    source = page.file.src_uri if outside else f"docs/{page.file.src_uri}"
    return LINK.sub(lambda match: moved(match["path"], source) + (match["anchor"] or ""), markdown)


def moved(link: str, source: str) -> str:
    """The link from a page of the site to another.

    Args:
        link: the relative link in the repository.
        source: path in the repository of the file that has it, such as ``docs/samplers.md``.
    """
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    here = posixpath.dirname(source.removeprefix("docs/"))
    return posixpath.relpath(target.removeprefix("docs/"), here or ".")


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Writes equations as MathML, which browsers show without a script."""
    return EQUATION.sub(_mathml, html)


def _mathml(match: re.Match[str]) -> str:
    from html import unescape

    from latex2mathml.converter import convert

    block = match["tag"] == "div"
    equation = BAR.sub("<mi>\u1fb1</mi>", convert(unescape(match["latex"]).strip(), display="block" if block else "inline"))
    return f'<div class="equation" tabindex="0">{equation}</div>' if block else equation


@cache
def facts() -> dict[str, Any]:
    """Facts of the checkpoints of this repository, by name."""
    from zoo_core.loading import info

    return {path.parent.name: info(path.parent) for path in sorted(ROOT.glob("model_cards/*/README.md"))}


def checkpoints_of(family: str) -> Iterator[str]:
    """Lines of markdown about the checkpoints of a family, from their cards and records."""
    from zoo_core.cards.card import load
    from zoo_core.cards.metrics_json import by_sampler, metric_records
    from zoo_core.cards.tables import markdown, side_by_side

    own = {name: each for name, each in facts().items() if each["family"] == family}
    if not own:
        yield f"None comes with the plugin yet; `zoo train {family}` makes one."
        return
    yield "| checkpoint | parameters | hours of one core | licence |\n|---|---:|---:|---|"
    for name, each in own.items():
        link = f"[{name}](../../model_cards/{name}/README.md)"
        yield f"| {link} | {each['parameters']:,} | {each['training']['hours']:.2g} | {each['license']} |"
    for name in own:
        folder = ROOT / "model_cards" / name
        yield f"\n### {name}\n\n{load(folder / 'README.md').summary}\n"
        if (folder / "samples.png").exists():
            yield f"![Samples of {name}, seed 0, not chosen](../../model_cards/{name}/samples.png){{ .sheet }}\n"
    records = {
        name: by_sampler(metric_records(each["metrics"]), each["sampler"], each["scheduler"])
        for name, each in own.items()
        if each["metrics"]
    }
    yield "\n### Numbers\n\nFrom the records of the checkpoints, which `zoo verify NAME --metrics` measures again.\n"
    for board in side_by_side(records):
        yield f"{board.caption}\n\n{markdown(board)}\n"
