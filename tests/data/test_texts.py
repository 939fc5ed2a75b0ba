"""Texts as data: vocabularies, splits, windows, and one line for every text that cannot be read."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from zoo_core.data.dataset import Data, load_data
from zoo_core.data.pieces import pieces_of
from zoo_core.data.text import pydoc_text, split_text
from zoo_core.data.text_sets import PydocConfig, TextConfig
from zoo_core.data.vocabularies import with_vocabulary, with_vocabulary_of
from zoo_core.errors import ConfigError
from zoo_core.recipes import Recipe
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.testing.fake_config import FakeConfig, FakeTextConfig
from zoo_core.vocabulary import HIDDEN, Vocabulary

POEM = "".join(f"line {number} of a poem about zoos, and what lives in them\n" for number in range(100))


@parametrize_checks(PydocConfig(length=32, stride=32, split="test"))
def test_the_help_texts_conform(check: Check) -> None:
    check()


@pytest.fixture
def poem(tmp_path: Path) -> Path:
    path = tmp_path / "poem.txt"
    path.write_text(POEM)
    return path


def load(path: Path, length: int = 16, **options: object) -> Data:
    return load_data({"name": "text", "path": str(path), "length": length, **options})


# Vocabularies


def test_characters_are_numbered_by_code_point_and_come_back(poem: Path) -> None:
    data = load(poem, split="all")
    assert data.vocabulary is not None
    assert data.vocabulary.tokens == tuple(sorted(set(POEM)))
    assert data.x.dtype == torch.int64
    assert data.event.categories == len(data.vocabulary)
    assert "".join(data.vocabulary.decode(row) for row in data.x.tolist()) == POEM[: len(data) * 16]


def test_words_are_words_marks_and_line_ends() -> None:
    words = Vocabulary(unit="word", tokens=("\n", ",", "a", "zoo"))
    assert words.encode("a zoo,\n a") == [2, 3, 1, 0, 2]
    assert words.decode([2, 3, 1, 0, 2, 4]) == f"a zoo ,\na {HIDDEN}"


def test_pieces_are_the_most_frequent_pairs_counted_anew_after_each(tmp_path: Path) -> None:
    """The first merges of byte-pair encoding by a second, slow implementation."""
    text = "low lower lowest newer wider " * 3
    words = [list(word) for word in [f" {word}" for word in text.split()]]
    words[0] = list("low")
    found = []
    for _ in range(8):
        pairs = [pair for word in words for pair in pairwise(word)]
        best = min(set(pairs), key=lambda pair: (-pairs.count(pair), pair))
        found.append("".join(best))
        for word in words:
            place = 0
            while place < len(word) - 1:
                if (word[place], word[place + 1]) == best:
                    word[place : place + 2] = [found[-1]]
                place += 1
    letters = len(set(text))
    assert list(pieces_of(text, letters + 8)[letters:]) == found


def test_a_text_is_cut_into_the_longest_pieces_from_the_left_and_is_whole_again() -> None:
    pieces = Vocabulary(unit="piece", tokens=("a", "b", "n", "an", "ana"))
    assert [pieces.tokens[i] for i in pieces.encode("bananab")] == ["b", "ana", "n", "a", "b"]
    whole = Vocabulary(unit="piece", tokens=pieces_of(POEM, 60))
    assert whole.decode(whole.encode(POEM)) == POEM
    assert len(whole.encode(POEM)) < len(POEM) / 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokens": ("a", "a")}, "every token once"),
        ({"tokens": ("a", "")}, "is no character"),
        ({"tokens": ("a", "ab")}, "'ab' is no character"),
    ],
)
def test_vocabularies_that_mean_nothing_are_refused(values: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Vocabulary(**values)


# Splits and windows


def test_every_tenth_block_is_held_out_and_no_character_is_in_both_splits() -> None:
    train, test = split_text(POEM, "train"), split_text(POEM, "test")
    assert sum(map(len, [*train, *test])) == len(POEM)
    assert "".join(part for pair in zip(train, [*test, ""], strict=False) for part in pair) == POEM
    assert sum(map(len, test)) / len(POEM) == pytest.approx(0.1, abs=0.01)
    assert all(part[0].isspace() for part in test), "blocks end between words"


def test_training_windows_overlap_and_test_windows_do_not(poem: Path) -> None:
    train, test = load(poem, stride=4), load(poem, stride=4, split="test")
    assert torch.equal(train.x[0, 4:], train.x[1, :-4])
    kept = sum(len(part) // 16 for part in split_text(POEM, "test"))
    assert len(test) == kept


def test_pieces_are_learned_from_the_training_split_alone(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(POEM)
    before = load(path, vocabulary={"unit": "piece"}, pieces=40).vocabulary
    held = split_text(POEM, "test")[0]
    path.write_text(POEM.replace(held, held.replace("poem", "omep")))
    assert load(path, vocabulary={"unit": "piece"}, pieces=40).vocabulary == before


def test_a_paragraph_of_several_help_texts_stands_there_once() -> None:
    paragraphs = [" ".join(part.split()) for part in pydoc_text().split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 1000


def test_the_digest_is_of_the_tokens_too(poem: Path) -> None:
    data = load(poem, split="all")
    assert data.vocabulary is not None
    other = Data(x=data.x, vocabulary=Vocabulary(tokens=data.vocabulary.tokens[::-1]))
    assert data.digest != other.digest


def test_model_and_data_get_one_vocabulary(poem: Path) -> None:
    data = TextConfig(path=str(poem))
    letters = Vocabulary(tokens=tuple(sorted(set(POEM))))
    filled = with_vocabulary(Recipe(model=FakeTextConfig(vocabulary=Vocabulary()), data=data))
    assert filled.model == FakeTextConfig(vocabulary=letters)
    assert filled.data == TextConfig(path=str(poem), vocabulary=letters)
    own = FakeTextConfig()
    assert with_vocabulary(Recipe(model=own, data=data)).data == TextConfig(path=str(poem), vocabulary=own.vocabulary)
    assert with_vocabulary(filled) == filled
    assert with_vocabulary_of(data, FakeConfig()) is data


# One line for every text that cannot be read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty -- a text is a plain file in UTF-8"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04\x00\x00", "is a binary file: it has a zero byte"),
        ("Stra\xdfe".encode("latin-1"), "is not in UTF-8: byte 4 is 0xdf -- .*iconv -f LATIN1"),
        ("zoo".encode("utf-16"), "is in UTF-16 -- .*iconv -f UTF-16"),
        (b"too short", "too few for windows of 16"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_character_beyond_the_vocabulary_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("ab\nab\nabz\n" * 10)
    with pytest.raises(ConfigError, match="the character 'z' in line 3 is not in the vocabulary of 3 characters"):
        load(path, split="all", vocabulary={"tokens": ["\n", "a", "b"]})
    with pytest.raises(ConfigError, match="the word 'abz' in line 3 is not in the vocabulary of 2 words"):
        load(path, split="all", vocabulary={"unit": "word", "tokens": ["\n", "ab"]})


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere.txt -- --data text:PATH"):
        load(tmp_path / "nowhere.txt")
    with pytest.raises(ConfigError, match="is a folder"):
        load(tmp_path)


def test_line_ends_and_byte_order_marks_of_other_systems_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"\xef\xbb\xbf" + POEM.replace("\n", "\r\n").encode())
    plain = tmp_path / "plain.txt"
    plain.write_text(POEM)
    assert load(path).digest == load(plain).digest


@pytest.mark.parametrize(
    "fields",
    [{"x": torch.zeros(2, 3, dtype=torch.int64)}, {"x": torch.zeros(2, 3), "vocabulary": Vocabulary(tokens=("a",))}],
    ids=["no vocabulary", "numbers"],
)
def test_int64_samples_and_no_others_have_a_vocabulary(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="int64 samples are categories"):
        Data(**fields)  # type: ignore[arg-type]  # that is the point


def test_categories_beyond_the_vocabulary_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"categories must be in 0 ... 0, not 0 to 1"):
        Data(x=torch.tensor([[0, 1]]), vocabulary=Vocabulary(tokens=("a",)))
