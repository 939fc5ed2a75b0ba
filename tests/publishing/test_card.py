"""A card is published complete, under the name that others load it by, and agrees with its files."""

import json
import shlex
from typing import Any

import pytest

from zoo_core import cards
from zoo_core.cards.card import ModelCard
from zoo_core.errors import CardError, ConfigError
from zoo_core.publishing.card import complete

CONFIG: dict[str, Any] = {
    "format": 1,
    "weights_version": 1,
    "model": {"name": "fake", "classes": 3},
    "sampler": {"name": "latent", "temperature": 1.0},
}
TRAINING: dict[str, Any] = {"steps": 12345, "hours": 6.78}


def card(**changes: Any) -> ModelCard:
    words = cards.Words(**{"summary": "Draws squares.", "license": "mit", "datasets": ("ORG/squares",), **changes})
    return cards.render("fake-squares", CONFIG, TRAINING, words)


NUMBERS: dict[str, Any] = {
    "metrics": [
        {"metric": "fd", "value": 12.5, "stderr": 0.5, "dataset": "squares", "split": "val", "n": 100},
        {"metric": "nll", "value": 3, "unit": "bits/dim", "dataset": "squares", "split": "val"},
        {"metric": "fd", "value": 1e-05, "dataset": "squares"},
    ]
}


def completed(given: ModelCard, **changes: Any) -> ModelCard:
    return complete(given, CONFIG, **{"reference": "fake-squares", "plugin": "zoo-fake", **changes})


def test_the_card_of_a_classifier_stays_that_of_a_classifier() -> None:
    published = completed(card(pipeline=cards.CLASSIFICATION), reference="ORG/judge", names={"fake-squares"})
    assert published.metadata["pipeline_tag"] == "image-classification"
    assert 'zoo_core.load("ORG/judge")' in published.body


@pytest.mark.parametrize("metrics", [None, NUMBERS])
def test_a_rendered_card_is_complete(metrics: Any) -> None:
    words = cards.Words(summary="Draws squares.", license="mit")
    rendered = cards.render("fake-squares", CONFIG, TRAINING, words, plugin="zoo-fake", metrics=metrics)
    assert completed(rendered, metrics=metrics) == rendered == cards.parse(str(rendered))


def test_the_numbers_of_a_card_are_measured_again_under_its_new_name() -> None:
    rendered = cards.render("fake-squares", CONFIG, TRAINING, cards.Words(summary="Draws squares.", license="mit"), metrics=NUMBERS)
    published = completed(rendered, reference="ORG/squares", names={"fake-squares"}, metrics=NUMBERS)
    assert "`zoo verify ORG/squares --metrics`" in published.body
    assert published.body.split("## Numbers")[1].split("`zoo verify")[0] == rendered.body.split("## Numbers")[1].split("`zoo verify")[0]


def test_a_card_without_a_section_on_its_numbers_is_given_one_before_its_training() -> None:
    published = completed(card(), metrics=NUMBERS)
    assert published.body.count("\n## Numbers\n") == 1
    assert published.body.index("## Use") < published.body.index("## Numbers") < published.body.index("## Training")
    assert completed(published, metrics=NUMBERS) == published
    bare = ModelCard(card().metadata, "# squares\n\nDraws squares.\n")
    assert "\n## Numbers\n" in completed(bare, metrics=NUMBERS).body
    assert "## Numbers" not in completed(card()).body


def test_completing_a_card_twice_changes_nothing() -> None:
    for text in (cards.draft("fake-squares", CONFIG, TRAINING), "---\n{}\n---\n\nSquares.\n"):
        options = {"reference": "ORG/squares", "names": ["fake-squares"], "license": "mit", "metrics": NUMBERS}
        once = completed(cards.parse(text), **options)
        once.validate()
        assert completed(once, **{**options, "license": ""}) == once == cards.parse(str(once))
        assert once.metadata["zoo"] == {"family": "fake", "plugin": "zoo-fake"}


def test_a_card_is_loaded_by_the_name_that_it_is_published_under() -> None:
    body = "Squares: `zoo pull local:runs/x`, zoo_core.load('mine') and zoo_core.load(\"other\"). A zoo pull away.\n"
    body_text = completed(ModelCard({}, body), reference="ORG/x", names=["mine"]).body
    assert body_text.startswith(
        "Squares: `zoo pull ORG/x`, zoo_core.load('ORG/x') and zoo_core.load(\"other\"). A zoo pull away.\n\n## Use\n"
    )


def test_the_numbers_of_a_card_are_those_of_its_metrics() -> None:
    [index] = completed(card(), metrics=NUMBERS).metadata["model-index"]
    assert index["name"] == "fake-squares"
    assert index["results"] == [
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"type": "squares", "name": "squares", "split": "val"},
            "metrics": [
                {"type": "fd", "value": 12.5, "args": {"stderr": 0.5, "n": 100}},
                {"type": "nll", "value": 3, "args": {"unit": "bits/dim"}},
            ],
        },
        {
            "task": {"type": "unconditional-image-generation"},
            "dataset": {"type": "squares", "name": "squares"},
            "metrics": [{"type": "fd", "value": 1e-05}],
        },
    ]


def test_numbers_that_differ_from_the_metrics_are_refused() -> None:
    published = completed(card(), metrics=NUMBERS)
    other = json.loads(json.dumps(NUMBERS))
    other["metrics"][0]["value"] = 12.25
    with pytest.raises(CardError, match="model-index"):
        completed(published, metrics=other)
    named = ModelCard({**published.metadata, "model-index": [{**published.metadata["model-index"][0], "name": "another"}]}, published.body)
    assert completed(named, metrics=NUMBERS) == named


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "metric"),
        ({"metric": "fd"}, "dataset"),
        ({"metric": "", "dataset": "a", "value": 1}, "metric"),
        ({"metric": "fd", "dataset": "a"}, "value"),
        ({"metric": "fd", "dataset": "a", "value": True}, "value"),
        ({"metric": "fd", "dataset": "a", "value": "1"}, "value"),
        ({"metric": "fd", "dataset": "a", "value": float("nan")}, "value"),
        ({"metric": "fd", "dataset": "a", "value": 10**400}, "value"),
        ({"metric": "fd", "dataset": "a", "value": 1, "stderr": -1}, "stderr"),
        ({"metric": "fd", "dataset": "a", "value": 1, "split": 1}, "split"),
        ({"metric": "fd", "dataset": "a", "value": 1, "unit": None}, "unit"),
        ({"metric": "fd", "dataset": "a", "value": 1, "seeds": [0, {"x": float("inf")}]}, "finite"),
    ],
)
def test_a_number_says_what_it_is_and_of_which_data(entry: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=rf"metrics\.json: metrics\[1\].*{words}"):
        completed(card(), metrics={"metrics": [NUMBERS["metrics"][0], entry]})


@pytest.mark.parametrize("place", ["runs/cat", "my runs/cat"])
@pytest.mark.parametrize("pipeline", [cards.PIPELINE, cards.CLASSIFICATION, ""])
def test_a_draft_loads_from_its_folder_and_the_published_card_by_its_published_name(place: str, pipeline: str) -> None:
    reference = f"local:{place}"
    draft = cards.draft("cat", CONFIG, TRAINING, pipeline, reference=reference)
    assert f'zoo_core.load("{reference}")' in draft
    assert "zoo pull" not in draft
    if pipeline != cards.CLASSIFICATION:
        assert shlex.split(draft.split("```sh\n")[1].splitlines()[0])[:3] == ["zoo", "sample", reference]
    published = completed(cards.parse(draft), reference="ORG/cat", names={"cat"}, image=bool(pipeline)).body
    assert "local:" not in published
    assert 'zoo_core.load("ORG/cat")' in published
    if " " not in place:
        assert "zoo pull ORG/cat\n" in published
