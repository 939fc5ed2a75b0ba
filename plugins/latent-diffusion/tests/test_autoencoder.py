"""The KL autoencoder: its loss against longhand equations, its schedule, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from zoo_core.datasets import FolderConfig
from zoo_core.errors import CapabilityError, ConfigError
from zoo_core.interfaces import Teacher
from zoo_core.recipes import Recipe, load_recipe
from zoo_core.rng import StepRng
from zoo_core.testing import assert_resumes, start_loop
from zoo_core.training.trainer import Batch
from zoo_latent_diffusion.autoencoder import Autoencoder
from zoo_latent_diffusion.autoencoder_trainer import AutoencoderTrainer, activations, cropped, feature_distance, kl_to_standard_normal
from zoo_latent_diffusion.config import AutoencoderConfig, AutoencoderTrainerConfig

SMALL = AutoencoderConfig(image_size=8, latent_channels=2, width=4)
CLASSIFIER = Teacher(reference="classifier-cifar10")


def batch(n: int = 4) -> Batch:
    x = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return Batch(x=x, labels=None, index=torch.arange(n))


def trainer(step: int = 0, **options: object) -> AutoencoderTrainer:
    torch.manual_seed(0)
    made = AutoencoderTrainer(Autoencoder(SMALL), AutoencoderTrainerConfig(critic_width=4, **options))  # type: ignore[arg-type]
    made.place(step, 100)
    return made


@pytest.fixture
def tiny(tmp_path: Path) -> Recipe:
    """The recipe of 64x64 cats, at 8x8, on eight plain pictures."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(8):
        Image.new("RGB", (8, 8), (30 * i, 255 - 30 * i, 60 * (i % 4))).save(photos / f"{i}.png")
    recipe = load_recipe("kl-autoencoder/afhq-cat")
    return replace(
        recipe,
        model=SMALL,
        trainer=replace(recipe.trainer, critic_from=3, critic_width=4),  # type: ignore[type-var]  # a dataclass
        fit=replace(recipe.fit, steps=6, batch_size=4, precision="no", channels_last=False),
        data=FolderConfig(path=str(photos), size=8, flip=True),
    )


def longhand(model: Autoencoder, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The reconstruction, the mean absolute error and the KL of :func:`batch`, by the definition."""
    mu, log_sigma = model.posterior(x)
    y = model.reconstruction(mu + log_sigma.exp() * StepRng(0, 0, len(x)).normal(2, 2, 2))
    ours = torch.distributions.Normal(mu, log_sigma.exp())
    kl = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum() / x.numel()
    return y, (x - y).abs().mean(), kl


def test_the_loss_is_the_absolute_error_and_the_weighted_kl() -> None:
    made = trainer(kl=0.7, critic_weight=0.0)
    loss = made("model", batch(), StepRng(0, 0, 4))
    _, l1, kl = longhand(made.model, batch().x)
    assert loss.value.item() == pytest.approx((l1 + 0.7 * kl).item(), rel=1e-5)
    assert loss.logs["kl"].item() == pytest.approx(kl.item(), rel=1e-5)


@pytest.mark.parametrize(("step", "weight"), [(4, 0.0), (5, 0.3)])
def test_the_critic_counts_from_its_step_on(step: int, weight: float) -> None:
    made = trainer(step, kl=0.0, critic_weight=0.3, critic_from=5)
    y, l1, _ = longhand(made.model, batch().x)
    assert made.critic is not None
    wanted = l1 - weight * made.critic(y).mean()
    assert made("model", batch(), StepRng(0, 0, 4)).value.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert made.phases(step) == (("model", "critic") if weight else ("model",))
    assert made.phases(0) == ("model", "critic")


def test_the_critic_minimises_the_hinge_loss_of_every_patch() -> None:
    made = trainer(5, critic_from=5)
    assert made.critic is not None
    y, _, _ = longhand(made.model, batch().x)
    wanted = (1 - made.critic(batch().x)).clamp(min=0).mean() + (1 + made.critic(y)).clamp(min=0).mean()
    assert made("critic", batch(), StepRng(0, 0, 4)).value.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_first_step_leaves_the_critic_as_it_is(tiny: Recipe) -> None:
    loop = start_loop(tiny)
    critic = loop.trainer.critic
    assert isinstance(critic, nn.Module)
    before = [value.clone() for value in critic.parameters()]
    for _ in range(3):
        loop.advance()
        assert all(map(torch.equal, before, critic.parameters()))
    loop.advance()
    assert not all(map(torch.equal, before, critic.parameters()))


def test_the_kl_is_that_of_torch() -> None:
    mu, log_sigma = torch.randn(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = torch.distributions.kl_divergence(torch.distributions.Normal(mu, log_sigma.exp()), torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(kl_to_standard_normal(mu, log_sigma), wanted.double())


def test_the_feature_distance_ignores_the_scale_of_activations_and_knows_their_direction() -> None:
    a = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0))
    b = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    cosine = nn.functional.cosine_similarity(a, b, dim=1)
    assert feature_distance([a], [7 * a]).item() == pytest.approx(0, abs=1e-6)
    assert feature_distance([a, a], [b, a]).item() == pytest.approx((2 - 2 * cosine).mean().item() / 2, rel=1e-5)


def test_activations_are_those_of_the_named_layers() -> None:
    made = trainer(features=CLASSIFIER, layers=("body.1", "body.4"))
    net, x = made.frozen["features"], torch.rand(1, 3, 32, 32)
    body = net.get_submodule("body")
    assert isinstance(body, nn.Sequential)
    first, second = activations(net, x, ("body.1", "body.4"))
    assert torch.equal(first, body[:2](x))
    assert torch.equal(second, body[:5](x))
    (features,) = activations(net, x, ())
    assert torch.equal(features, net.features(x))  # type: ignore[operator]  # the capability
    assert not any(module._forward_hooks for module in net.modules())


def test_a_square_is_cut_at_each_rows_own_corner() -> None:
    x = torch.arange(2 * 3 * 6 * 6.0).view(2, 3, 6, 6)
    squares = cropped(x, torch.tensor([[0, 2], [3, 1]]), 3)
    assert torch.equal(squares[0], x[0, :, 0:3, 2:5])
    assert torch.equal(squares[1], x[1, :, 3:6, 1:4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": CLASSIFIER, "layers": ("body.99",)}, "no submodule 'body.99'"),
        ({"features": CLASSIFIER, "layers": ("head",)}, "do not depend on 'head'"),
        ({"features": Teacher(reference="classifier-mnist")}, r"made for samples \[1, 28, 28\]"),
        ({"layers": ("body.1",)}, "name a checkpoint"),
    ],
)
def test_features_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        trainer(**options)("model", batch(), StepRng(0, 0, 4))
    assert error.match(message) or message in error.value.hint


def test_a_teacher_without_features_is_refused() -> None:
    with pytest.raises(CapabilityError, match="has no features"):
        trainer(features=Teacher(reference="realnvp-moons"))


def test_the_decoded_mean_is_clamped_and_the_training_output_is_not() -> None:
    model = Autoencoder(SMALL)
    z = 100 * torch.randn(4, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    raw = model.reconstruction(z)
    assert raw.abs().amax() > 1
    assert torch.equal(model.decode(z), raw.clamp(-1, 1))


def test_a_resumed_run_ends_as_a_whole_one(tiny: Recipe, tmp_path: Path) -> None:
    state = assert_resumes(tiny, tmp_path / "runs", after=4)
    assert any(name.startswith("trainer/critic") for name in state)
    assert not any("features" in name for name in state)


def test_it_learns_to_reconstruct(tiny: Recipe) -> None:
    recipe = replace(tiny, model=replace(tiny.model, width=16), trainer=AutoencoderTrainerConfig(critic_weight=0.0))  # type: ignore[type-var]
    loop = start_loop(replace(recipe, fit=replace(recipe.fit, steps=150)))
    losses = []
    for _ in range(150):
        loop.advance()
        losses.append(loop.logs()["l1"])
    assert sum(losses[-10:]) < 0.6 * sum(losses[:10])
