"""The pages of docs/: their blocks run, and their code is that of the sources."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zoo_core.cli.group import zoo
from zoo_core.registry import registry
from zoo_core.specs import ModelSpec

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FAMILIES = sorted(path for path in DOCS.glob("families/*.md") if path.stem != "index")
# Pages whose blocks of Python are lines of the sources.
QUOTING = [*FAMILIES, DOCS / "distillation.md"]
# A block of Python, or a line of an indented block that begins with the command.
BLOCK = re.compile(r"^```python\n(?P<python>.*?)^```$|^    (?P<command>zoo [^\n]*)$", re.MULTILINE | re.DOTALL)
# Pages whose blocks of Python run as they stand, from first to last.
RUNNABLE = [
    "README.md",
    "docs/density.md",
    "docs/evaluation.md",
    "docs/figures.md",
    "docs/notes.md",
    "docs/samplers.md",
    "docs/text.md",
    "docs/training.md",
    *(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/README.md")),
]
# Pages whose blocks run elsewhere: the tour above, lines of sources below, and files of plugins in tests/test_plugin_pages.py.
ELSEWHERE = ["docs/tour.md", "docs/plugins.md", "docs/parts.md", *(str(path.relative_to(ROOT)) for path in QUOTING)]
IMAGE = "import torch, zoo_core; cats = zoo_core.load('ddpm-afhq-cat'); images = cats.sample(1, steps=2); "
# Lines before the first block of a page, for names that the page takes as given.
GIVEN = {
    "plugins/vae/README.md": "import torch; x = torch.zeros(2, 1, 28, 28); import zoo_core; digits = zoo_core.load('vae-mnist')",
    "docs/density.md": IMAGE + "images = (images * 127.5 + 127.5).round() / 127.5 - 1",
    "docs/samplers.md": IMAGE
    + "mask = torch.arange(32).expand(1, 32, 32) < 16; known = images; denoiser = cats.model; digits = cats; "
    + "from zoo_core.rng import ImageRng; rng = ImageRng(0, [0])",
}
# Numbers of the pages that would take minutes, and those that the test puts in their places.
QUICK = {
    "local:runs/digits": "vae-mnist",
    "cats.sample(16,": "cats.sample(1,",
    "steps=50, steps_per_level=10)": "steps=2, steps_per_level=2)",
    '"steps": 20, "steps_per_level": 50,': '"steps": 2, "steps_per_level": 2,',
    "cats.inpaint(images, mask, seed=0)": "cats.inpaint(images, mask, seed=0, steps=2)",
    "steps=200": "steps=2",
    'method="bound")': 'method="bound", k=1)',
}


def stripped(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def is_within(lines: list[str], source: list[str]) -> bool:
    return any(source[i : i + len(lines)] == lines for i in range(len(source)))


def run(command: str) -> None:
    result = CliRunner().invoke(zoo, shlex.split(command, comments=True)[1:], catch_exceptions=False)
    assert result.exit_code == 0, f"{command}: {result.output[-500:]}"


@pytest.mark.slow
def test_the_tour_runs_from_its_first_line_to_its_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tour.md").read_text()
    scope: dict[str, Any] = {}
    for block in BLOCK.finditer(text):
        if block["command"]:
            run(block["command"])
        else:
            exec(compile(block["python"], "docs/tour.md", "exec"), scope)  # noqa: S102  # a block of ours
    pictures = {word for line in text.splitlines() if line.startswith("    zoo") for word in line.split() if word.endswith(".png")}
    assert len(pictures) >= 5
    assert all((tmp_path / name).stat().st_size > 1000 for name in pictures)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNABLE)
def test_the_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {}
    exec(GIVEN.get(page, ""), scope)  # noqa: S102  # a line of ours
    blocks = [block["python"] for block in BLOCK.finditer((ROOT / page).read_text()) if block["python"]]
    for text in blocks:
        for slow, quick in QUICK.items():
            text = text.replace(slow, quick)
        exec(compile(text, page, "exec"), scope)  # noqa: S102  # a block of ours


def test_every_page_with_python_is_run_by_some_test() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    with_python = {str(path.relative_to(ROOT)) for path in pages if "```py" in path.read_text()}
    assert with_python - {*RUNNABLE, *ELSEWHERE} == set()


def test_every_block_of_code_says_its_language() -> None:
    pages = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/README.md")]
    languages = {word for path in pages for word in re.findall(r"^```(\w*)\n(?:.*\n)*?```$", path.read_text(), re.MULTILINE)}
    assert languages <= {"bibtex", "json", "python", "sh", "toml"}


@pytest.mark.parametrize("page", QUOTING, ids=lambda path: path.stem)
def test_a_page_of_equations_has_lines_of_the_sources(page: Path) -> None:
    text = page.read_text()
    blocks = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```python") >= 1
    assert text.count("\n$$\n") >= 2
    for path, lines in blocks:
        assert is_within(stripped(lines), stripped((ROOT / path).read_text())), f"{page.name} differs from {path}:\n{lines}"


def test_every_family_has_a_page_with_its_checkpoints() -> None:
    families = {
        spec.name for plugin in registry().plugins for spec in plugin.specs if isinstance(spec, ModelSpec) and plugin.name != "zoo-core"
    }
    assert families == {page.stem for page in FAMILIES}
    for page in FAMILIES:
        assert page.read_text().endswith(f"<!-- checkpoints of {page.stem} -->\n")
        assert f"]({page.name})" in (DOCS / "families/index.md").read_text()


def test_a_line_that_the_sources_do_not_have_is_seen() -> None:
    assert is_within(["b", "c"], ["a", "b", "c"])
    assert not is_within(["b", "d"], ["a", "b", "c"])


def test_every_picture_of_the_pages_is_small() -> None:
    large = {path.name for path in DOCS.glob("images/*.png") if os.path.getsize(path) > 500_000}
    assert large == set()
