"""Training a Wasserstein GAN: a critic whose gap is about the distance, and a generator that closes it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoo_core.interfaces import Rng
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_wgan_gp.config import WGANGPTrainerConfig
from zoo_wgan_gp.model import WGANGP
from zoo_wgan_gp.nets import critic

__all__ = ["WGANGPTrainer", "excess", "interpolates", "slopes"]


def interpolates(real: Tensor, fake: Tensor, rng: Rng) -> Tensor:
    """A point for each row, uniform on the line between its real and its generated sample (arXiv:1704.00028, algorithm 1, line 6)."""
    share = rng.uniform(*[1] * (real.ndim - 1))
    return share * real + (1 - share) * fake


def slopes(critic: Callable[[Tensor], Tensor], x: Tensor, *, create_graph: bool) -> Tensor:
    """|grad f(x_i)|, (n,), for each row of ``x`` (n, ...): the Euclidean norm of all of the row.

    The gradient of the sum over rows is that of each row alone only if no row of ``critic`` knows of another, as batch norm does.
    """
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=create_graph)
    return gradient.flatten(1).norm(dim=1)


def excess(slope: Tensor, *, one_sided: bool) -> Tensor:
    """How far slopes are from 1, or above it: what is squared in the penalty (arXiv:1704.00028, eq. 3 and section 4)."""
    return (slope - 1).relu() if one_sided else slope - 1


class WGANGPTrainer(AdversarialTrainer):
    """max over f, min over G of E f(x) - E f(G(z)), with f kept about 1-Lipschitz by a penalty or by clipping.

    ``critic.gap`` estimates the Wasserstein distance, in the Euclidean distance of images, in units of the slope that the critic has:
    ``critic.slope``, the mean norm of its gradient between real and generated samples, is about 1 under the penalty and anything under
    clipping. ``critic.penalty`` is what the penalty adds to the critic's loss.
    """

    model: WGANGP

    def __init__(self, model: WGANGP, config: WGANGPTrainerConfig) -> None:
        judge = critic(model.config, config.width)
        super().__init__(model, config, judge, loss="wasserstein", n_critic=config.n_critic, generator_factor=config.generator_factor)
        self.settings = config

    def penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None, rng: Rng) -> tuple[Tensor | None, Mapping[str, Tensor]]:
        settings, penalised = self.settings, self.settings.constraint == "penalty"
        slope = slopes(lambda x: self.judge(x, labels), interpolates(real, fake, rng), create_graph=penalised)
        logs = {"critic.slope": slope.detach().mean()}
        if not penalised:
            return None, logs
        value = settings.penalty_weight * excess(slope, one_sided=settings.one_sided).square().mean()
        return value, {**logs, "critic.penalty": value.detach()}

    @torch.no_grad()
    def after(self, phase: str) -> None:
        if phase == "critic" and self.settings.constraint == "clipping":
            for parameter in self.critic.parameters():
                parameter.clamp_(-self.settings.clip, self.settings.clip)
