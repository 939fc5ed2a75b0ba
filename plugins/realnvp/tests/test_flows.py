"""Theorems about the families realnvp and maf, on tiny flows."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from zoo_core.config import decode, encode
from zoo_core.density.transforms import LEVEL, dequantise
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig
from zoo_core.recipes import Recipe
from zoo_core.rng import ImageRng, StepRng
from zoo_realnvp.bijection import OnHalf, Squeezed
from zoo_realnvp.config import MAFConfig, RealNVPConfig
from zoo_realnvp.coupling import AffineCoupling, Block, Mask, NormedConv2d, NormedLinear, ResNet, checkerboard, halves, stripes
from zoo_realnvp.made import MADE, Autoregressive, MaskedLinear, Permuted
from zoo_realnvp.model import MAF, Flow, RealNVP
from zoo_realnvp.norms import Norm, RunningNorm, initialise
from zoo_realnvp.recipes import MAF_MOONS, MNIST, MOONS, PAPER_CIFAR10

IMAGES = RealNVPConfig(shape=(2, 8, 8), scales=3, couplings=2, blocks=1, width=4)
POINTS = RealNVPConfig(shape=(3,), couplings=4, blocks=1, width=8)
MAF_POINTS = MAFConfig(shape=(3,), layers=3, width=9)
MAF_IMAGES = MAFConfig(shape=(1, 4, 4), layers=2, hidden=1, width=20, order="random")
FLOWS = {"images": IMAGES, "points": POINTS, "maf-points": MAF_POINTS, "maf-images": MAF_IMAGES}
NORMED = {f"{name}-{norm}": replace(config, norm=norm) for name, config in FLOWS.items() for norm in ("batch", "act")}
RECIPES = {"mnist": MNIST, "2d": MOONS, "paper": PAPER_CIFAR10, "maf-2d": MAF_MOONS}

every_flow = pytest.mark.parametrize("config", NORMED.values(), ids=NORMED)


def samples(config: RealNVPConfig | MAFConfig, n: int = 6, seed: int = 0) -> Tensor:
    """Images of 8-bit pixels, or points that are neither centred nor of variance 1."""
    generator = torch.Generator().manual_seed(seed)
    if len(config.shape) == 3:
        return torch.randint(256, (n, *config.shape), generator=generator) / 127.5 - 1
    return 2 + 3 * torch.randn(n, *config.shape, generator=generator)


def flow(config: RealNVPConfig | MAFConfig, dtype: torch.dtype = torch.float32, strength: float = 0.2) -> Flow:
    """A tiny flow in eval mode, with random weights instead of initial zeros, and norms initialised from data."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = RealNVP(config) if isinstance(config, RealNVPConfig) else MAF(config)
        for parameter in net.parameters():
            parameter.data += strength * torch.randn_like(parameter)
    with torch.no_grad():
        initialise(net, samples(config, 64, seed=1))
    return net.to(dtype).eval().requires_grad_(False)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"])
@every_flow
def test_decode_undoes_encode(config: RealNVPConfig | MAFConfig, dtype: torch.dtype, tolerance: float) -> None:
    net = flow(config, dtype)
    x = samples(config).to(dtype)
    z = net.encode(x)
    assert z.shape == x.shape
    assert (net.decode(z) - x).abs().max() < tolerance * x.abs().max()


@pytest.mark.parametrize("config", [IMAGES, MAF_IMAGES], ids=["images", "maf-images"])
def test_latents_far_from_the_data_come_back_finite_from_their_images(config: RealNVPConfig | MAFConfig) -> None:
    """In float32 their pixels are 1, which has an infinite logit."""
    net = flow(config, strength=0.5)
    z = 100 * torch.randn(20, *config.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        again, volume = net(net.inverse(z))
    assert again.isfinite().all()
    assert volume.isfinite().all()


@every_flow
def test_volume_is_the_log_determinant_of_autograd(config: RealNVPConfig | MAFConfig) -> None:
    net = flow(config, torch.float64)
    x = samples(config, 3).double()
    _, volume = net(x)
    for row in range(len(x)):
        jacobian = torch.func.jacrev(lambda row: net(row)[0])(x[row : row + 1])
        truth = torch.linalg.slogdet(jacobian.reshape(x[row].numel(), x[row].numel()))[1]
        assert volume[row].item() == pytest.approx(truth.item(), abs=1e-8)
        assert flow(config)(x.float())[1][row].item() == pytest.approx(truth.item(), abs=1e-4 * x[row].numel())


@pytest.mark.parametrize("norm", ["batch", "act"])
@pytest.mark.parametrize("config", [replace(POINTS, shape=(2,)), replace(MAF_POINTS, shape=(2,))], ids=["realnvp", "maf"])
def test_the_density_of_points_integrates_to_one(config: RealNVPConfig | MAFConfig, norm: str) -> None:
    net = flow(replace(config, norm=norm), torch.float64)  # type: ignore[arg-type]
    side = 60.0
    steps = 1200
    axis = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps * side - side / 2 + 2
    found = net.log_prob(torch.cartesian_prod(axis, axis))
    assert (found.kind, found.space) == ("exact", "continuous")
    assert (found.value.exp().sum() * (side / steps) ** 2).item() == pytest.approx(1, abs=0.01)


def test_the_log_probability_of_points_is_that_of_their_latents_and_the_volume() -> None:
    net = flow(POINTS)
    x = samples(POINTS)
    z, volume = net(x)
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum(1)
    torch.testing.assert_close(net.log_prob(x).value, normal + volume)


def test_the_log_probability_of_images_is_the_density_of_dequantised_ones_times_the_volume_of_a_level() -> None:
    net = flow(IMAGES)
    x = samples(IMAGES)
    found = net.log_prob(x, rng=ImageRng(3, range(6)))
    assert (found.kind, found.space) == ("lower_bound", "uint8")
    y, _ = dequantise(x, ImageRng(3, range(6)))
    torch.testing.assert_close(found.value, net.log_density(y) + 128 * math.log(LEVEL))


def test_several_draws_give_the_logarithm_of_their_mean() -> None:
    net = flow(IMAGES, torch.float64)
    x = samples(IMAGES)
    rng = ImageRng(3, range(6))
    draws = torch.stack([net.log_prob(x, rng=rng).value for _ in range(3)])
    together = net.log_prob(x, rng=ImageRng(3, range(6)), k=3).value
    torch.testing.assert_close(together, draws.exp().mean(0).log())


def test_without_an_rng_an_images_noise_is_that_of_its_place() -> None:
    net = flow(IMAGES)
    x = samples(IMAGES)
    assert torch.equal(net.log_prob(x).value, net.log_prob(x, rng=ImageRng(0, range(6))).value)


def test_decoded_images_are_in_range_and_the_flow_itself_reaches_into_the_margin() -> None:
    net = flow(IMAGES)
    z = 10 * net.prior(ImageRng(0, range(8)))
    assert net.decode(z).abs().max() == 1
    assert 1 < net.inverse(z).abs().max() <= (0.55 / 0.9) * 512 / 255 + 1e-4


@every_flow
def test_autocast_changes_nothing(config: RealNVPConfig | MAFConfig) -> None:
    net = flow(config)
    x = samples(config)
    z, volume = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = *net(x), net.inverse(z), net.log_density(x)
    for value, expected in zip(outputs, (z, volume, net.inverse(z), net.log_density(x)), strict=True):
        assert value.dtype == torch.float32
        assert torch.equal(value, expected)


@every_flow
def test_every_parameter_has_a_part_in_the_density_and_every_input_in_the_latent(config: RealNVPConfig | MAFConfig) -> None:
    net = flow(config, strength=0.5).requires_grad_(True)
    x = samples(config, 16).requires_grad_(True)
    named = dict(net.named_parameters())
    slopes = torch.autograd.grad(net.log_density(x).sum(), [x, *named.values()])
    assert all(slope.isfinite().all() for slope in slopes)
    assert [name for name, slope in zip(named, slopes[1:], strict=True) if not slope.any()] == []
    assert (slopes[0] != 0).flatten(1).all()


@pytest.mark.parametrize("config", FLOWS.values(), ids=FLOWS)
def test_a_fresh_flow_whose_norms_are_set_has_latents_of_mean_zero_and_variance_one(config: RealNVPConfig | MAFConfig) -> None:
    net = flow(config, strength=0.0)
    x = samples(config, 64, seed=1)
    z = net.encode(x)
    axes = (0, 2, 3) if isinstance(config, RealNVPConfig) and z.ndim == 4 else (0,)
    torch.testing.assert_close(z.mean(axes), torch.zeros_like(z.mean(axes)), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.var(axes, correction=0), torch.ones_like(z.mean(axes)), atol=1e-2, rtol=0)


def test_couplings_take_turns_and_so_do_orders() -> None:
    """Every latent depends on another pixel than its own, and two autoregressive layers are not triangular in any order."""
    for config in (replace(IMAGES, shape=(1, 4, 4), scales=1), replace(MAF_POINTS, layers=2)):
        net = flow(config, torch.float64)  # type: ignore[arg-type]  # of either family
        x = samples(config, 1).double()  # type: ignore[arg-type]
        jacobian = torch.func.jacrev(lambda row, net=net: net(row)[0])(x).view(x.numel(), x.numel())
        assert ((jacobian - jacobian.diag().diag()).abs().amax(1) > 1e-6).all()
    assert jacobian.tril(-1).abs().max() > 1e-4 < jacobian.triu(1).abs().max()


def test_a_block_adds_to_the_identity() -> None:
    block = Block(None, 4).double()
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    first, second = block.first, block.second
    expected = x + (x.relu() @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias  # type: ignore[operator, union-attr]  # linear ones
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize(
    ("normed", "plain", "arguments", "shape"),
    [(NormedLinear, nn.Linear, (3, 4), (5, 3)), (NormedConv2d, nn.Conv2d, (3, 4, 3), (5, 3, 6, 6))],
)
def test_weight_norm_is_torchs_own_in_values_names_and_order(
    normed: type[nn.Module], plain: type[nn.Module], arguments: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    mine = normed(*arguments)
    torchs = weight_norm(plain(*arguments))
    assert list(mine.state_dict()) == list(torchs.state_dict())
    assert [name for name, _ in mine.named_parameters()] == [name for name, _ in torchs.named_parameters()]
    weight = mine.get_submodule("parametrizations.weight")
    torch.testing.assert_close(weight(), weight.original1)  # a layer begins with the weights that its class draws
    mine.load_state_dict({name: 2 * value + 1 for name, value in torchs.state_dict().items()})
    torchs.load_state_dict(mine.state_dict())
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mine(x), torchs(x))


def test_an_autoregressive_layer_scales_by_no_more_than_its_bound() -> None:
    """For every alpha of its net the slope is at most e^3 in each dimension, and the inverse still recovers x."""
    layer = Autoregressive(MADE(3, hidden=1, width=9)).double()
    for parameter in layer.parameters():
        parameter.data.fill_(2.0)
    x = torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.2]]).double()
    y, volume = layer(x)
    assert -9 <= volume.min() < -5
    torch.testing.assert_close(layer.inverse(y), x)


def test_masks_longhand() -> None:
    x = torch.zeros(1, 4, 3, 4)
    even = [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    assert checkerboard(x, 0).tolist() == even
    assert checkerboard(x, 1).tolist() == [[1 - b for b in row] for row in even]
    assert halves(x, 0).flatten().tolist() == [1, 1, 0, 0]
    assert halves(x, 1).flatten().tolist() == [0, 0, 1, 1]
    assert stripes(torch.zeros(1, 5), 0).tolist() == [1, 0, 1, 0, 1]
    assert stripes(torch.zeros(1, 5), 1).tolist() == [0, 1, 0, 1, 0]


def test_a_coupling_longhand() -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([x + 1, x.flip(1) - 2], dim=1)

    coupling = AffineCoupling(4, stripes, 0, Net())
    coupling.scale.data = torch.tensor([9.0, 0.5, 9.0, 2.0])
    y, volume = coupling(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    # The net's input is (1, 0, 3, 0): before the scale s = tanh(2, 1, 4, 1) and t = (-2, 1, -2, -1), used in the second and fourth place.
    s = [0.5 * math.tanh(1), 2 * math.tanh(1)]
    assert y[0].tolist() == pytest.approx([1, 2 * math.exp(s[0]) + 1, 3, 4 * math.exp(s[1]) - 1])
    assert volume.item() == pytest.approx(sum(s))


@pytest.mark.parametrize("mask", [checkerboard, halves])
def test_a_coupling_keeps_what_its_mask_keeps_and_changes_the_rest_by_that_alone(mask: Mask) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ResNet(2, 4, width=4, blocks=1, kernel=3)
        for parameter in net.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    coupling = AffineCoupling(2, mask, 0, net)
    x = samples(replace(IMAGES, scales=1, shape=(2, 4, 4)), 1)
    kept = mask(x, 0).expand(2, 4, 4).flatten().bool()
    slopes = torch.func.jacrev(lambda x: coupling(x)[0])(x).reshape(32, 32)
    assert torch.equal(slopes[kept], torch.eye(32)[kept])
    own = slopes[~kept][:, ~kept]
    assert torch.equal(own, own.diagonal().diag())
    assert slopes[~kept][:, kept].any()


def test_squeezing_puts_squares_of_pixels_into_channels_and_half_of_them_are_done() -> None:
    seen = []

    class Twice(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(x)
            return 2 * x, x.new_full((len(x),), x[0].numel() * math.log(2))

        def inverse(self, y: Tensor) -> Tensor:
            return y / 2

    x = torch.arange(16.0).view(1, 1, 4, 4)
    squeezed = Squeezed(OnHalf(Twice()))  # type: ignore[arg-type]
    y, volume = squeezed(x)
    assert seen[0].tolist() == [[[[0, 2], [8, 10]], [[1, 3], [9, 11]]]]
    assert y.flatten().tolist() == [0, 2, 4, 6, 4, 5, 6, 7, 16, 18, 20, 22, 12, 13, 14, 15]
    assert volume.item() == pytest.approx(8 * math.log(2))
    assert torch.equal(squeezed.inverse(y), x)


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_each_scale_has_the_papers_couplings(scales: int) -> None:
    net = RealNVP(replace(IMAGES, scales=scales, couplings=3))
    masks = [module.mask.__name__ for module in net.modules() if isinstance(module, AffineCoupling)]  # type: ignore[attr-defined]
    assert masks == [*["checkerboard"] * 3, *["halves"] * 3] * (scales - 1) + ["checkerboard"] * 4
    widths = {module.leave.in_channels for module in net.modules() if isinstance(module, ResNet)}
    assert widths == {4 * 2**scale for scale in range(scales)}


def test_what_comes_out_at_the_first_scale_stays_as_it_is() -> None:
    net = flow(replace(IMAGES, scales=2), torch.float64)
    squeezed = next(module for module in net.modules() if isinstance(module, Squeezed))
    rest = next(module for module in net.modules() if isinstance(module, OnHalf))
    h = torch.randn(1, 8, 4, 4, dtype=torch.float64)
    assert torch.equal(rest(h)[0][:, 4:], h[:, 4:])
    assert not torch.equal(rest(h)[0][:, :4], h[:, :4])
    assert isinstance(squeezed.inner, nn.Module)


@pytest.mark.parametrize("dimension", [1, 2, 5])
@pytest.mark.parametrize("hidden", [1, 2])
def test_a_made_sees_what_comes_before_and_all_of_it(dimension: int, hidden: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MADE(dimension, hidden=hidden, width=12).double()
        for parameter in net.parameters():
            parameter.data = torch.rand_like(parameter)  # positive, so that no path is closed by a rectifier or cancels another
    slopes = torch.func.jacrev(net)(torch.ones(1, dimension, dtype=torch.float64)).reshape(2, dimension, dimension)
    before = torch.ones(dimension, dimension).tril(-1).bool()
    for output in slopes:
        assert torch.equal(output != 0, before)


def test_masks_of_a_made_longhand() -> None:
    first, second, last = (layer.mask().int().tolist() for layer in MADE(3, hidden=2, width=3).layers)  # type: ignore[operator]
    assert first == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
    assert second == [[1, 0, 1], [1, 1, 1], [1, 0, 1]]
    assert last == [[0, 0, 0], [1, 0, 1], [1, 1, 1]] * 2


def test_orders_are_reversed_or_drawn_from_the_layers_number_alone() -> None:
    def order(order: str, layer: int) -> list[int]:
        return Permuted(RunningNorm(8), 8, order=order, layer=layer).order

    assert order("reverse", 1) == order("reverse", 2) == [7, 6, 5, 4, 3, 2, 1, 0]
    assert order("random", 1) == order("random", 1) != order("random", 2)
    assert sorted(order("random", 1)) == list(range(8))


def test_a_running_norm_longhand() -> None:
    norm = RunningNorm(2)
    x = samples(replace(IMAGES, scales=1, shape=(2, 4, 4)), 5)
    norm.mean.copy_(torch.tensor([0.5, -1.0]))
    norm.variance.copy_(torch.tensor([2.0, 0.25]))
    y, volume = norm.train()(x)
    for c, (mean, variance) in enumerate(((0.5, 2.0), (-1.0, 0.25))):
        values = x[:, c].flatten().tolist()
        own = sum(values) / 80
        mean = 0.9 * mean + 0.1 * own
        variance = 0.9 * variance + 0.1 * sum((value - own) ** 2 for value in values) / 80
        assert (norm.mean[c].item(), norm.variance[c].item()) == pytest.approx((mean, variance))
        torch.testing.assert_close(y[:, c], (x[:, c] - mean) / math.sqrt(variance + 1e-5))
    torch.testing.assert_close(volume, (-16 / 2 * (norm.variance + 1e-5).log().sum()).expand(5))


def test_gradients_of_a_running_norm_flow_through_the_batch_of_the_step_alone() -> None:
    norm = RunningNorm(1).train()
    x = torch.tensor([[1.0], [3.0]], dtype=torch.float64, requires_grad=True)
    norm = norm.double()
    y, _ = norm(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    # y_i = (x_i - m) v^(-1/2) with m = 0.1 * 2 and v = 0.9 + 0.1 * 1 + eps; dm/dx_i = 0.05, dv/dx_i = 0.1 (x_i - 2).
    v = 1 + 1e-5
    expected = [0.9 * v**-0.5 - 0.5 * 3.6 * 0.1 * (value - 2) * v**-1.5 for value in (1.0, 3.0)]
    assert slope.flatten().tolist() == pytest.approx(expected)
    norm(x)[0].sum().backward()  # a second step needs no graph of the first


@every_flow
def test_loading_initialises_nothing(config: RealNVPConfig | MAFConfig) -> None:
    net = flow(config)
    x = samples(config)
    with torch.device("meta"):
        loaded = RealNVP(config) if isinstance(config, RealNVPConfig) else MAF(config)
    loaded.load_state_dict(net.state_dict(), strict=True, assign=True)
    before = {name: value.clone() for name, value in loaded.state_dict().items()}
    expected = net.log_prob(x).value
    # Not in train mode either, where an act norm could take the first batch for its initialisation.
    if config.norm == "act":
        assert torch.equal(loaded.train().log_prob(x).value, expected)
    assert torch.equal(loaded.eval().log_prob(x).value, expected)
    assert all(torch.equal(value, before[name]) for name, value in loaded.state_dict().items())


@every_flow
def test_every_norm_is_set_by_what_comes_to_it(config: RealNVPConfig | MAFConfig) -> None:
    net = flow(config)
    x = samples(config, 64, seed=1)
    outputs: list[Tensor] = []
    norms = [module for module in net.modules() if isinstance(module, Norm)]
    for norm in norms:
        norm.register_forward_hook(lambda module, given, out: outputs.append(out[0]))
    net(x)
    assert len(outputs) == len(norms) > 1
    for y in outputs:
        torch.testing.assert_close(y.mean([0, *range(2, y.ndim)]), torch.zeros(y.shape[1]), atol=1e-3, rtol=0)


def test_a_mask_is_no_part_of_the_weights() -> None:
    assert not [name for name in MAF(MAF_POINTS).state_dict() if "mask" in name or "order" in name]
    assert isinstance(MADE(3, hidden=1, width=3).layers[0], MaskedLinear)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_survive_the_codec(recipe: Recipe) -> None:
    assert decode(Recipe, encode(recipe)) == recipe


def test_the_recipe_for_digits_fits_eight_megabytes() -> None:
    assert isinstance(MNIST.model, RealNVPConfig)
    with torch.device("meta"):
        net = RealNVP(MNIST.model)
    assert sum(parameter.numel() * 4 for parameter in net.parameters()) <= 8_000_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 10**9}, "model.width"),
        ({"width": True}, "model.width"),
        ({"alpha": 0.5}, "model.alpha"),
        ({"alpha": float("nan")}, "model.alpha"),
        ({"norm": "layer"}, "model.norm"),
        ({"shape": [1]}, "two dimensions"),
        ({"shape": [4, 4]}, "channels, height, width"),
        ({"shape": [1, 30, 30], "scales": 3}, "halve 2 times"),
        ({"shape": [1, 4, 4], "scales": 3}, "sides of 8 or more"),
        ({"layers": 3}, "layers"),
        ({"name": "maf", "order": "shuffled"}, "model.order"),
        ({"name": "maf", "shape": [2, 2]}, "channels, height, width"),
        ({"name": "maf", "hidden": 0}, "model.hidden"),
    ],
)
def test_a_bad_config_names_the_field(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode(ModelConfig, {"name": "realnvp", **change}, "model")


def test_a_prior_is_the_rngs_own_normal() -> None:
    assert torch.equal(flow(IMAGES).prior(StepRng(0, 0, 4)), StepRng(0, 0, 4).normal(2, 8, 8))
