"""Theorems about the captioned data sets: captions are true, held-out combinations are held out, and all follows from the seed."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo_core.data.captioned_sets import CaptionedConfig, CaptionedFashionMNISTConfig, CaptionedMNISTConfig, held_out
from zoo_core.data.captions import ATTRIBUTES, CLOTHES, COLOURS, DIGITS, NUMBERS, PLACES, SIZES, Caption, Noun, caption_vocabulary, parse
from zoo_core.data.dataset import Data, load_data
from zoo_core.errors import ConfigError
from zoo_core.evaluation.seen import seen

from .helpers import idx, write

COUNT = 400


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grey images of solid blocks, 20 x 14 pixels, whose labels are 0 ... 9 in turns."""
    folder = tmp_path_factory.mktemp("grey")
    x = np.zeros((COUNT, 28, 28), dtype=np.uint8)
    x[:, 4:24, 7:21] = np.random.default_rng(0).integers(100, 256, (COUNT, 1, 1))
    for prefix in ("train", "t10k"):
        write(folder / f"{prefix}-images-idx3-ubyte", idx(x))
        write(folder / f"{prefix}-labels-idx1-ubyte", idx(np.arange(COUNT, dtype=np.uint8) % 10))
    return folder


def loaded(root: Path, **options: object) -> Data:
    return load_data(replace(CaptionedMNISTConfig(root=str(root)), **options))


def pairs(data: Data) -> set[tuple[int, int]]:
    """The combinations of class and colour."""
    return set(zip(*(data.attributes[name].labels.tolist() for name in ("class", "colour")), strict=True))


@pytest.mark.parametrize("nouns", [DIGITS, CLOTHES], ids=["digits", "clothes"])
def test_every_caption_is_read_as_it_was_written_in_known_words(nouns: tuple[Noun, ...]) -> None:
    known = set(caption_vocabulary(nouns).tokens)
    count = 0
    for kind, number, size, colour, place in product(range(10), NUMBERS, (None, *SIZES), (None, *COLOURS), (None, *PLACES)):
        for background in (None, "blue", "white"):
            caption = Caption(kind=kind, number=number, size=size, colour=colour, place=place, background=background)
            text = caption.text(nouns)
            assert parse(text, nouns) == caption
            assert set(text.split()) <= known
            count += 1
    assert count == 10 * 2 * 3 * 9 * 10 * 3


def test_captions_are_english() -> None:
    assert Caption(kind=8).text(DIGITS) == "an eight"
    assert Caption(kind=8, colour="red").text(DIGITS) == "a red eight"
    assert Caption(kind=2, number="two").text(DIGITS) == "two twos"
    assert [Caption(kind=kind).text(DIGITS) for kind in (1, 8)] == ["a one", "an eight"]
    assert Caption(kind=3, number="two", place="left", background="black").text(CLOTHES) == "two dresses on the left on black"
    assert Caption(kind=1, place="centre").text(CLOTHES) == "a trouser in the centre"


@pytest.mark.parametrize(
    "text", ["", "red seven", "a seven seven", "two seven", "a sevens", "a seven blue on", "a seven at the left", "a red"]
)
def test_what_the_grammar_does_not_write_is_not_read(text: str) -> None:
    with pytest.raises(ConfigError, match="no caption of this data"):
        parse(text, DIGITS)


def test_held_out_combinations_are_in_no_image_of_training_and_in_all_of_their_own_split(root: Path) -> None:
    held = {(kind, held_out(kind)) for kind in range(10)}
    everything = set(product(range(10), range(len(COLOURS))))
    for split in ("train", "test"):
        assert not pairs(loaded(root, split=split)) & held
    assert set.union(*(pairs(loaded(root, seed=seed)) for seed in range(8))) == everything - held  # all others are there
    assert pairs(loaded(root, split="heldout")) == held
    assert {colour for _, colour in held} == set(range(len(COLOURS)))


@pytest.mark.parametrize("config", [CaptionedMNISTConfig(), CaptionedFashionMNISTConfig()], ids=["digits", "clothes"])
def test_captions_say_what_the_tables_say_and_the_pixels_show(root: Path, config: CaptionedConfig) -> None:
    data = load_data(replace(config, root=str(root)))
    for row, text in enumerate(data.captions):
        for name, number in parse(text, config.nouns).numbers().items():
            assert number == data.attributes[name].labels[row], (text, name)
    measured = seen(data.rows(torch.arange(COUNT)))
    for name, values in measured.items():
        assert values.tolist() == data.attributes[name].labels.tolist(), name
    assert sorted([*measured, "class"]) == sorted(ATTRIBUTES)


def test_an_image_follows_from_seed_split_and_number(root: Path) -> None:
    first = loaded(root)
    assert first.digest == loaded(root).digest
    assert len({first.digest, loaded(root, seed=1).digest, loaded(root, split="test").digest, loaded(root, omit=0.5).digest}) == 4
    assert torch.equal(first.x, loaded(root, omit=0.5).x)  # only the captions are others


def test_captions_leave_out_what_the_option_says(root: Path) -> None:
    nothing = [parse(text, DIGITS).numbers() for text in loaded(root, omit=1.0).captions]
    everything = [parse(text, DIGITS).numbers() for text in loaded(root, omit=0.0).captions]
    assert all(set(named) == {"class", "number"} for named in nothing)
    assert all(set(named) == set(ATTRIBUTES) for named in everything)
    some = [parse(text, DIGITS).numbers() for text in loaded(root).captions]
    share = sum(len(named) - 2 for named in some) / (4 * COUNT)
    assert abs(share - 0.8) < 5 * (0.16 / (4 * COUNT)) ** 0.5


@pytest.mark.parametrize("label", ATTRIBUTES)
def test_the_labels_are_those_of_the_chosen_attribute(root: Path, label: str) -> None:
    data = loaded(root, label=label)
    assert data.labels is not None
    assert torch.equal(data.labels, data.attributes[label].labels)
    assert data.classes == data.attributes[label].names
    assert int(data.labels.max()) < len(data.classes)


def test_batches_have_the_captions_of_their_rows(root: Path) -> None:
    data = loaded(root)
    batch = data.batch(seed=3, step=1, batch_size=8, rows=slice(2, 6))
    assert batch.captions == tuple(data.captions[place] for place in batch.index.tolist())
    with pytest.raises(ConfigError, match="captions and attributes must be of all 2 samples, not of 1"):
        Data(x=torch.zeros(2, 3), captions=("one",))
