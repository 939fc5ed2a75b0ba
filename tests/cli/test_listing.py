"""Lists and pages of the installed checkpoints and plugins: ``zoo list``, ``plugins``, ``show`` and ``pull``."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo_core.cli.console import MAX_LINE, inert
from zoo_core.hub.fetch import fetch
from zoo_core.testing import fake_zoo, installed, write_checkpoint, write_plugin
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig

HEAD = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n@hookimpl\ndef zoo_specs():\n    return "

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]
ErrorLine = Callable[[Any], str]


def test_the_list_names_checkpoints_with_family_size_and_licence(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("list")
    assert (code, err) == (0, "")
    header, *rows = [re.split(r"  +", line) for line in out.splitlines()]
    assert header == ["NAME", "FAMILY", "SIZE", "DATASET", "LICENSE", "SUMMARY"]
    assert [row[0] for row in rows] == ["fake-images", "fake-points"]
    assert rows[0][1] == "fake-denoiser"
    assert rows[0][3:5] == ["fake-data", "unknown"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("checkpoints", "fake-points"),
        ("families", "fake"),
        ("samplers", "ancestral"),
        ("schedulers", "cosine"),
        ("datasets", "folder"),
        ("recipes", "fake/tiny"),
        ("trainers", "fake-denoiser"),
    ],
)
def test_every_kind_is_listed_for_people_and_for_programs(kind: str, name: str, zoo: Zoo, fakes: Path) -> None:
    assert any(line.split()[0] == name for line in zoo("list", kind).out.splitlines())
    code, out, err = zoo("list", kind, "--json")
    assert (code, err) == (0, "")
    [found] = [record for record in json.loads(out) if record["key"] == name]
    assert found["dist"] in ("zoo-core", "zoo-fake", "zoo-blobs")
    assert found["conflict"] is False


def test_a_kind_that_nobody_offers_says_so(zoo: Zoo, tmp_path: Path) -> None:
    with installed(tmp_path, names=[]):
        code, out, err = zoo("list", "families")
        assert (code, out) == (0, "")
        assert "none installed" in err
        assert json.loads(zoo("list", "families", "--json").out) == []


def test_an_unknown_kind_is_answered_with_the_kinds(zoo: Zoo, fakes: Path) -> None:
    done = zoo("list", "models")
    assert done.code == 9
    kinds = "checkpoints, families, samplers, schedulers, datasets, metrics, recipes, trainers"
    assert done.err == f"zoo: error: no checkpoints match models -- `zoo list` shows all; the kinds are {kinds}\n"


def test_a_name_claimed_twice_is_listed_twice_with_both_distributions(zoo: Zoo, tmp_path: Path, one_error_line: ErrorLine) -> None:
    for dist in ("zoo-p", "zoo-q"):
        write_plugin(tmp_path / dist, dist, HEAD + "[CheckpointSpec(name='cats', family='x')]")
    with installed(tmp_path / "zoo-p", tmp_path / "zoo-q", names=["zoo-p", "zoo-q"]):
        code, out, err = zoo("list")
        assert code == 0
        assert [line.split("  ")[0] for line in out.splitlines()[1:]] == ["zoo-p:cats !", "zoo-q:cats !"]
        assert err == "zoo: ! checkpoint cats is claimed by zoo-p and zoo-q -- say which: zoo-p:cats or zoo-q:cats\n"
        result = zoo("show", "cats")
        assert result.code == 9
        assert "zoo-p and zoo-q" in one_error_line(result)


def test_a_broken_plugin_costs_the_list_one_line_and_nothing_else(zoo: Zoo, tmp_path: Path) -> None:
    write_plugin(tmp_path / "bad", "zoo-bad", "print('noise')\nraise RuntimeError('no \\x1b[31mluck\\n' + 'x' * 999)")
    write_plugin(tmp_path / "good", "zoo-good", HEAD + "[CheckpointSpec(name='cats', family='x')]")
    with installed(tmp_path / "bad", tmp_path / "good", names=["zoo-bad", "zoo-good"]):
        code, out, err = zoo("list", "--json")
        assert code == 0
        assert [record["name"] for record in json.loads(out)] == ["cats"]
        assert err.count("\n") == 1
        assert re.match(r"zoo: plugin zoo_bad \(zoo-bad\) failed at import: RuntimeError: no \\x1b\[31mluck x+\.\.\. -- ", err)
        assert len(err) <= MAX_LINE + 1
        assert "BROKEN: failed at import" in zoo("plugins").out
        code, out, err = zoo("plugins", "--check")
        assert code == 9
        assert zoo("--help").code == 0


def test_plugins_check_resolves_every_target(zoo: Zoo, fakes: Path, tmp_path: Path) -> None:
    code, out, err = zoo("plugins", "--check")
    assert (code, err) == (0, "")
    assert re.search(r"zoo-fake +\S+ +zoo_core.testing.fake_plugin +\d+ ok ", out)
    write_plugin(tmp_path / "bad", "zoo-bad", HEAD + "[ModelSpec(name='x', target='zoo_bad:Nothing')]")
    with installed(tmp_path / "bad", names=["zoo-bad"]):
        assert zoo("plugins").code == 0
        code, out, err = zoo("plugins", "--check", "--json")
        assert code == 9
        assert "zoo_bad:Nothing" in json.loads(out)[1]["broken"]


def test_show_is_a_page_with_the_rest_by_options_and_for_programs(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("show", "fake-images")
    assert (code, err) == (0, "")
    for told in ("fake-denoiser", "denoise labels", "960", "unknown", "zoo-blobs 1.0", "scheduler ", "zoo sample fake-images"):
        assert told in out
    assert len(out.splitlines()) <= 40
    assert "## Use" not in out
    assert zoo("show", "fake-images", "--card").out.rstrip() == json.loads(zoo("show", "fake-images", "--json").out)["readme"].rstrip()
    assert fetch("fake-images").digest("model.safetensors") in zoo("show", "fake-images", "--files").out
    code, out, err = zoo("show", "fake-images", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["capabilities"] == ["denoise", "labels"]
    assert zoo("show", "fake-images", "--json", "--card").code == 2


def test_escapes_in_a_card_are_shown_inert(zoo: Zoo, tmp_path: Path) -> None:
    with fake_zoo():
        folder = write_checkpoint(tmp_path / "x", Fake(FakeConfig()), FakeConfig())
        card = (folder / "README.md").read_text()
        (folder / "README.md").write_text(card.replace("A fake model.", "A \x1b]0;owned\x07 \u202efake \x9b31m model."))
        out = zoo("show", f"local:{folder}").out
    assert "\\x1b]0;owned\\x07 \\u202efake \\x9b31m" in out
    assert inert(out) == out


def test_pull_verifies_and_prints_the_folder(zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo("pull", "fake-images", "fake-points")
    assert code == 0
    assert [Path(line).name for line in out.splitlines()] == ["fake-images", "fake-points"]
    assert err.count("match their pins; from zoo-blobs 1.0") == 2


# Search


def found(zoo: Zoo, *words: str) -> list[tuple[str, str]]:
    """Kind and name of what ``zoo search`` finds, in its order."""
    return [(each["kind"], each["key"]) for each in json.loads(zoo("search", "--json", *words).out)]


def test_the_search_finds_every_kind_by_name_summary_paper_and_other_libraries_names(zoo: Zoo, fakes: Path) -> None:
    assert ("checkpoint", "fake-points") in found(zoo, "fake-p")
    assert ("family", "fake-denoiser") in found(zoo, "FAKE", "denoise")
    assert found(zoo, "multistep", "order 2") == [("sampler", "dpmpp-2m")]
    assert found(zoo, "2010.02502") == [("sampler", "ddim")]
    assert ("sampler", "ancestral") in found(zoo, "eulerancestral")
    assert found(zoo, "karras")[0] == ("scheduler", "karras")  # its name, before the papers of others
    assert zoo("search", "2010.02502").out.split()[:5] == ["KIND", "NAME", "SUMMARY", "sampler", "ddim"]


def test_a_word_that_nothing_has_is_answered_with_the_nearest_name_or_the_hub(zoo: Zoo, fakes: Path, one_error_line: ErrorLine) -> None:
    near = zoo("search", "fake-pionts")
    assert (near.code, one_error_line(near)) == (
        9,
        "zoo: error: nothing that is installed has fake-pionts -- did you mean fake-points?\n",
    )
    assert "zoo list --remote --search xyzzy asks the Hub" in one_error_line(zoo("search", "xyzzy"))
    assert zoo("search", "ddim", "xyzzy").code == 9
