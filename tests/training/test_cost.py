"""Theorems about what a step is said to cost."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from zoo_core.cli import main
from zoo_core.interfaces import Rng
from zoo_core.recipes import Recipe
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake import FakeTrainer
from zoo_core.testing.fake_config import IMAGES, FakeTrainerConfig
from zoo_core.training.cost import UnknownCost, estimate
from zoo_core.training.trainer import Batch, Loss


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def wide(width: int, batch_size: int = 16) -> Recipe:
    return replace(IMAGES, trainer=FakeTrainerConfig(width=width), fit=replace(IMAGES.fit, batch_size=batch_size))


def test_parameters_are_counted_by_phase() -> None:
    cost = estimate(wide(10))
    pixels, classes = 3 * 8 * 8, 3
    assert cost.published == cost.trained["generator"] == (2 + classes) * pixels
    assert cost.trained["critic"] == 10 * (pixels + classes) + 10 + 10 + 1


def test_flops_are_those_of_the_matrix_products() -> None:
    # The critic: (n, 195) x (195, w) and (n, w) x (w, 1), a multiply-add being two. Its own phase runs it on real and on made samples, the
    # generator's on made ones. Backward, a layer costs one product for its weights and one for its input, as far as each is wanted.
    n, inputs, w = 16, 195, 10
    first, last = 2 * n * inputs * w, 2 * n * w
    own = 2 * ((first + last) + (first + 2 * last))  # the samples need no gradient
    through = (first + last) + (first + last)  # the critic's weights need none
    assert estimate(wide(w)).flops == own + through


def test_flops_of_a_gradient_penalty_are_those_of_going_backward_twice() -> None:
    # On one more batch, forward: one product a layer. Backward to the samples: one. Backward from there: one for a layer's weights, and for
    # the first one more, for the gradient that came into it.
    n, inputs, w = 16, 195, 10
    first, last = 2 * n * inputs * w, 2 * n * w
    penalised = replace(wide(w), trainer=FakeTrainerConfig(width=w, penalty=10.0))
    assert estimate(penalised).flops - estimate(wide(w)).flops == (first + last) + (first + last) + (2 * first + last) + 2 * first


def test_a_batch_twice_as_large_keeps_twice_the_activations_and_costs_twice_the_flops() -> None:
    one, two = estimate(wide(10, 16)), estimate(wide(10, 32))
    assert two.flops == 2 * one.flops
    assert two.weights == one.weights
    assert two.activations == pytest.approx(2 * one.activations, rel=0.05)


def test_weights_count_gradients_moments_and_the_average() -> None:
    cost = estimate(wide(10))
    trained = sum(cost.trained.values())
    assert cost.weights == 4 * (trained + 3 * trained + cost.published)
    assert estimate(replace(IMAGES, fit=replace(IMAGES.fit, ema=None))).weights < estimate(IMAGES).weights


def test_an_estimate_takes_no_memory_and_leaves_the_global_rng_alone() -> None:
    before = torch.get_rng_state()
    huge = replace(IMAGES, trainer=FakeTrainerConfig(width=4096), fit=replace(IMAGES.fit, batch_size=1_000_000))
    assert estimate(huge).activations > 4096 * 1_000_000 * 4
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_that_reads_values_has_no_estimate_and_a_dry_run_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = FakeTrainer.forward

    def forward(self: FakeTrainer, phase: str, batch: Batch, rng: Rng) -> Loss:
        loss = plain(self, phase, batch, rng)
        return Loss(value=loss.value * (1 + 0 * batch.x.mean().item()))

    monkeypatch.setattr(FakeTrainer, "forward", forward)
    with pytest.raises(UnknownCost):
        estimate(IMAGES)
    with pytest.raises(SystemExit, match="0"):
        main(["train", "fake", "--dry-run"])
    assert "a step       of unknown cost: it depends on the values of tensors" in capsys.readouterr().err
