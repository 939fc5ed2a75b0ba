"""Theorems about the ncsn-langevin family, on tiny nets."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.config import decode, encode
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.recipes import Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_core.training.trainer import Batch
from zoo_ncsn_langevin.config import NCSNConfig
from zoo_ncsn_langevin.embedding import sinusoids
from zoo_ncsn_langevin.model import NCSN, nearest_levels, scalings
from zoo_ncsn_langevin.recipes import GAUSSIAN_MIXTURE, MNIST, PAPER_V1, PAPER_V2
from zoo_ncsn_langevin.refinenet import average, convolve_and_halve, instance_norm_plus
from zoo_ncsn_langevin.trainer import NCSNTrainer

TINY = NCSNConfig(shape=(2, 8, 8), width=4, multipliers=(1, 2, 2), dilations=(1, 1, 2), levels=6, units=1)
FORMS = ["score", "scaled", "edm"]
RECIPES = {"mnist": MNIST, "gaussian-mixture": GAUSSIAN_MIXTURE, "paper-v1": PAPER_V1, "paper-v2": PAPER_V2}


def model(config: NCSNConfig = TINY, **changes: object) -> NCSN:
    """A tiny net with random weights in its zero-initialised layers too, so that no path is idle."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NCSN(replace(config, **changes))  # type: ignore[arg-type]
        for parameter in net.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return net.eval().requires_grad_(False)


def images(n: int = 3, *shape: int, seed: int = 0) -> Tensor:
    return torch.randn(n, *(shape or TINY.shape), generator=torch.Generator().manual_seed(seed))


def levels(*sigmas: float) -> Tensor:
    return torch.tensor(sigmas, dtype=torch.float64)


def test_preconditioning_is_that_of_edm() -> None:
    for sigma, data in ((0.02, 0.5), (1.0, 0.6), (80.0, 2.0)):
        c_skip, c_out, c_in = scalings("edm", levels(sigma), data)
        assert c_skip.item() == pytest.approx(data**2 / (sigma**2 + data**2))
        assert c_out.item() == pytest.approx(sigma * data / math.sqrt(sigma**2 + data**2))
        assert c_in.item() == pytest.approx(1 / math.sqrt(sigma**2 + data**2))


def test_edm_gives_the_net_inputs_and_targets_of_variance_one_and_amplifies_its_error_least() -> None:
    sigma = levels(0.02, 0.3, 1.0, 20.0)
    data = 0.6
    c_skip, c_out, c_in = scalings("edm", sigma, data)

    def variance(c_skip: Tensor) -> Tensor:
        """The variance of x_0 - c_skip (x_0 + sigma eps)."""
        return (1 - c_skip) ** 2 * data**2 + c_skip**2 * sigma**2

    torch.testing.assert_close(c_in**2 * (data**2 + sigma**2), torch.ones_like(sigma))
    torch.testing.assert_close(variance(c_skip), c_out**2)
    assert all((variance(c_skip + shift) > c_out**2).all() for shift in (-0.01, 0.01))


@pytest.mark.parametrize("form", FORMS)
def test_score_is_denoised_less_x_over_the_variance(form: str) -> None:
    for net in (model(form=form), model(NCSNConfig(shape=(2,), net="mlp", width=8), form=form)):
        net = net.double()
        x = images(3, *net.event.shape).double()
        sigma = levels(0.02, 0.7, 20.0)
        sigma_ = net.over(sigma)
        torch.testing.assert_close(net.score(x, sigma), (net.denoise(x, sigma) - x) / sigma_**2, rtol=1e-7, atol=1e-7)


def test_a_net_of_the_first_paper_gives_the_score_of_the_nearest_level() -> None:
    net = model(form="score")
    x = images()
    for sigma, level in ((net.levels[2], 2), (net.levels[2] * 1.2, 2), (net.levels[3] / 1.2, 3), (1e-9, 0), (1e9, 5)):
        expected = net.net(x, torch.full((3,), level))
        torch.testing.assert_close(net.score(x, levels(*[sigma] * 3)), expected)
    assert not torch.allclose(net.net(x, torch.tensor([1, 1, 1])), net.net(x, torch.tensor([2, 2, 2])))


def test_a_net_of_the_second_paper_is_one_net_over_sigma() -> None:
    net = model(form="scaled")
    x = images()
    one, two = (net.score(x, levels(*[sigma] * 3)) for sigma in (1.0, 4.0))
    torch.testing.assert_close(one, 4 * two)
    torch.testing.assert_close(net.denoise(x, levels(4, 4, 4)), x + 4 * one)


def test_a_preconditioned_net_sees_sigma_in_all_its_digits() -> None:
    net = model()
    x = images()
    at, near = (net.output(x, levels(*[sigma] * 3)) for sigma in (1.0, 1.001))
    assert 0 < (at - near).abs().max() < 0.1


@pytest.mark.parametrize("form", FORMS)
def test_sigmas_beyond_the_range_are_finite(form: str) -> None:
    net = model(form=form)
    assert net.denoise(images(), levels(0.0, 1e-30, 1e9)).isfinite().all()
    torch.testing.assert_close(net.denoise(images(), levels(0, 0, 0)), images())


def test_the_nearest_level_is_nearest_in_log_sigma() -> None:
    own = (0.02, 0.1, 0.3, 2.0)
    sigmas = (1e-3, 0.02, 0.0447, 0.0448, 0.17, 0.18, 0.77, 0.78, 2.0, 9.0)
    nearest = [min(range(4), key=lambda i: abs(math.log(own[i] / sigma))) for sigma in sigmas]
    assert nearest_levels(own, torch.tensor(sigmas, dtype=torch.float64)).tolist() == nearest


@pytest.mark.parametrize("recipe", [PAPER_V1, PAPER_V2], ids=["v1", "v2"])
def test_levels_of_the_papers_are_geometric_and_doubled(recipe: Recipe) -> None:
    assert isinstance(recipe.model, NCSNConfig)
    with torch.device("meta"):
        net = NCSN(recipe.model)
    ratios = [high / low for low, high in zip(net.levels, net.levels[1:], strict=False)]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    first, last = (net.levels[-1], net.levels[0])
    assert (first / 2, last / 2) == pytest.approx({10: (1.0, 0.01), 232: (50.0, 0.01)}[len(net.levels)])


def test_instance_norm_plus_longhand() -> None:
    x = images(2, 3, 4, 5).double()
    (gamma, alpha, beta) = images(3, 2, 3, seed=1).double()
    out = instance_norm_plus(x, gamma, alpha, beta, eps=1e-5)
    for n in range(2):
        mu = [sum(x[n, c].flatten().tolist()) / 20 for c in range(3)]
        m = sum(mu) / 3
        v2 = sum((value - m) ** 2 for value in mu) / 2
        for c in range(3):
            variance = sum((value - mu[c]) ** 2 for value in x[n, c].flatten().tolist()) / 20
            normed = (x[n, c] - mu[c]) / math.sqrt(variance + 1e-5)
            kept = (mu[c] - m) / math.sqrt(v2 + 1e-5)
            torch.testing.assert_close(out[n, c], gamma[n, c] * (normed + alpha[n, c] * kept) + beta[n, c])


def test_instance_norm_plus_of_bfloat16_adds_up_in_float32() -> None:
    x = images(2, 3, 16, 16).bfloat16() + 40
    (gamma, alpha, beta) = images(3, 2, 3, seed=1)
    out = instance_norm_plus(x, gamma, alpha, beta)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), instance_norm_plus(x.float(), gamma, alpha, beta), rtol=0.01, atol=0.01)


def test_convolutions_take_the_place_of_pools_exactly() -> None:
    x = images(2, 3, 8, 8).double()
    torch.testing.assert_close(average(x), F.avg_pool2d(x, 5, 1, padding=2))
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    torch.testing.assert_close(convolve_and_halve(x, conv), F.avg_pool2d(conv(x), 2))


def test_waves_turn_once_where_sigma_grows_by_two_pi_over_their_frequency_e_folds() -> None:
    log_sigma = levels(-3.0, 0.4)
    features = sinusoids(log_sigma, 4)
    frequency = [0.25 * (16 / 0.25) ** (i / 3) for i in range(4)]
    expected = [[wave(w * value) for wave in (math.sin, math.cos) for w in frequency] for value in log_sigma.tolist()]
    torch.testing.assert_close(features, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 8, 8)])
def test_every_parameter_moves_every_image(form: str, shape: tuple[int, ...]) -> None:
    net = model(form=form, shape=shape, dilations=(1, 1, 2), units=2).requires_grad_(True)
    x = images(2, *shape).requires_grad_(True)
    out = net.denoise(x, levels(0.5, 2.0))
    assert out.shape == x.shape
    named = dict(net.named_parameters())
    slopes = torch.autograd.grad((out**2).sum(), [x, *named.values()])
    assert all(slope.isfinite().all() for slope in slopes)
    # Adding a constant to a channel before a norm changes its means, which the norm keeps; so no bias is idle.
    assert [name for name, slope in zip(named, slopes[1:], strict=True) if not slope.any()] == []


def test_a_pixel_is_denoised_by_what_the_whole_image_shows() -> None:
    net = model().requires_grad_(True)
    x = images(1).requires_grad_(True)
    (slope,) = torch.autograd.grad(net.denoise(x, levels(1.0))[0, 0, 0, 0], x)
    assert slope.abs().min() > 0


def test_start_is_noise_of_the_largest_level() -> None:
    net = model()
    assert torch.equal(net.start(ImageRng(0, range(2)), 20.0), 20 * ImageRng(0, range(2)).normal(*TINY.shape))


@pytest.mark.parametrize(("recipe", "parameters"), [(PAPER_V1, 30_117_635), (PAPER_V2, 29_694_083)], ids=["v1", "v2"])
def test_the_papers_nets_build_on_meta_with_their_parameter_counts(recipe: Recipe, parameters: int) -> None:
    assert isinstance(recipe.model, NCSNConfig)
    with torch.device("meta"):
        net = NCSN(recipe.model)
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_in_a_narrower_variant_takes_training_steps(recipe: Recipe) -> None:
    assert isinstance(recipe.model, NCSNConfig)
    narrow = {"width": 4} | ({"shape": (*recipe.model.shape[:1], 8, 8)} if len(recipe.model.shape) == 3 else {})
    trainer = NCSNTrainer(model(recipe.model, **narrow).train().requires_grad_(True), recipe.trainer)  # type: ignore[arg-type]
    x = StepRng(0, 0, 16).uniform(*trainer.model.event.shape) * 2 - 1
    batch = Batch(x=x, labels=None, index=torch.arange(16))
    before = [parameter.clone() for parameter in trainer.parameters()]
    optimizer = torch.optim.Adam(trainer.parameters(), 1e-3)
    trainer("model", batch, StepRng(0, 0, 16)).value.backward()
    optimizer.step()
    assert all(not torch.equal(old, new) for old, new in zip(before, trainer.parameters(), strict=True))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_survive_the_codec(recipe: Recipe) -> None:
    assert decode(Recipe, encode(recipe)) == recipe


@pytest.mark.parametrize("recipe", [MNIST, GAUSSIAN_MIXTURE], ids=["mnist", "gaussian-mixture"])
def test_the_small_recipes_fit_eight_megabytes(recipe: Recipe) -> None:
    assert isinstance(recipe.model, NCSNConfig)
    with torch.device("meta"):
        net = NCSN(recipe.model)
    assert sum(parameter.numel() * 4 for parameter in net.parameters()) <= 8_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 10**9}, "model.width"),
        ({"width": True}, "model.width"),
        ({"sigma_max": float("nan")}, "model.sigma_max"),
        ({"sigma_max": 0.01}, "sigma_min must be less"),
        ({"levels": 1}, "model.levels"),
        ({"form": "eps"}, "model.form"),
        ({"shape": [1, 28, 14]}, "model.shape"),
        ({"shape": [1, 30, 30]}, "halves 2 times"),
        ({"shape": [1, 4, 4]}, "side of 8 or more"),
        ({"shape": [2]}, "channels, side, side"),
        ({"net": "mlp"}, "the dimension"),
        ({"dilations": [1, 1]}, "same length"),
        ({"scheduler": {"name": "os.system"}}, "os.system"),
        ({"ngf": 64}, "ngf"),
    ],
)
def test_a_bad_config_names_the_field(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode(ModelConfig, {"name": "ncsn-langevin", **change}, "model")
