"""Simultaneous descent-ascent, and steps that alternate: the bilinear game in closed form."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import pytest
import torch
from torch import nn

from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.interfaces import Rng, TrainerConfig
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import FakeConfig, FakeDataConfig
from zoo_core.training.loop import Loop
from zoo_core.training.trainer import Batch, Loss, Trainer

RATE = 0.5


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


class Game(Trainer):
    """min over x, max over y of x y: the critic, y, moves first."""

    def __init__(self) -> None:
        model = nn.Module()
        model.x = nn.Parameter(torch.tensor(1.0))
        super().__init__(model, TrainerConfig())
        self.y = nn.Parameter(torch.tensor(0.25))

    def phases(self, step: int) -> tuple[str, ...]:
        return "critic", "generator"

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return [self.y] if phase == "critic" else self.model.parameters()

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        value = self.y * next(self.model.parameters())
        return Loss(value=-value if phase == "critic" else value)


def places(*, simultaneous: bool, accumulate: int = 1) -> list[tuple[float, float]]:
    fit = FitConfig(
        steps=5,
        batch_size=4,
        optimizer=OptimizerConfig(name="momentum", lr=RATE, options={"momentum": 0.0}),
        ema=None,
        simultaneous=simultaneous,
        accumulate=accumulate,
    )
    data = FakeDataConfig(shape=(2,), count=8)
    game = Game()
    loop = Loop(Recipe(model=FakeConfig(), fit=fit, data=data), game, load_data(data), Processes("cpu"))
    loop.start()
    found = [(1.0, 0.25)]
    for _ in range(fit.steps):
        loop.advance()
        found.append((float(next(game.model.parameters()).detach()), float(game.y.detach())))
    return found


@pytest.mark.parametrize("accumulate", [1, 2])
def test_both_sides_move_from_the_same_place_and_spiral_outwards(accumulate: int) -> None:
    """x' = x - r y and y' = y + r x: the squared distance from the equilibrium grows by 1 + r^2 at each step."""
    found = places(simultaneous=True, accumulate=accumulate)
    for (x, y), after in pairwise(found):
        assert after == pytest.approx((x - RATE * y, y + RATE * x), rel=1e-6)
        assert sum(each**2 for each in after) == pytest.approx((1 + RATE**2) * (x**2 + y**2), rel=1e-6)


def test_steps_that_alternate_stay_on_an_ellipse() -> None:
    """y' = y + r x and x' = x - r y': x^2 + y^2 + r x y is kept."""
    found = places(simultaneous=False)
    for (x, y), after in pairwise(found):
        assert after == pytest.approx((x - RATE * (y + RATE * x), y + RATE * x), rel=1e-6)
        assert [a**2 + b**2 + RATE * a * b for a, b in (after,)] == pytest.approx([x**2 + y**2 + RATE * x * y], rel=1e-6)
