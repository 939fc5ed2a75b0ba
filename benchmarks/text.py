"""Models of texts beside a Kneser-Ney model of characters, on the same held-out windows of the same text.

``python -m benchmarks.text REFERENCE... [--order 4] [--draws 16] [--samples 64]`` prints, for each checkpoint, bits per character of the
windows of the split ``test`` of its data, an upper bound if the model has one, and the share of drawn words that the text knows.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log, log2, sqrt
from typing import Any

from zoo_core import load
from zoo_core.data.dataset import load_data
from zoo_core.data.text import split_text, text_of
from zoo_core.data.text_sets import TextSetConfig
from zoo_core.evaluation.factory import training_data_config
from zoo_core.pretrained import Pretrained
from zoo_core.vocabulary import words_of

START = "\0"


class KneserNey:
    """Interpolated Kneser-Ney smoothing of the probabilities of characters (Kneser and Ney 1995; Chen and Goodman 1999, section 2.7).

    The highest order counts how often a character follows a context, the lower ones after how many different characters; each order is
    discounted by n1 / (n1 + 2 n2), and the lowest one is mixed with the uniform distribution over ``letters``.

    >>> model = KneserNey(["abab"], order=2, letters="ab")
    >>> round(sum(model.probability("a", letter) for letter in "ab"), 12)
    1.0

    Args:
        texts: texts to count.
        order: number of characters of an n-gram.
        letters: all characters that may come.
    """

    def __init__(self, texts: Sequence[str], order: int, letters: str) -> None:
        self.order = order
        self.letters = letters
        self.counts: list[defaultdict[str, Counter[str]]] = [defaultdict(Counter) for _ in range(order)]
        for text in texts:
            padded = START * (order - 1) + text
            for place in range(order - 1, len(padded)):
                self.counts[-1][padded[place - order + 1 : place]][padded[place]] += 1
        for n in range(order - 1, 0, -1):
            for context, following in self.counts[n].items():
                for letter in following:
                    self.counts[n - 1][context[1:]][letter] += 1
        self.discounts = [self._discount(counts) for counts in self.counts]

    @staticmethod
    def _discount(counts: defaultdict[str, Counter[str]]) -> float:
        of = Counter(count for following in counts.values() for count in following.values())
        return of[1] / (of[1] + 2 * of[2]) if of[1] else 0.5

    def probability(self, context: str, letter: str) -> float:
        """p(letter | context), of the last order - 1 characters of the context."""
        p = 1 / len(self.letters)
        for n, (counts, discount) in enumerate(zip(self.counts, self.discounts, strict=True)):
            following = counts.get(context[len(context) - n :] if n else "")
            if following is not None:
                total = following.total()
                p = (max(following[letter] - discount, 0) + discount * len(following) * p) / total
        return p

    def bits(self, text: str) -> float:
        """-log2 p(text), from the start of a text on."""
        seen = self.order - 1
        padded = START * seen + text
        places = range(seen, len(padded))
        return -sum(log2(self.probability(padded[place - seen : place], padded[place])) for place in places)


def known_words(model: Pretrained, words: set[str], n: int) -> float:
    """The share of words of ``n`` drawn texts that are among ``words``, without the first and the last of a text, which may be cut."""
    texts = model.show(model.sample(n, seed=0, batch_size=n))
    drawn = [word for text in texts for word in [each for each in words_of(text) if each.isalpha()][1:-1]]
    return sum(word in words for word in drawn) / max(1, len(drawn))


def row(reference: str, order: int, draws: int, samples: int) -> str:
    """A row of the table for a checkpoint."""
    model = load(reference)
    config: Any = training_data_config(model.files, ["split=test"])
    assert isinstance(config, TextSetConfig)
    whole = text_of(config)
    x = load_data(config).x
    texts = model.show(x)
    letters = sum(map(len, texts))
    result = model.log_prob(x, k=draws)
    bits = -result.value.double() / log(2)
    mean, error = float(bits.sum()) / letters, float(bits.std()) * sqrt(len(bits)) / letters
    baseline = KneserNey(split_text(whole, "train"), order, "".join(sorted(set(whole))))
    windows = sum(map(baseline.bits, texts)) / letters
    blocks = split_text(whole, "test")
    running = sum(map(baseline.bits, blocks)) / sum(map(len, blocks))
    known = known_words(model, set(words_of(whole)), samples)
    sign = "<= " if result.kind == "lower_bound" else ""
    return f"| {model.name} | {len(x):,} | {sign}{mean:.3f} ± {error:.3f} | {windows:.3f} | {running:.3f} | {known:.0%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("references", nargs="+")
    parser.add_argument("--order", type=int, default=4)
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--samples", type=int, default=64)
    chosen = parser.parse_args()
    print(
        f"| checkpoint | windows | bits per character | Kneser-Ney {chosen.order}-gram, windows | over whole blocks | drawn words known |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for reference in chosen.references:
        print(row(reference, chosen.order, chosen.draws, chosen.samples))


if __name__ == "__main__":
    main()
