"""The licence of a published card is stated once, and its draft is completed on the way."""

import shutil
from pathlib import Path

import pytest

import zoo_core
from zoo_core import cards
from zoo_core.config import dump_json
from zoo_core.errors import (
    CardError,
    UnsafeContentError,
    UsageError,
    ZooError,
)
from zoo_core.publishing import prepare, publish
from zoo_core.testing import write_checkpoint
from zoo_core.testing.fake import Fake
from zoo_core.testing.fake_config import FakeConfig
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, METRICS, files_of, put, rewrite

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


@pytest.mark.parametrize(
    ("stated", "given", "then"),
    [
        ("unknown", "mit", "mit"),
        ("mit", None, "mit"),
        ("mit", "mit", "mit"),
        ("unknown", None, UsageError),
        ("unknown", "unknown", UsageError),
        (None, None, UsageError),
        (None, "mit", "mit"),
        ("mit", "apache-2.0", CardError),
        ("unknown", "My Licence!", UsageError),
        ("unknown", "MIT", UsageError),
        ("mit", "MIT", UsageError),
        ("unknown", "other", CardError),
        ("[mit]", None, CardError),
    ],
)
def test_a_licence_is_stated_once_and_never_invented(
    stated: str | None, given: str | None, then: str | type[ZooError], folder: Path, run: str
) -> None:
    rewrite(folder / "README.md", "license: unknown\n", f"license: {stated}\n" if stated else "")
    if isinstance(then, str):
        bundle = prepare(run, CAT, license=given)
        assert bundle.card.license == cards.parse(bundle.files["README.md"]).license == then
    else:
        with pytest.raises(then, match=r"licen[sc]e"):
            prepare(run, CAT, license=given)


def test_a_licence_in_capitals_is_the_option_s_fault(run: str) -> None:
    with pytest.raises(UsageError, match=r'license="MIT" .* -- .*small letters.* license="mit"'):
        put(run, license="MIT")


def test_a_licence_that_the_hub_does_not_know_makes_no_repository(folder: Path, run: str, hub: LoopbackHub) -> None:
    with pytest.raises(CardError, match="apache2"):
        put(run, license="apache2")
    assert CAT not in hub.repos
    assert [str(request) for request in hub.requests] == [f"GET /api/models/{CAT}", "POST /api/validate-yaml"]
    put(run, license="apache-2.0")
    rewrite(folder / "README.md", "license: unknown", "license: apache2")
    with pytest.raises(CardError, match="apache2"):
        put(run, license=None)


def test_another_licence_has_a_name(folder: Path, run: str) -> None:
    rewrite(folder / "README.md", "license: unknown\n", "license: unknown\nlicense_name: squares-1.0\n")
    assert prepare(run, CAT, license="other").card.metadata["license_name"] == "squares-1.0"


def test_the_draft_of_a_run_is_completed_on_the_way_and_the_folder_stays(folder: Path, run: str, hub: LoopbackHub) -> None:
    (folder / "metrics.json").write_text(dump_json(METRICS))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    put(run)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    sent = cards.parse(files_of(hub)["README.md"])
    sent.validate()
    assert {name: sent.metadata[name] for name in ("license", "library_name", "pipeline_tag", "tags", "zoo")} == {
        "license": "mit",
        "library_name": "zoo-core",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["zoo-core", "fake"],
        "zoo": {"family": "fake", "plugin": "zoo-fake"},
    }
    for words in (f'zoo_core.load("{CAT}")', f"zoo pull {CAT}\n", f"zoo sample {CAT} ", "## Licence\n\nmit\n", "`zoo-fake`"):
        assert words in sent.body
    for draft in ("This card is a draft", 'load("cat")', "zoo pull cat\n", "unknown"):
        assert draft not in sent.body


def test_the_hub_reads_the_numbers_of_metrics_json_from_the_card(folder: Path, run: str, hub: LoopbackHub) -> None:
    from huggingface_hub import ModelCard

    (folder / "metrics.json").write_text(dump_json(METRICS))
    put(run)
    results = ModelCard(files_of(hub)["README.md"].decode()).data.eval_results
    assert results is not None
    assert [(each.metric_type, each.metric_value, each.dataset_name, each.dataset_split) for each in results] == [
        ("fd", 12.3, "afhq", "val"),
        ("precision", 1, "afhq", "val"),
        ("nll", 1e-5, "mnist", None),
    ]
    assert results[0].metric_args == {"stderr": 0.4, "unit": "", "n": 500}


def test_what_a_person_wrote_stays(folder: Path, run: str) -> None:
    mine = (
        "---\nlicense: mit\nlanguage: en\ntags: [cats]\nbase_model: ORG/dog\n---\n\n# My cat\n\nA cat of mine.\n\n"
        'Compare with `zoo_core.load("ddpm-afhq-cat")`.\n'
    )
    (folder / "README.md").write_text(mine)
    completed = prepare(run, CAT).card
    assert completed.metadata["tags"] == ["cats", "zoo-core", "fake"]
    assert (completed.metadata["language"], completed.metadata["base_model"]) == ("en", "ORG/dog")
    assert completed.body.startswith(cards.parse(mine).body.rstrip())
    assert f'zoo_core.load("{CAT}")' in completed.body
    (folder / "README.md").write_text(str(completed))
    assert prepare(run, CAT).files["README.md"] == str(completed).encode()


def test_what_the_card_says_of_its_plugin_stays(folder: Path, run: str) -> None:
    rewrite(folder / "README.md", "tags:", "zoo: {family: fake, plugin: zoo-mine, note: keep me}\ntags:")
    completed = prepare(run, CAT, license="mit").card
    assert completed.metadata["zoo"] == {"family": "fake", "plugin": "zoo-mine", "note": "keep me"}
    assert "`zoo-mine`" in completed.body
    assert "`zoo-fake`" not in completed.body


def test_a_copy_of_what_was_pulled_is_used_by_its_own_name(run: str, hub: LoopbackHub, tmp_path: Path) -> None:
    put(run)
    pulled = zoo_core.pull(CAT)[0].folder
    with pytest.raises(UnsafeContentError, match=r"link.* -- .*cp -rL"):
        publish(f"{pulled}", "zoo/fork")
    shutil.copytree(pulled, tmp_path / "fork")
    publish(f"{tmp_path}/fork", "zoo/fork")
    body = cards.parse(files_of(hub, "zoo/fork")["README.md"]).body
    assert body.count("## Use") == 1
    assert (body.count("zoo/fork"), body.count(CAT)) == (3, 0)
    rewrite(tmp_path / "fork" / "README.md", "samples = model.sample(16, seed=0)", "samples = model.sample(64, seed=1)  # mine")
    mine = prepare(f"{tmp_path}/fork", "zoo/fork").card.body
    assert (mine.count("# mine"), mine.count(CAT)) == (1, 3)


def test_what_draws_no_images_is_not_said_to(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "points", Fake(FakeConfig()), FakeConfig())
    assert "pipeline_tag" not in prepare(str(folder), CAT, license="mit").card.metadata
