"""Cards that the zoo writes are valid on the Hub; cards that it reads can do no harm."""

import json
import re
import time
from typing import Any

import pytest

from zoo_core import cards
from zoo_core.cards.card import ModelCard
from zoo_core.errors import CardError
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES

CONFIG: dict[str, Any] = {
    "format": 1,
    "weights_version": 1,
    "model": {"name": "fake", "classes": 3},
    "sampler": {"name": "latent", "temperature": 1.0},
}


def training() -> dict[str, Any]:
    with fake_zoo():
        recipe = IMAGES.to_dict()
    return {
        "recipe": recipe,
        "command": "zoo train fake --recipe images --out runs/fake",
        "commit": "c0ffee",
        "steps": 12345,
        "hours": 6.78,
        "processor": "Abacus 9, 2 threads",
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "data": {"count": 4656, "digest": "ab" * 32, "classes": ["cat"]},
        "curve": {"step": [10, 12345], "loss.critic": [1.25, 0.75], "loss.generator": [0.5, 0.625], "accuracy": [0.5, 0.9]},
    }


def card(**changes: Any) -> ModelCard:
    options: dict[str, Any] = {
        "summary": "An affine flow that draws grey squares.",
        "license": "cc-by-nc-4.0",
        "datasets": ["ORG/squares"],
        "data": "Squares, 4,656 images",
        "paper": "arXiv:1406.2661",
    }
    return cards.render("fake-squares", CONFIG, training(), cards.Words(**{**options, **changes}))


def test_a_card_read_back_is_the_card_that_was_written() -> None:
    assert cards.parse(str(card())) == card()
    assert cards.parse(str(card()).encode()) == card()
    assert cards.parse(str(card()).replace("\n", "\r\n")).metadata == card().metadata


def test_the_hub_reads_the_same_metadata_from_a_card_of_ours() -> None:
    from huggingface_hub import ModelCard as HubCard

    for text in (str(card()), cards.draft("fake-squares", CONFIG, training())):
        data = HubCard(text).data.to_dict()
        assert data == dict(cards.parse(text).metadata)
        assert data["library_name"] == "zoo-core"
        assert data["pipeline_tag"] == "unconditional-image-generation"
        assert data["tags"] == ["zoo-core", "fake"]


def test_what_words_leave_open_is_taken_from_the_training() -> None:
    """The name of the data set, and whether samples are images."""
    points = {"recipe": {"data": {"name": "zoo-core:moons"}}, "data": {"shape": [2]}}
    words = cards.Words(summary="Moons.", license="mit", datasets=())
    rendered = cards.render("moons", CONFIG, points, words)
    assert rendered.datasets == ("moons",)
    assert "pipeline_tag" not in rendered.metadata
    assert "Images" not in rendered.body
    images = {"recipe": {"data": {"name": "folder", "path": "/home/me"}}, "data": {"shape": [1, 8, 8]}}
    rendered = cards.render("squares", CONFIG, images, words)
    assert (rendered.datasets, rendered.metadata["pipeline_tag"]) == ((), cards.PIPELINE)


def test_the_commit_on_a_card_is_said_to_be_that_of_zoo_core() -> None:
    assert "zoo-core commit: `c0ffee`." in card().body


def test_written_cards_and_drafts_are_valid() -> None:
    card().validate()
    cards.parse(cards.draft("fake-squares", CONFIG, training())).validate()
    cards.parse(cards.draft("fake-squares", {**CONFIG, "sampler": None}, {})).validate()


def test_the_card_of_a_classifier_tells_how_to_ask_it_and_promises_no_samples() -> None:
    judge = card(pipeline=cards.CLASSIFICATION)
    judge.validate()
    assert judge.metadata["pipeline_tag"] == "image-classification"
    assert "model.classify(images)" in judge.body
    assert "sample" not in judge.body.split("## Training")[0]
    assert "draws" not in judge.body.split("## Limits")[1]


def test_the_card_of_a_filler_tells_how_to_fill_and_promises_no_samples() -> None:
    filler = card(pipeline=cards.FILLING)
    filler.validate()
    assert filler.metadata["pipeline_tag"] == "image-to-image"
    assert "model.inpaint(images, mask)" in filler.body
    assert "zoo figure fake-squares inpaint --image photo.jpg" in filler.body
    assert "sample" not in filler.body.split("## Training")[0]


def test_a_card_tells_command_recipe_hours_processor_data_and_licence() -> None:
    body = card(license_note="as the squares are").body
    for fact in [
        "zoo train fake --recipe images --out runs/fake",
        "12,345 steps in 6.78 hours on Abacus 9, 2 threads",
        "Squares, 4,656 images",
        "cc-by-nc-4.0: as the squares are",
        "zoo sample fake-squares",
        'zoo_core.load("fake-squares")',
        "![64 samples in a grid](samples.png)",
        "https://arxiv.org/abs/1406.2661",
        "c0ffee",
        "| fit.optimizer | `adam: lr=0.01, weight_decay=0.0` |",
    ]:
        assert fact in body


@pytest.mark.parametrize(
    ("data", "expected"),
    [({"name": "moons", "n": 9}, ("moons",)), ({"name": "folder", "path": "$AFHQ"}, ()), (None, ()), ({"name": 3}, ())],
)
def test_a_data_set_with_a_name_of_its_own_stands_on_the_card_and_a_folder_does_not(data: Any, expected: tuple[str, ...]) -> None:
    words = cards.Words(summary="Points.", license="mit")
    rendered = cards.render("fake-squares", CONFIG, {**training(), "recipe": {**training()["recipe"], "data": data}}, words)
    assert rendered.datasets == expected
    assert card().datasets == ("ORG/squares",)


def test_a_card_says_where_the_columns_of_its_samples_are_classes() -> None:
    body = cards.draft("fake-squares", CONFIG, {**training(), "sheet": {"images": 60, "columns": 10}})
    assert "![60 samples in a grid](samples.png)\n\nImages 0 to 59 of seed 0, each column of one class, not chosen." in body


def test_every_number_of_the_training_comes_from_training_json() -> None:
    section = card().body.split("## Training")[1].split("## Licence")[0].replace(",", "")
    known = json.dumps(training()).replace(",", "") + "sha256"
    assert {number for number in re.findall(r"\d+(?:\.\d+)?", section) if number not in known} == set()


def test_the_summary_is_the_first_paragraph_in_one_line() -> None:
    assert card(summary="Draws cats,\n32 pixels wide.").summary == "Draws cats, 32 pixels wide."
    assert ModelCard({}, "# only a heading\n").summary == ""


def test_the_title_is_the_first_heading_found_in_linear_time() -> None:
    for body, title in (("x\n# A b  \n# c\n", "A b"), ("#a\n## b\n#   c", "c"), ("#  \n", ""), ("x # y", ""), ("# a\r\nb", "a")):
        assert ModelCard({}, body).title == title
    started = time.perf_counter()
    assert ModelCard({}, "# a" + " " * 40_000 + "b").title.endswith("b")
    assert ModelCard({}, "# " + " " * 40_000).title == ""
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("license", None),
        ("license", ["mit"]),
        ("license", "My Licence!"),
        ("license", "other"),
        ("library_name", "diffusers"),
        ("pipeline_tag", 3),
        ("tags", "zoo-core"),
        ("tags", ["cats"]),
        ("datasets", "ORG/squares"),
        ("datasets", ["a/b/c"]),
        ("datasets", ["no spaces"]),
    ],
)
def test_a_card_with_a_wrong_field_is_not_valid(field: str, value: object) -> None:
    wrong = ModelCard({**card().metadata, field: value}, card().body)
    with pytest.raises(CardError, match=field):
        wrong.validate()


HOSTILE = {
    "a byte order mark": "\ufeff---\nlicense: mit\n---\nbody",
    "no closing line": "---\nlicense: mit\nbody",
    "no front matter": "# A heading\n\n---\na: 1\n---\n",
    "no UTF-8": b"---\nlicense: \xff\xfe\n---\n",
    "an alias": "---\na: &x [1]\nb: *x\n---\n",
    "a bomb": "---\na: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]\n---\n",
    "60k brackets": "---\na: " + "[" * 60_000 + "\n---\n",
    "100k brackets": "---\na: " + "[" * 100_000 + "\n---\n",
    "nested braces": "---\n" + "{a: " * 15_000 + "\n---\n",
    "nested dashes": "---\n" + "- " * 30_000 + "\n---\n",
    "nested questions": "---\n" + "? " * 30_000 + "\n---\n",
    "too much": "---\na: " + "x" * 70_000 + "\n---\n",
    "code": "---\na: !!python/object/apply:os.system ['true']\n---\n",
    "bytes": "---\na: !!binary aGk=\n---\n",
    "a set": "---\na: !!set {b}\n---\n",
    "a long number": "---\na: " + "1" * 5000 + "\n---\n",
    "a number to base sixty": "---\na: " + ":".join("1" * 20_000) + "\n---\n",
    "not a number": "---\na: .nan\n---\n",
    "infinity": "---\na: [.inf]\n---\n",
    "a key twice": "---\nlicense: mit\nlicense: apache-2.0\n---\n",
    "a key that is no string": "---\n1: a\n---\n",
    "a list": "---\n- a\n---\n",
    "nothing": "---\n---\n",
    "a raw escape": "---\na: \x1b[31m\n---\n",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_card_is_a_card_error_within_seconds(case: str) -> None:
    started = time.perf_counter()
    with pytest.raises(CardError) as caught:
        cards.parse(HOSTILE[case])
    assert time.perf_counter() - started < 10
    assert len(str(caught.value)) < 300


def test_dates_stay_text_and_only_the_first_closing_line_counts() -> None:
    parsed = cards.parse("---\ndate: 2024-01-01\n---\nbody\n---\nmore: text\n---\n")
    assert parsed.metadata == {"date": "2024-01-01"}
    assert parsed.body == "body\n---\nmore: text\n---\n"


@pytest.mark.parametrize("datasets", ["5", "[1, 2]", "mnist", "{a: b}"])
def test_data_sets_that_are_no_list_of_names_are_none(datasets: str) -> None:
    assert cards.parse(f"---\ndatasets: {datasets}\n---\n").datasets == ()


def test_a_card_says_how_to_ask_for_a_class_where_there_are_classes() -> None:
    plain = {"model": {"name": "net", "num_classes": 10}, "sampler": None}
    use = cards.use_section("clothes", plain, "")
    assert "zoo sample clothes -n 16 --seed 0 --labels 9 --out class.png" in use
    assert "model.sample(16, seed=0, labels=9)" in use
    for classes in (0, "many", True, None):
        assert "label" not in cards.use_section("clothes", {"model": {"name": "net", "num_classes": classes}}, "")
