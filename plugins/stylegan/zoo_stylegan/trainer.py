"""Training a style-based generator: the non-saturating loss with lazy regularisation, style mixing, and progressive growing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from zoo_core.interfaces import Rng
from zoo_core.training.adversarial import AdversarialTrainer, r1_penalty
from zoo_core.training.augmentation import augmented
from zoo_core.training.trainer import Batch, Loss
from zoo_stylegan.config import StyleGANTrainerConfig
from zoo_stylegan.critic import Critic, seen_at
from zoo_stylegan.model import ONE, StyleGAN

__all__ = ["StyleGANTrainer", "mixed_styles", "path_lengths", "position_at"]

_MEAN_DECAY = 0.995  # of the tracked mean of w, as in the authors' code
_PATH_DECAY = 0.99  # of the mean path length; arXiv:1912.04958, appendix B


def position_at(step: int, growing: int, stages: int) -> float:
    """Number of levels above the coarsest one that take part in a step, with the share of the one that fades in.

    A level stays alone for ``growing`` steps, and the next one fades in over as many (Karras et al. 2018, arXiv:1710.10196, section 2).

    >>> [position_at(step, 10, 2) for step in (0, 10, 15, 20, 35, 99)]
    [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]
    """
    turn = 2 * growing
    return min(float(stages), step // turn + max(0.0, (step % turn - growing) / growing))


def mixed_styles(model: StyleGAN, rng: Rng, w: Tensor, probability: float) -> Tensor:
    """Styles (n, config.styles, style): ``w`` (n, style) everywhere, or in some rows those of another z from a random place on.

    Karras et al. 2019, arXiv:1812.04948, section 3.1. The place is uniform among those that leave both latents some styles.

    Args:
        model: generator.
        rng: random numbers, a row for each of ``w``.
        w: styles of the first latents.
        probability: that of a row to be mixed.
    """
    count = model.config.styles
    other = model.styles(rng.normal(model.config.latent))
    cut = rng.integers(1, count)
    cut = torch.where(rng.uniform() < probability, cut, count)
    first = torch.arange(count, device=w.device) < cut[:, None]
    return torch.where(first[:, :, None], w[:, None], other[:, None])


def path_lengths(model: StyleGAN, w: Tensor, z: Tensor, noise: Tensor) -> Tensor:
    """|J^T y| of each row, (n,), with its graph: J is the Jacobian of the image by the styles, y an image of noise.

    Karras et al. 2020, arXiv:1912.04958, section 3.2 and appendix B: y is standard normal, divided by the square root of the number of
    pixels; the square of the length is a mean over the places at which w enters.

    Args:
        model: generator.
        w: styles (n, config.styles, style), which require a gradient.
        z: rows whose noise maps are used.
        noise: standard normal (n, *shape).
    """
    x = model.synthesise(w, z)
    y = noise / (x.shape[2] * x.shape[3]) ** 0.5
    (slope,) = torch.autograd.grad((x * y).sum(), w, create_graph=True)
    return slope.square().sum(dim=2).mean(dim=1).sqrt()


class StyleGANTrainer(AdversarialTrainer):
    """-log D of generated images against -log D(x) - log(1 - D(G(z))), with lazy regularisation (arXiv:1912.04958, section 3.1).

    Every ``r1_every``-th step adds ``r1_every`` times gamma/2 |grad D(x)|^2 at real images to the critic's loss, and logs the mean of
    |grad D(x)|^2 as ``critic.r1``. Every ``path_every``-th step adds ``path_every`` times weight (|J^T y| - a)^2 to the generator's, with
    the moving average a of |J^T y|, and logs its mean as ``generator.path``.

    While levels fade in, the log ``level`` counts those above the coarsest one that take part.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_stylegan.config import StyleGANConfig
        >>> model = StyleGAN(StyleGANConfig(shape=(1, 7, 7), latent=4, style=4, width=4, stages=1))
        >>> batch = Batch(x=torch.zeros(4, 1, 7, 7), labels=None, index=torch.arange(4))
        >>> sorted(StyleGANTrainer(model, StyleGANTrainerConfig(width=4))("critic", batch, StepRng(0, 0, 4)).logs)
        ['critic.fake', 'critic.gap', 'critic.r1', 'critic.real']
    """

    average_buffers: ClassVar[bool] = True  # the mean of w is that of the averaged mapping network

    model: StyleGAN
    path_mean: Tensor

    def __init__(self, model: StyleGAN, config: StyleGANTrainerConfig) -> None:
        super().__init__(model, config, Critic(model.config, config), loss="non-saturating")
        self.settings = config
        self.register_buffer("path_mean", torch.zeros(()))

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        if self.settings.growing:
            position = position_at(step, self.settings.growing, self.model.config.stages)
            self.model.grown.fill_(round(position * ONE))

    def draw(self, rng: Rng, labels: Tensor | None) -> Tensor:
        """Images that are not clamped, of mixed styles; the mean of w follows."""
        z = self.model.prior(rng)
        w = self.model.styles(z)
        if self.training:
            self._track(w.detach())
        return self.model.synthesise(mixed_styles(self.model, rng, w, self.settings.mixing), z)

    @torch.no_grad()
    def _track(self, w: Tensor) -> None:
        self.model.w_mean.lerp_(w.mean(dim=0), 1 - _MEAN_DECAY)

    def shown(self, x: Tensor, rng: Rng) -> Tensor:
        return augmented(x, self.settings.augment, rng)

    def judge(self, x: Tensor, labels: Tensor | None) -> Tensor:
        outputs: Tensor = self.critic(x, self.model.position)
        return outputs

    def penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None, rng: Rng) -> tuple[Tensor | None, Mapping[str, Tensor]]:
        settings = self.settings
        if not settings.r1 or self.step % settings.r1_every:
            return None, {}
        x = real.detach().requires_grad_(True)
        squared = r1_penalty(x, self.judge(x, labels))
        return settings.r1 / 2 * settings.r1_every * squared, {"critic.r1": squared.detach()}

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        config, settings = self.model.config, self.settings
        if settings.growing:
            batch = replace(batch, x=seen_at(batch.x, self.model.position, config.sides, config.taps))
        loss = super().forward(phase, batch, rng)
        if settings.growing and phase == "critic":
            loss = replace(loss, logs={**loss.logs, "level": torch.tensor(self.model.position)})
        if phase == "generator" and settings.path_length and self.step % settings.path_every == 0:
            loss = self._with_path_penalty(loss, rng)
        return loss

    def _with_path_penalty(self, loss: Loss, rng: Rng) -> Loss:
        z = self.model.prior(rng)
        w = mixed_styles(self.model, rng, self.model.styles(z), self.settings.mixing)
        lengths = path_lengths(self.model, w, z, rng.normal(*self.model.event.shape))
        mean = self.path_mean.lerp(lengths.detach().mean(), 1 - _PATH_DECAY)
        if self.training:
            self.path_mean.copy_(mean)
        penalty = self.settings.path_length * self.settings.path_every * (lengths - mean).square().mean()
        return Loss(value=loss.value + penalty, logs={**loss.logs, "generator.path": lengths.detach().mean()})
