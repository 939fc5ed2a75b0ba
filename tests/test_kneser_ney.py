"""The Kneser-Ney baseline of ``benchmarks.text``: probabilities that sum to one, and a bigram by hand."""

import pytest

from benchmarks.text import KneserNey


@pytest.mark.parametrize("order", [1, 2, 4])
def test_probabilities_sum_to_one_after_every_context(order: int) -> None:
    model = KneserNey(["a zoo is open, and so is a zoo", "no zoo"], order, " ,adeinopsz?")
    for context in ("a z", "zzz", "so ", "\0\0\0"):
        assert sum(model.probability(context, letter) for letter in model.letters) == pytest.approx(1)


def test_a_bigram_is_that_of_the_formula_by_hand() -> None:
    """Of "abab" with a start: bigrams 0a, ab, ba, ab, so n1 = 2 and n2 = 1, and the discount is 2 / 4."""
    model = KneserNey(["abab"], 2, "ab")
    assert model.discounts[1] == pytest.approx(0.5)
    discount = 1 / 3
    assert model.discounts[0] == pytest.approx(discount)
    lower = {"a": (2 - discount + 2 * discount / 2) / 3, "b": (1 - discount + 2 * discount / 2) / 3}
    assert model.probability("a", "b") == pytest.approx((2 - 0.5 + 0.5 * 1 * lower["b"]) / 2)
    assert model.probability("b", "b") == pytest.approx(0.5 * lower["b"])
