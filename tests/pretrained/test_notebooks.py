"""Loaded models in notebooks: a short card with a sheet, and the notebook of examples/, which runs."""

import json
from base64 import b64decode
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

import pytest

import zoo_core
from zoo_core.pretrained import Pretrained
from zoo_core.testing import fake_zoo

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "tour.ipynb"


@pytest.fixture(autouse=True)
def families() -> Iterator[None]:
    with fake_zoo("zoo-vae"):
        yield


class Shown(HTMLParser):
    """The tags, text and pictures of an HTML representation."""

    def __init__(self, model: Pretrained) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.pictures: list[dict[str, str | None]] = []
        self.feed(model._repr_html_())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_model_shows_its_card_and_the_sheet_of_its_checkpoint() -> None:
    shown = Shown(zoo_core.load("vae-mnist-2d"))
    card = zoo_core.info("vae-mnist-2d")
    assert card["summary"] in shown.text or card["readme"].splitlines()[0].strip("# ") in shown.text
    assert card["license"] in shown.text
    [picture] = shown.pictures
    assert (
        b64decode((picture["src"] or "").removeprefix("data:image/png;base64,"))
        == (ROOT / "model_cards/vae-mnist-2d/samples.png").read_bytes()
    )
    assert picture["alt"] == "Samples of vae-mnist-2d"


def test_a_model_without_a_card_or_a_sheet_shows_its_facts(folder: Path) -> None:
    (folder / "README.md").unlink(missing_ok=True)
    shown = Shown(zoo_core.load(f"local:{folder}"))
    assert "parameters10" in shown.text
    assert shown.pictures == []


def test_text_of_a_card_is_never_markup(folder: Path) -> None:
    (folder / "README.md").write_text(
        "---\nlicense: mit\n---\n\n# <script>alert(1)</script>\n\nDraws <img src=x onerror=alert(1)> images.\n"
    )
    shown = Shown(zoo_core.load(f"local:{folder}"))
    assert shown.tags == {"div", "p", "strong", "table", "tr", "th", "td"}
    assert "<script>alert(1)</script>" in shown.text


@pytest.mark.parametrize("data", [b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n" + bytes(2 << 20)])
def test_a_sheet_that_is_no_small_png_is_left_out(folder: Path, data: bytes) -> None:
    (folder / "samples.png").write_bytes(data)
    assert Shown(zoo_core.load(f"local:{folder}")).pictures == []


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
@pytest.mark.skipif(any(find_spec(name) is None for name in ("nbclient", "ipykernel")), reason="needs the extra docs")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the packages that run it
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert all(output.output_type != "error" for output in outputs)
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") >= 3
    assert any("data:image/png;base64," in output.get("data", {}).get("text/html", "") for output in outputs)
    printed = "".join(output.get("text", "") for output in outputs)
    assert "/zoo/moons: " in printed
    differences = [float(line.rpartition(": ")[2]) for line in printed.splitlines() if line.startswith("difference")]
    assert len(differences) == 2
    assert max(differences) < 1e-5  # float32, in batches of other sizes
