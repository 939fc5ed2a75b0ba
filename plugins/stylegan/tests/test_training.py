"""Theorems about the trainer: penalties, mixing, the deviation of groups, growing, and runs that resume."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from zoo_core.data.dataset import Batch
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.rng import StepRng
from zoo_core.samplers import Latent
from zoo_core.testing import assert_resumes, fake_zoo, start_loop
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_stylegan.config import StyleGANConfig, StyleGANTrainerConfig
from zoo_stylegan.critic import Critic, group_deviation, seen_at
from zoo_stylegan.layers import doubled, halved
from zoo_stylegan.model import ONE, StyleGAN
from zoo_stylegan.trainer import StyleGANTrainer, mixed_styles, path_lengths, position_at

MODEL = StyleGANConfig(shape=(1, 8, 8), latent=3, style=4, mapping_layers=2, width=3, most=4, stages=1, taps=(1, 1))
TINY = Recipe(
    model=MODEL,
    trainer=StyleGANTrainerConfig(width=3, most=4, path_length=2.0, augment=("translation",)),
    fit=FitConfig(
        steps=12,
        batch_size=8,
        optimizer=OptimizerConfig(lr=2e-3, options={"betas": [0.0, 0.99]}),
        ema=EMAConfig(),
        save_every=6,
        sample_every=0,
        log_every=3,
    ),
    data=FakeDataConfig(shape=(1, 8, 8), count=64),
    sampler=Latent(),
)
GROWING = replace(
    TINY,
    model=replace(MODEL, shape=(1, 16, 16), stages=2),
    trainer=StyleGANTrainerConfig(width=3, most=4, growing=3),
    data=FakeDataConfig(shape=(1, 16, 16), count=64),
    fit=replace(TINY.fit, steps=14),
)


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo("zoo-stylegan"):
        yield


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def trainer(model: StyleGANConfig = MODEL, **changes: Any) -> StyleGANTrainer:
    """A trainer in float64, whose biases and noise are not zero."""
    out = StyleGANTrainer(StyleGAN(model), StyleGANTrainerConfig(**{"width": 3, "most": 4, **changes})).double()
    with torch.no_grad():
        for i, parameter in enumerate(out.parameters()):
            parameter.add_(0.3 * normal(*parameter.shape, seed=i))
    return out


class Doubles:
    """The numbers of an Rng in float64."""

    def __init__(self, rng: StepRng) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return len(self.rng)

    def normal(self, *shape: int) -> Tensor:
        return self.rng.normal(*shape).double()

    def uniform(self, *shape: int) -> Tensor:
        return self.rng.uniform(*shape).double()

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return self.rng.integers(low, high, *shape)


def rng(rows: int = 4, step: int = 0) -> Doubles:
    return Doubles(StepRng(0, step, rows))


def batch(x: Tensor) -> Batch:
    return Batch(x=x, labels=None, index=torch.arange(len(x)))


# Losses


def test_r1_is_the_squared_slope_of_finite_differences_at_real_images() -> None:
    it = trainer(group=0, r1=3.0, r1_every=5)
    x = normal(2, 1, 8, 8)
    value, logs = it.penalty(x, x, None, rng(2))
    assert value is not None
    value = value.detach()
    squared = 0.0
    step = 1e-5
    with torch.no_grad():
        for row in range(2):
            for place in range(64):
                shift = torch.zeros(64, dtype=torch.float64)
                shift[place] = step
                up, down = (it.critic((x[row] + sign * shift.view(1, 8, 8))[None]) for sign in (1, -1))
                squared += float((up - down) / (2 * step)) ** 2 / 2
    assert float(logs["critic.r1"]) == pytest.approx(squared, rel=1e-5)
    assert float(value) == pytest.approx(3.0 / 2 * 5 * squared, rel=1e-5)


def test_penalties_come_every_so_many_steps_alone() -> None:
    it = trainer(path_length=1.0, r1_every=3, path_every=2)
    found = []
    for step in range(6):
        it.place(step, 10)
        logs = {name for phase in ("critic", "generator") for name in it(phase, batch(normal(4, 1, 8, 8)), rng()).logs}
        found.append(("critic.r1" in logs, "generator.path" in logs))
    assert found == [(step % 3 == 0, step % 2 == 0) for step in range(6)]


def test_the_losses_are_those_of_goodfellow_and_their_penalties() -> None:
    it = trainer(mixing=0.0, r1=2.0).eval()
    x = normal(4, 1, 8, 8)
    z = rng().normal(MODEL.row)
    fake = it.model.synthesise(it.model.styles(z)[:, None].expand(-1, MODEL.styles, -1), z)
    loss = it("critic", batch(x), rng())
    expected = softplus(-it.critic(x)).mean() + softplus(it.critic(fake)).mean() + 16 * loss.logs["critic.r1"]
    close: dict[str, Any] = {"check_dtype": False, "rtol": 1e-5, "atol": 1e-6}  # outputs are float32
    torch.testing.assert_close(loss.value, expected, **close)
    torch.testing.assert_close(it("generator", batch(x), rng()).value, softplus(-it.critic(fake)).mean(), **close)


def test_path_lengths_are_those_of_the_whole_jacobian() -> None:
    it = trainer()
    z, noise = normal(2, MODEL.row), normal(2, 1, 8, 8, seed=1)
    w = normal(2, MODEL.styles, 4, seed=2).requires_grad_(True)
    found = path_lengths(it.model, w, z, noise)
    for row in range(2):
        one = slice(row, row + 1)
        jacobian = torch.autograd.functional.jacobian(lambda each: it.model.synthesise(each, z[one]), w[one])  # noqa: B023  # called at once
        slope = torch.einsum("chw,chwlk->lk", noise[row] / 8, jacobian[0, :, :, :, 0])
        torch.testing.assert_close(found[row], slope.square().sum(1).mean().sqrt())


def test_the_path_penalty_is_the_variance_around_a_moving_mean_that_follows_in_training_only() -> None:
    it = trainer(path_length=2.0, path_every=4, mixing=0.0)
    plain = trainer(mixing=0.0)
    plain.load_state_dict(it.state_dict())
    it.path_mean.fill_(0.3)
    for training in (False, True):
        it.train(training)
        before = float(it.path_mean)
        loss = it("generator", batch(normal(4, 1, 8, 8)), rng())
        without = plain.eval()("generator", batch(normal(4, 1, 8, 8)), rng()).value
        draws = rng()
        draws.normal(MODEL.row), draws.normal(3), draws.integers(1, 4), draws.uniform()  # the generator's own images
        z = draws.normal(MODEL.row)
        draws.normal(3), draws.integers(1, 4), draws.uniform()
        w = it.model.styles(z)[:, None].expand(-1, MODEL.styles, -1)
        lengths = path_lengths(it.model, w, z, draws.normal(1, 8, 8)).detach()
        mean = 0.99 * before + 0.01 * lengths.mean()
        torch.testing.assert_close(loss.value - without, 2.0 * 4 * (lengths - mean).square().mean(), rtol=1e-5, atol=1e-6)
        assert float(it.path_mean) == pytest.approx(float(mean) if training else before)


# Styles


def test_mixed_rows_have_two_latents_and_a_place_of_change() -> None:
    model = trainer(replace(MODEL, shape=(1, 32, 32), stages=3)).model
    w = normal(400, 4)
    styles = mixed_styles(model, rng(400), w, 0.7)
    assert styles.shape == (400, 8, 4)
    first = (styles == w[:, None]).all(dim=2)
    assert bool(first[:, 0].all())
    changes = (first[:, 1:] != first[:, :-1]).sum(dim=1)
    assert set(changes.tolist()) == {0, 1}
    assert changes.double().mean() == pytest.approx(0.7, abs=0.07)
    places = first[changes == 1].sum(dim=1).bincount(minlength=8)
    assert places[0] == 0
    assert places[1:].min() > 20  # all seven places, each about 40 times
    torch.testing.assert_close(mixed_styles(model, rng(400), w, 0.0), w[:, None].expand(-1, 8, -1))


def test_the_mean_of_w_follows_the_styles_of_training() -> None:
    it = trainer()
    with torch.no_grad():
        it.draw(rng(), None)
    expected = 0.005 * it.model.styles(rng().normal(MODEL.row)).mean(0)
    torch.testing.assert_close(it.model.w_mean, expected)
    it.eval().draw(rng(), None)
    torch.testing.assert_close(it.model.w_mean, expected)


def test_the_deviation_is_that_of_each_group_of_rows_averaged_over_all_places() -> None:
    x = normal(8, 2, 3, 3)
    found = group_deviation(x, 4)
    torch.testing.assert_close(found[:, :2], x)
    for group in (slice(0, 4), slice(4, 8)):
        expected = torch.stack([x[group, c, i, j].std(unbiased=False) for c in range(2) for i in range(3) for j in range(3)]).mean()
        torch.testing.assert_close(found[group, 2], expected.float().expand(4, 3, 3).double(), rtol=1e-5, atol=0)
    whole = group_deviation(x[:6], 4)[:, 2, 0, 0]
    torch.testing.assert_close(whole, whole[:1].expand(6))


# Growing


def test_levels_fade_in_one_after_the_other_and_stay_alone_as_long() -> None:
    assert [position_at(step, 4, 2) for step in (0, 3, 4, 5, 7, 8, 11, 12, 14, 16, 999)] == [0, 0, 0, 0.25, 0.75, 1, 1, 1, 1.5, 2, 2]


CONFIG = replace(MODEL, shape=(1, 14, 14), stages=2)  # 4 -> 7 -> 14


@pytest.mark.parametrize("taps", [(1, 1), (1, 3, 3, 1)], ids=str)
def test_growth_is_continuous_at_both_ends_of_a_fade(taps: tuple[int, ...]) -> None:
    """The first step after a fade equals the last before it, as the share goes to 1; and a level enters with a share of 0."""
    config = replace(CONFIG, taps=taps)
    it = trainer(config, growing=5)
    z, x = normal(4, config.row), normal(4, 1, 14, 14)
    with torch.no_grad():
        for level in (1, 2):
            images, outputs, reals = [], [], []
            for position in (level - 1, level - 1 + 1 / ONE, level - 1 / ONE, level):
                it.model.grown.fill_(round(position * ONE))
                images.append(it.model.decode(z))
                outputs.append(it.critic(x, it.model.position))
                reals.append(seen_at(x, it.model.position, config.sides, taps))
            for each in (images, outputs, reals):
                assert (each[0] - each[1]).abs().max() < 1e-5
                assert (each[2] - each[3]).abs().max() < 1e-5
                assert (each[0] - each[3]).abs().max() > 1e-3


def test_a_generator_of_fewer_levels_gives_their_image_upsampled_and_its_critic_sees_that() -> None:
    it = trainer(CONFIG, growing=5)
    z = normal(4, CONFIG.row)
    small = StyleGAN(replace(CONFIG, shape=(1, 7, 7), width=4, stages=1)).double()
    state = {name: value for name, value in it.model.state_dict().items() if name in small.state_dict()}
    small.load_state_dict({**state, "offsets": state["offsets"][:2], "grown": torch.tensor(ONE)})
    it.model.grown.fill_(ONE)
    row = z[:, : small.config.row]
    torch.testing.assert_close(it.model.decode(z), doubled(small.decode(row), CONFIG.taps, 14))
    own = Critic(small.config, StyleGANTrainerConfig(width=4, most=4, growing=5)).double()
    own.load_state_dict({name: value for name, value in it.critic.state_dict().items() if name in own.state_dict()})
    x = normal(4, 1, 14, 14)
    torch.testing.assert_close(it.critic(x, 1.0), own(halved(x, CONFIG.taps)))


def test_between_two_levels_images_features_and_real_images_are_mixed() -> None:
    it = trainer(CONFIG, growing=5)
    z, x = normal(4, CONFIG.row), normal(4, 1, 14, 14)
    ends = []
    for position in (1.0, 1.25, 2.0):
        it.model.grown.fill_(round(position * ONE))
        ends.append((it.model.synthesise(normal(4, CONFIG.styles, 4), z), seen_at(x, position, CONFIG.sides, CONFIG.taps)))
    for low, middle, high in zip(*ends, strict=True):
        torch.testing.assert_close(middle, low + 0.25 * (high - low))


def test_only_the_levels_that_take_part_are_trained_while_a_net_grows() -> None:
    loop = start_loop(GROWING)
    net = cast(StyleGAN, loop.trainer.model)
    top = [*net.up[1].parameters(), *net.keep[1].parameters()]
    before = [each.detach().clone() for each in top]
    positions = []
    for step in range(14):
        loop.advance()
        positions.append(net.position)
        same = all(torch.equal(now, was) for now, was in zip(top, before, strict=True))
        assert same == (step <= 9), step
    assert positions == pytest.approx([0, 0, 0, 0, 1 / 3, 2 / 3, 1, 1, 1, 1, 4 / 3, 5 / 3, 2, 2], abs=1e-5)
    assert cast(StyleGAN, loop.published).position == 2


# Runs


@pytest.mark.parametrize(
    ("recipe", "after"), [(TINY, 5), (GROWING, 5), (GROWING, 11)], ids=["penalties", "in the first fade", "in the second"]
)
def test_a_run_that_was_stopped_and_resumed_ends_as_one_that_was_not_to_the_bit(tmp_path: Path, recipe: Recipe, after: int) -> None:
    state = assert_resumes(recipe, tmp_path, after=after)
    assert {"model/model.w_mean", "model/model.grown", "trainer/path_mean", "ema/w_mean", "ema/grown"} <= state.keys()


STILL = OptimizerConfig(name="sgd", lr=0.0)


@pytest.mark.parametrize("alone", ["critic", "generator"])
def test_each_side_alone_gets_its_way(alone: str) -> None:
    """A critic alone comes to tell real from generated images; a generator alone comes to be taken for real."""
    other = "generator" if alone == "critic" else "critic"
    fit = replace(TINY.fit, batch_size=16, optimizer=OptimizerConfig(lr=5e-3, options={"betas": [0.0, 0.99]}), optimizers={other: STILL})
    loop = start_loop(replace(TINY, trainer=StyleGANTrainerConfig(width=4, most=8), fit=fit))
    loop.advance()
    first = loop.logs()
    for _ in range(40):
        loop.advance()
    loop.logs()
    loop.advance()
    last = loop.logs()
    assert last[f"loss.{alone}"] < 0.8 * first[f"loss.{alone}"]
