"""Training of super-resolution: denoising given a noisy image of lower resolution."""

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_super_resolution.config import SuperResolutionTrainerConfig
from zoo_super_resolution.model import WITHOUT, SuperResolution, enlarged, reduced

__all__ = ["SuperResolutionTrainer"]


class SuperResolutionTrainer(Trainer):
    """The mean of |F - F*|^2, where F* is the output for which D is x_0 (Karras et al. 2022, arXiv:2206.00364, eq. 8).

    The condition of an image is its own version of lower resolution with noise of a random level (conditioning augmentation, Ho et al.
    2022, arXiv:2106.15282, section 4.1).

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_super_resolution.config import SuperResolutionConfig
        >>> model = SuperResolution(SuperResolutionConfig(image_size=16, dim=8))
        >>> batch = Batch(x=torch.zeros(2, 3, 16, 16), labels=None, index=torch.arange(2))
        >>> SuperResolutionTrainer(model, SuperResolutionTrainerConfig())("model", batch, StepRng(0, 0, 2)).value.shape
        torch.Size([])
    """

    model: SuperResolution
    config: SuperResolutionTrainerConfig

    def prepare(self, batch: Batch, rng: Rng) -> None:
        small = reduced(batch.x, self.model.config.factor)
        self.model.residual_std.copy_((batch.x - enlarged(small, self.model.config.factor)).square().mean().sqrt().clamp(min=1e-3))
        examples = self.model.example_conditions
        examples.copy_(small[[row % len(small) for row in range(len(examples))]])

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        x = batch.x
        tau = self.config.condition_noise * rng.uniform()
        small = reduced(x, self.model.config.factor)
        small = small + tau.view(-1, 1, 1, 1) * rng.normal(*small.shape[1:])
        tau = torch.where(rng.uniform() < self.config.p_uncond, -1.0, tau)
        withheld = tau.view(-1, 1, 1, 1) < 0
        u = torch.where(withheld, 0.0, enlarged(small, self.model.config.factor))
        sigma = self._levels(tau, rng)
        c_skip, c_out, c_in = (c.view(-1, 1, 1, 1).to(x) for c in self.model.scalings(sigma, tau))
        r = x - u + sigma.view(-1, 1, 1, 1).to(x) * rng.normal(*x.shape[1:])
        target = (x - u - c_skip * r) / c_out
        out = self.model.output(c_in * r, u, tau, sigma).float()
        return Loss(value=(out - target).square().mean())

    def compilable(self) -> tuple[nn.Module, ...]:
        return (self.model.net,)

    def _levels(self, tau: Tensor, rng: Rng) -> Tensor:
        """Noise levels (n,), log-normal around the standard deviation of what is estimated, within the range of the model."""
        std = torch.where(tau < 0, WITHOUT, self.model.residual_std).to(level_dtype(tau.device))
        z = rng.normal().to(std)
        sigma = std * (self.config.log_sigma_mean + self.config.log_sigma_std * z).exp()
        return sigma.clamp(*self.model.sigma_range)
