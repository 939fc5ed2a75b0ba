"""Theorems about this repository: its cards, its pins, and what its documents say."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo_core.cli.pin import PINS, pin_checkpoint, render_cards
from zoo_core.config import load_json

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("plugins/*/zoo_*/plugin.py"))
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("plugins/*/README.md"))]
NAMED = [path.name for path in PACKAGES]


@pytest.mark.parametrize("package", PACKAGES, ids=NAMED)
def test_every_card_is_what_its_template_makes_of_its_files(package: Path) -> None:
    cards = render_cards(package)
    assert {path.parent.name for path in cards} == {path.name for path in package.glob("model_cards/*")}
    for path, text in cards.items():
        assert path.read_text() == text, "run `zoo pin`"


@pytest.mark.parametrize("package", PACKAGES, ids=NAMED)
def test_every_pin_is_that_of_its_file(package: Path) -> None:
    pins = load_json(package / PINS) if any(package.glob("model_cards/*")) else {}
    for name, entry in pins.items():
        assert {**pin_checkpoint(package / "model_cards" / name), "hub": entry["hub"]} == entry, "run `zoo pin`"


def test_every_checkpoint_belongs_to_one_plugin_which_links_to_it() -> None:
    links = [path for package in PACKAGES for path in package.glob("model_cards/*")]
    assert all(path.is_symlink() and path.resolve().parent == ROOT / "model_cards" for path in links)
    assert sorted(path.name for path in links) == sorted(path.name for path in (ROOT / "model_cards").iterdir())


def test_the_page_of_the_checkpoints_tells_all_of_them_and_their_numbers() -> None:
    from zoo_core.cli.compare import compare
    from zoo_core.loading import info

    page, names = (ROOT / "docs/checkpoints.md").read_text(), sorted(path.name for path in (ROOT / "model_cards").iterdir())
    for name in names:
        facts = info(name)
        [row] = [
            line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(f"| [{name}](../model_cards/{name}/README.md) |")
        ]
        assert [row[1], row[5]] == [facts["family"], facts["license"]]
        assert float(row[3].removesuffix(" M")) == pytest.approx(facts["parameters"] / 1e6, rel=0.05)
        assert float(row[4]) == pytest.approx(facts["training"]["hours"], rel=0.05)
        if (ROOT / "model_cards" / name / "samples.png").exists():
            assert f"](../model_cards/{name}/samples.png)" in page
    told = CliRunner().invoke(compare, [*names, "--markdown"], catch_exceptions=False).stdout
    assert page.endswith(told), "end the page with what `zoo compare --markdown` prints"


def test_the_extra_plugins_brings_every_plugin_of_the_repository() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    projects = [tomllib.loads(path.read_text())["project"] for path in ROOT.glob("plugins/*/pyproject.toml")]
    assert {name.partition(">=")[0] for name in extras["plugins"]} == {project["name"] for project in projects}


def test_all_weights_together_are_at_most_sixty_megabytes() -> None:
    assert sum(path.stat().st_size for path in ROOT.glob("model_cards/*/*.safetensors")) <= 60_000_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        assert target.startswith(("http://", "https://")) or (document.parent / target).exists(), target


def commands(document: Path) -> list[list[str]]:
    """The ``zoo`` commands in the indented blocks and ``sh`` fences of a document."""
    text = document.read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.startswith(("    ", "zoo "))]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("zoo ")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_zoo_command_of_a_document_has_the_commands_own_options(document: Path) -> None:
    import click

    from zoo_core.cli.group import zoo

    group = zoo
    assert isinstance(group, click.Group)
    for words in commands(document):
        context = click.Context(group)
        own, words = [word for word in words if word == "--frozen"], [word for word in words if word != "--frozen"]  # of every command
        assert len(own) <= 1
        command = group.get_command(context, words[0])
        assert command is not None, words
        if "--help" not in words:
            command.make_context(words[0], list(words[1:]), resilient_parsing=False)


def test_the_documents_have_commands_to_check() -> None:
    assert sum(len(commands(document)) for document in DOCUMENTS) >= 10
