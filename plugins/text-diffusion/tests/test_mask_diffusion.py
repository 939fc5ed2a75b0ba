"""Theorems about masked diffusion: the bound against enumeration, and drawing against the conditional probabilities."""

import itertools
from collections.abc import Sequence
from math import factorial

import pytest
import torch
from torch import Tensor

from zoo_core.data.dataset import Batch
from zoo_core.rng import ImageRng, StepRng
from zoo_core.samplers import Unmask
from zoo_core.vocabulary import Vocabulary
from zoo_text_diffusion.config import MaskDiffusionConfig
from zoo_text_diffusion.model import MaskDiffusion

WORDS = Vocabulary(unit="word", tokens=("no", "yes"))
HIDDEN = 2
ALL = torch.tensor(list(itertools.product((0, 1), repeat=3)))  # the 8 texts of 3 words


def net(seed: int = 0) -> MaskDiffusion:
    """A model with random weights whose conditional probabilities belong to no distribution."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = MaskDiffusion(MaskDiffusionConfig(vocabulary=WORDS, length=3, layers=1, width=8, heads=2, hidden=8, kernel=3))
        for parameter in model.parameters():
            parameter.data += 0.5 * torch.randn(parameter.shape)
    return model.eval().requires_grad_(False)


class Exact(MaskDiffusion):
    """The conditional probabilities of one distribution over the 8 texts."""

    def __init__(self) -> None:
        super().__init__(MaskDiffusionConfig(vocabulary=WORDS, length=3, layers=1, width=4, heads=1, hidden=4, kernel=1))
        self.p = torch.tensor([0.02, 0.3, 0.08, 0.1, 0.15, 0.05, 0.05, 0.25], dtype=torch.float64)

    def unmask(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        fits = ((x[:, None] == ALL) | (x[:, None] == HIDDEN)).all(-1).double() * self.p  # (n, 8)
        of_yes = torch.stack([fits[:, ALL[:, place] == 1].sum(1) for place in range(3)], 1) / fits.sum(1, keepdim=True)
        return torch.stack([1 - of_yes, of_yes], -1).log().float()


def shown(x: Tensor, hidden: Sequence[int]) -> Tensor:
    x = x.clone()
    x[:, list(hidden)] = HIDDEN
    return x


def enumerated(model: MaskDiffusion, x: Tensor) -> Tensor:
    """The bound by its definition: sum over the subsets S of hidden places of B(|S|, L - |S| + 1) sum over i in S of log p(x_i | rest).

    The weight is the integral over t of 1/t t^m (1 - t)^(L - m), which is (m - 1)! (L - m)! / L!.
    """
    total = torch.zeros(len(x), dtype=torch.float64)
    for count in (1, 2, 3):
        weight = factorial(count - 1) * factorial(3 - count) / factorial(3)
        for hidden in itertools.combinations(range(3), count):
            log_p = model.unmask(shown(x, hidden)).double().gather(-1, x[..., None])[..., 0]
            total += weight * log_p[:, list(hidden)].sum(1)
    return total


def by_orders(model: MaskDiffusion, x: Tensor) -> Tensor:
    """log p(x) of drawing one place after the other in each of the 6 orders, (6, n)."""
    rows = []
    for order in itertools.permutations(range(3)):
        log_p = torch.zeros(len(x), dtype=torch.float64)
        for turn, place in enumerate(order):
            log_p += model.unmask(shown(x, order[turn:])).double()[:, place].gather(-1, x[:, place, None])[:, 0]
        rows.append(log_p)
    return torch.stack(rows)


class Given:
    """An Rng that gives one number to the choice of how many places are hidden, and then an order of the places, the same in all rows."""

    def __init__(self, rows: int, part: float, order: Sequence[float]) -> None:
        self.rows = rows
        self.part = part
        self.order = order

    def __len__(self) -> int:
        return self.rows

    def uniform(self, *shape: int) -> Tensor:
        return torch.tensor(self.order if shape else self.part).expand(self.rows, *shape)

    def normal(self, *shape: int) -> Tensor:
        raise AssertionError("nothing normal is drawn")

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        raise AssertionError("no integers are drawn")


def test_the_bound_is_the_enumeration_over_all_subsets_of_three_places_and_two_words() -> None:
    model = net()
    orders = list(itertools.permutations((0.1, 0.4, 0.8)))
    parts = (0.1, 0.5, 0.9)  # one, two and three hidden places
    values = [model.log_prob(ALL, rng=Given(8, part, order)).value.double() for part in parts for order in orders]
    torch.testing.assert_close(torch.stack(values).mean(0), enumerated(model, ALL), rtol=0, atol=1e-6)
    together = torch.stack([model.log_prob(ALL, rng=Given(8, 0.2, order), k=3).value.double() for order in orders])
    torch.testing.assert_close(together.mean(0), enumerated(model, ALL), rtol=0, atol=1e-6)
    assert (model.log_prob(ALL).kind, model.log_prob(ALL).space) == ("lower_bound", "categorical")


def test_drawn_bounds_have_the_enumeration_as_their_mean() -> None:
    model = net()
    draws = torch.stack([model.log_prob(ALL, rng=ImageRng(seed, range(8)), k=30).value.double() for seed in range(60)])
    error = draws.std(0) / len(draws) ** 0.5
    assert bool(((draws.mean(0) - enumerated(model, ALL)).abs() < 4.5 * error + 1e-6).all())


def test_the_enumerated_bound_is_the_mean_over_the_orders_and_is_below_the_probability_of_drawing() -> None:
    model = net()
    orders = by_orders(model, ALL)
    torch.testing.assert_close(enumerated(model, ALL), orders.mean(0))
    drawing = orders.exp().mean(0)
    assert float(drawing.sum()) == pytest.approx(1, abs=1e-6)
    assert bool((enumerated(model, ALL) < drawing.log()).all())


def test_the_bound_is_the_log_probability_if_the_conditionals_are_those_of_one_distribution() -> None:
    model = Exact()
    torch.testing.assert_close(enumerated(model, ALL), model.p.log(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [3, 50])
def test_drawing_one_place_a_step_has_the_probabilities_of_the_orders(steps: int) -> None:
    model, n = net(1), 8000
    x = Unmask(steps=steps)(model, ImageRng(0, range(n)))
    counts = torch.bincount((x * torch.tensor([4, 2, 1])).sum(1), minlength=8).double()
    expected = n * by_orders(model, ALL).exp().mean(0)
    assert float(((counts - expected) ** 2 / expected).sum()) < 7 + 4 * (2 * 7) ** 0.5


def test_places_of_one_step_are_drawn_independently() -> None:
    model, n = Exact(), 8000
    x = Unmask(steps=1)(model, ImageRng(0, range(n)))
    marginals = (ALL.double() * model.p[:, None]).sum(0)
    expected = n * torch.where(ALL == 1, marginals, 1 - marginals).prod(1)
    counts = torch.bincount((x * torch.tensor([4, 2, 1])).sum(1), minlength=8).double()
    assert float(((counts - expected) ** 2 / expected).sum()) < 7 + 4 * (2 * 7) ** 0.5


@pytest.mark.parametrize("order", ["random", "confidence", "left-to-right"])
def test_given_words_stay_and_the_others_have_their_conditional_probabilities(order: str) -> None:
    model, n = Exact(), 4000
    start = torch.tensor([[HIDDEN, 1, HIDDEN]]).expand(n, -1)
    x = Unmask(steps=3, order=order)(model, ImageRng(0, range(n)), x=start)  # type: ignore[arg-type]  # one of the names
    assert bool((x[:, 1] == 1).all())
    given = torch.where(ALL[:, 1] == 1, model.p, 0.0)
    expected = n * given / given.sum()
    counts = torch.bincount((x * torch.tensor([4, 2, 1])).sum(1), minlength=8).double()
    able = expected > 0
    assert float(counts[~able].sum()) == 0
    if order != "confidence":  # its order depends on what is drawn
        assert float(((counts - expected)[able] ** 2 / expected[able]).sum()) < 3 + 4 * (2 * 3) ** 0.5


def test_each_step_shows_an_equal_number_of_places_and_left_to_right_the_first() -> None:
    seen: list[Tensor] = []
    Unmask(steps=3, order="left-to-right")(net(), ImageRng(0, range(4)), on_step=lambda step, share, x, x0: seen.append(x == HIDDEN))
    assert [hidden.int().tolist()[0] for hidden in seen] == [[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]
    seen.clear()
    Unmask(steps=2)(net(), ImageRng(0, range(4)), on_step=lambda step, share, x, x0: seen.append((x == HIDDEN).sum(1)))
    assert [hidden.tolist() for hidden in seen] == [[3] * 4, [2] * 4, [0] * 4]


def test_temperature_zero_draws_the_most_probable_word() -> None:
    x = Unmask(steps=1, temperature=0.0)(net(), ImageRng(0, range(4)))
    best = net().unmask(torch.full((1, 3), HIDDEN)).argmax(-1)
    assert torch.equal(x, best.expand(4, -1))


def test_the_loss_is_the_bound_in_nats_per_word() -> None:
    model = net()
    losses = torch.stack([model.loss(Batch(x=ALL, labels=None, index=torch.arange(8)), StepRng(0, step, 8)).value for step in range(600)])
    expected = -enumerated(model, ALL).mean() / 3
    assert float(losses.mean()) == pytest.approx(float(expected), abs=4.5 * float(losses.std()) / 600**0.5)


def test_attention_knows_the_distance_of_places_alone() -> None:
    from zoo_text_diffusion.nets import rotated

    x = torch.randn(1, 1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).expand(1, 6, 8)
    turned = rotated(x)[0]
    scores = turned @ turned.T
    for distance in range(6):
        assert float(scores.diagonal(distance).std(correction=0)) < 1e-6
    assert float(scores[0, 1:].std()) > 1e-3
