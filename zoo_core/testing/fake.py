"""The fake families: small enough to check by hand; together they have every capability.

``fake`` is an affine flow whose log-probability has a closed form, trained in two phases; ``fake-denoiser`` is the exact denoiser of a
Gaussian, trained in one; ``fake-latent`` decodes what such a denoiser draws, ``fake-conditional`` is given noisy samples, and
``fake-filler`` parts of samples.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_core.data.dataset import Data
from zoo_core.interfaces import Denoiser, DiscreteScheduler, Event, LogProb, Rng
from zoo_core.rng import Stream, generator
from zoo_core.samplers.wrappers import DenoiserWrapper
from zoo_core.testing.fake_config import (
    FakeConditionalConfig,
    FakeConfig,
    FakeDataConfig,
    FakeDenoiserConfig,
    FakeDenoiserTrainerConfig,
    FakeFillerConfig,
    FakeLatentConfig,
    FakeStudentConfig,
    FakeTrainerConfig,
)
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_core.training.teachers import load_teacher
from zoo_core.training.trainer import Batch, Loss, Trainer

__all__ = [
    "Fake",
    "FakeConditional",
    "FakeDenoiser",
    "FakeDenoiserTrainer",
    "FakeFiller",
    "FakeLatent",
    "FakeStudent",
    "FakeTrainer",
    "fake_data",
]


def _event(shape: tuple[int, ...], bounded: bool) -> Event:
    return Event(shape=shape, range=(-1.0, 1.0) if bounded else None)


class Fake(nn.Module):
    """The flow x = shift + mean_y + exp(s) * z, followed by a tanh if the config is ``bounded``.

    log p(x | y) = sum log N(z; 0, 1) - sum s - sum log(1 - x^2), the last term for a bounded flow alone. Without a label, mean_y is 0.

    >>> model = Fake(FakeConfig(classes=0))
    >>> z = torch.tensor([[1.0, -2.0]])
    >>> torch.allclose(model.encode(model.decode(z)), z)
    True
    """

    def __init__(self, config: FakeConfig) -> None:
        super().__init__()
        self.event = _event(config.shape, config.bounded)
        self.shift = nn.Parameter(torch.zeros(config.shape))
        self.log_scale = nn.Parameter(torch.full(config.shape, math.log(0.5)))
        if config.classes:
            self.num_classes = config.classes
            self.means = nn.Parameter(0.1 * torch.randn(config.classes, *config.shape))

    def _mean(self, labels: Tensor | None) -> Tensor:
        return self.shift if labels is None else self.shift + self.means[labels]

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(*self.event.shape)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        x = self._mean(labels) + self.log_scale.exp() * z
        return x.tanh() if self.event.range else x

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.event.range:
            x = x.clamp(-1 + 1e-6, 1 - 1e-6).atanh()
        return (x - self._mean(labels)) * (-self.log_scale).exp()

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        z = self.encode(x, labels)
        log_density = -0.5 * (z**2 + math.log(2 * math.pi)) - self.log_scale
        if self.event.range:
            log_density = log_density - torch.log1p(-(x.clamp(-1 + 1e-6, 1 - 1e-6) ** 2))
        return LogProb(value=log_density.flatten(1).sum(dim=1), kind="exact")


class FakeTrainer(AdversarialTrainer):
    """The non-saturating GAN loss on the fake flow, with the gradient penalty of Gulrajani et al. 2017 (arXiv:1704.00028, eq. 3).

    >>> FakeTrainer(Fake(FakeConfig()), FakeTrainerConfig(every=2)).phases(1)
    ('critic',)
    """

    model: Fake
    config: FakeTrainerConfig

    def __init__(self, model: Fake, config: FakeTrainerConfig) -> None:
        inputs = math.prod(model.event.shape) + getattr(model, "num_classes", 0)
        norm = [nn.BatchNorm1d(config.width)] if config.batch_norm else []
        critic = nn.Sequential(nn.Linear(inputs, config.width), *norm, nn.LeakyReLU(0.2), nn.Linear(config.width, 1))
        super().__init__(model, config, critic, loss="non-saturating", n_critic=config.every)

    def judge(self, x: Tensor, labels: Tensor | None) -> Tensor:
        x = x.flatten(1)
        if labels is not None:
            x = torch.cat([x, F.one_hot(labels, self.num_classes).to(x)], dim=1)
        outputs: Tensor = self.critic(x)
        return outputs[:, 0]

    def penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None, rng: Rng) -> tuple[Tensor | None, dict[str, Tensor]]:
        if not self.config.penalty:
            return None, {}
        mix = rng.uniform().view(-1, *[1] * (real.ndim - 1))
        x = (mix * real + (1 - mix) * fake).requires_grad_(True)
        (slope,) = torch.autograd.grad(self.judge(x, labels).sum(), x, create_graph=True)
        return self.config.penalty * ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean(), {}


class FakeDenoiser(nn.Module):
    """The denoiser D(x, sigma) = (s^2 x + sigma^2 m) / (s^2 + sigma^2), which is E[x_0 | x_sigma = x] for x_0 ~ N(m, s^2).

    With a label, m is the mean of its class.

    >>> model = FakeDenoiser(FakeDenoiserConfig(std=1.0))
    >>> model.denoise(torch.tensor([[2.0, 0.0]]), torch.tensor([1.0])).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, config: FakeDenoiserConfig) -> None:
        super().__init__()
        self.event = _event(config.shape, config.bounded)
        self.scheduler: DiscreteScheduler = config.scheduler
        levels = config.scheduler.levels
        self.sigma_range = (levels[0], levels[-1])
        self.mean = nn.Parameter(torch.full(config.shape, config.mean))
        self.log_std = nn.Parameter(torch.full(config.shape, math.log(config.std)))
        if config.classes:
            self.num_classes = config.classes
            self.means = nn.Parameter(0.1 * torch.randn(config.classes, *config.shape))

    def start(self, rng: Rng, sigma: float) -> Tensor:
        return rng.normal(*self.event.shape) * math.sqrt(1 + sigma**2)

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        mean = self.mean if labels is None else self.mean + self.means[labels]
        level = sigma.double().view(-1, *[1] * len(self.event.shape)) ** 2
        variance = (2 * self.log_std.double()).exp()
        return ((variance * x + level * mean) / (variance + level)).to(x.dtype)


class FakeFiller(nn.Module):
    """Fills the unknown values of a sample with the mean of the known ones, and noise.

    >>> from zoo_core.rng import ImageRng
    >>> x, known = torch.tensor([[3.0, 0.0]]), torch.tensor([[True, False]])
    >>> FakeFiller(FakeFillerConfig(noise=0.0)).fill(x, known, ImageRng(0, [0])).tolist()
    [[3.0, 3.0]]
    """

    def __init__(self, config: FakeFillerConfig) -> None:
        super().__init__()
        self.event = _event(config.shape, config.bounded)
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.noise = config.noise

    def fill(self, x: Tensor, mask: Tensor, rng: Rng) -> Tensor:
        known = mask.flatten(1).sum(1).clamp(min=1)
        mean = ((x * mask).flatten(1).sum(1) / known).view(-1, *[1] * (x.ndim - 1))
        return self.scale * mean + self.noise * rng.normal(*self.event.shape).to(x)


class FakeLatent(nn.Module):
    """Images (3, 8, 8) that repeat each value of a latent (3, 4, 4) in 2x2 pixels; the latents have the denoiser of a Gaussian.

    >>> model = FakeLatent(FakeLatentConfig())
    >>> z = torch.rand(2, 3, 4, 4)
    >>> torch.allclose(model.encode(model.decode(z)), z)
    True
    """

    def __init__(self, config: FakeLatentConfig) -> None:
        super().__init__()
        self.event = _event((3, 8, 8), bounded=True)
        self.latent = FakeDenoiser(FakeDenoiserConfig(shape=(3, 4, 4), classes=config.classes, std=config.std))
        if config.classes:
            self.num_classes = config.classes

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return F.interpolate(z, scale_factor=2.0).clamp(-1, 1)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return F.avg_pool2d(x, 2)


class FakeConditional(FakeDenoiser):
    """The denoiser of x_0 ~ N(m, s^2), whose condition is c = x_0 + tau n with standard normal n.

    D(x, sigma, c) = (m / s^2 + c / tau^2 + x / sigma^2) / (1 / s^2 + 1 / tau^2 + 1 / sigma^2), so that samples given c are those of a
    Gaussian of the variance 1 / (1 / s^2 + 1 / tau^2).

    >>> model = FakeConditional(FakeConditionalConfig(std=1.0, tau=1.0))
    >>> model.conditioned(torch.tensor([[3.0, 0.0]]), rng=None).denoise(torch.zeros(1, 2), torch.tensor([1.0])).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, config: FakeConditionalConfig) -> None:
        super().__init__(FakeDenoiserConfig(shape=config.shape, classes=config.classes, bounded=config.bounded, std=config.std))
        self.condition_event = self.event
        self.tau = config.tau
        if config.examples:
            shape = (config.examples, *config.shape)
            self.register_buffer("example_conditions", torch.linspace(-1, 1, math.prod(shape)).view(shape))

    def conditioned(self, condition: Tensor, rng: Rng | None) -> Denoiser:
        return _Given(self, condition, self.tau)


class _Given(DenoiserWrapper):
    """The posterior's mean given noisy conditions: that of the observation x with the noise sigma and of c with the noise tau."""

    def __init__(self, model: Denoiser, condition: Tensor, tau: float) -> None:
        super().__init__(model)
        self.condition = condition
        self.tau = tau

    def denoise(self, x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        # Two observations of x_0 are one, at their mean weighted by precisions.
        level = sigma.double().view(-1, *[1] * len(self.event.shape)) ** 2
        precision = 1 / level + 1 / self.tau**2
        both = (x / level + self.condition / self.tau**2) / precision
        return self.model.denoise(both, precision.rsqrt().flatten(), labels).to(x.dtype)


class FakeDenoiserTrainer(Trainer):
    """Denoising score matching: the mean of (1 + sigma^2) / sigma^2 |D(x + sigma eps, sigma) - x|^2 over the trained levels.

    >>> FakeDenoiserTrainer(FakeDenoiser(FakeDenoiserConfig()), FakeDenoiserTrainerConfig()).phases(0)
    ('model',)
    """

    model: FakeDenoiser
    config: FakeDenoiserTrainerConfig

    def __init__(self, model: FakeDenoiser, config: FakeDenoiserTrainerConfig) -> None:
        super().__init__(model, config)
        self.labelled = getattr(model, "num_classes", 0) > 0

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        levels = torch.tensor(self.model.scheduler.levels, dtype=torch.float64, device=batch.x.device)
        sigma = levels[rng.integers(0, len(levels))]
        each = sigma.view(-1, *[1] * len(self.model.event.shape))
        x = batch.x + each * rng.normal(*self.model.event.shape)
        labels = batch.labels if self.labelled else None
        error = (self.model.denoise(x, sigma, labels) - batch.x) ** 2
        return Loss(value=((1 + each**2) / each**2 * error).mean().float())


class FakeStudent(Trainer):
    """The mean squared difference between the estimates of the model and of a teacher at the teacher's largest level.

    The teacher's part fades in over the run, so that the loss depends on ``steps``.

    >>> FakeStudent.uses_steps
    True
    """

    uses_steps = True

    def __init__(self, model: nn.Module, config: FakeStudentConfig) -> None:
        super().__init__(model, config)
        self.freeze("teacher", load_teacher(config.teacher, requires="denoise"))

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        teacher, student = cast(Denoiser, self.frozen["teacher"]), cast(Denoiser, self.model)
        sigma = torch.full((len(batch.x),), teacher.sigma_range[1], dtype=torch.float64, device=batch.x.device)
        x = batch.x + teacher.sigma_range[1] * rng.normal(*batch.x.shape[1:])
        with torch.no_grad():
            taught = teacher.denoise(x, sigma)
        share = self.step / self.steps
        return Loss(value=(student.denoise(x, sigma) - (share * taught + (1 - share) * batch.x)).square().mean())


def fake_data(config: FakeDataConfig) -> Data:
    """Blobs: class y of C lies at 0.8 (cos a, sin a, cos a, ...), a = 2 pi y / C, with a standard deviation of 0.1.

    The values are the pixels of images if the shape is (c, h, w).
    """
    labels = torch.arange(config.count) % config.classes
    angle = 2 * math.pi * labels.double() / config.classes
    size = math.prod(config.shape)
    even = torch.arange(size) % 2 == 0
    centre = 0.8 * torch.where(even, angle.cos()[:, None], angle.sin()[:, None])
    noise = torch.from_numpy(generator(config.seed, 0, Stream.DATA).standard_normal((config.count, size)))
    x = (centre + 0.1 * noise).float().view(config.count, *config.shape)
    if len(config.shape) == 3:
        x = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Data(x=x, labels=labels, classes=tuple(f"class {y}" for y in range(config.classes)))
