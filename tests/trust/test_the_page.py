"""The commands of docs/trust.md, each run in a fresh folder with a Hub on this machine, in the order in which an author comes to them."""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from zoo_core.cli.group import zoo
from zoo_core.registry import Plugin, Registry, registry, using
from zoo_core.testing.hub import LoopbackHub

from .helpers import write_run

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")

PAGE = Path(__file__).parents[2] / "docs" / "trust.md"
BLOCKS = re.findall(r"(?:^    \S.*\n)+", PAGE.read_text(), re.MULTILINE)
ORDER = ("zoo keys new root.pem", "zoo keys show", "--days 30", "zoo keys new second.pem", "--provenance")


@pytest.fixture
def folder(tmp_path: Path, hub: LoopbackHub, fakes: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the package of the plugin zoo-cats, which is installed, and a finished run."""
    package = tmp_path / "plugins" / "cats" / "zoo_cats"
    package.mkdir(parents=True)
    for name in ("__init__.py", "plugin.py"):
        (package / name).touch()
    write_run(tmp_path / "runs" / "cat")
    monkeypatch.chdir(tmp_path)
    module = ModuleType("zoo_cats")
    module.__file__ = str(package / "__init__.py")
    monkeypatch.setitem(sys.modules, "zoo_cats", module)
    plugin = Plugin(name="cats", module="zoo_cats.plugin", dist="zoo-cats", version="1.0")
    with using(Registry((*registry().plugins, plugin))):
        yield tmp_path


def perform(line: str) -> str:
    """The output of a command of the page; the checkpoint of another plugin is the run here."""
    words = shlex.split(line.replace("ddpm-afhq-cat", "local:runs/cat"))
    if words[0] == "cat":
        with Path(words[3]).open("a") as file:
            file.write(Path(words[1]).read_text())
        return ""
    done = CliRunner().invoke(zoo, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, (line, done.output)
    return done.stdout


def test_every_command_of_the_page_works(folder: Path, hub: LoopbackHub) -> None:
    blocks = {start: [block for block in BLOCKS if start in block] for start in ORDER}
    assert [block for found in blocks.values() for block in found] == sorted(BLOCKS, key=lambda block: order(block))
    told = {line: perform(line) for found in blocks.values() for line in found[0].strip().splitlines() for line in [line.strip()]}
    assert told["zoo verify ORG/cat"].splitlines()[-1].startswith("ok         ORG/cat signature (")
    assert told["zoo keys show plugins/cats/zoo_cats"].count("\nkey ") == 1
    assert Path("plugins/cats/zoo_cats/root.pub").read_text().count("BEGIN PUBLIC KEY") == 2
    assert len(hub.commits("ORG/cat")) == 5  # made, fewer days, a new key, the new list; and the first commit of a repository
    assert Path("cat.cdx.json").stat().st_size > 1000


def order(block: str) -> int:
    return next(number for number, start in enumerate(ORDER) if start in block)
