"""Training a Wasserstein GAN: the critic's gap estimates the distance, and the generator reduces it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoo_core.interfaces import Rng
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_wgan_gp.config import WGANGPTrainerConfig
from zoo_wgan_gp.model import WGANGP
from zoo_wgan_gp.nets import critic

__all__ = ["WGANGPTrainer", "gradient_norms", "interpolate", "slope_excess"]


def interpolate(real: Tensor, fake: Tensor, rng: Rng) -> Tensor:
    """A point for each row, uniform on the segment from its generated to its real sample (arXiv:1704.00028, algorithm 1, line 6)."""
    share = rng.uniform(*[1] * (real.ndim - 1))
    return share * real + (1 - share) * fake


def gradient_norms(critic: Callable[[Tensor], Tensor], x: Tensor, *, create_graph: bool) -> Tensor:
    """|grad f(x_i)|, (n,), for each row of ``x`` (n, ...): the Euclidean norm over the whole row.

    It is right only if the outputs of ``critic`` depend on their own rows alone; batch norm would mix the rows.
    """
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(x).sum(), x, create_graph=create_graph)
    return gradient.flatten(1).norm(dim=1)


def slope_excess(slope: Tensor, *, one_sided: bool) -> Tensor:
    """slope - 1, or max(slope - 1, 0) if one-sided; the penalty squares it (arXiv:1704.00028, eq. 3 and section 4)."""
    return (slope - 1).relu() if one_sided else slope - 1


class WGANGPTrainer(AdversarialTrainer):
    """max over f, min over G of E f(x) - E f(G(z)), with f constrained to be about 1-Lipschitz by a penalty or by clipping.

    ``critic.gap`` estimates the Wasserstein distance, for the Euclidean distance of images, times the slope of the critic. That is
    ``critic.slope``, the mean norm of its gradient between real and generated samples: about 1 under the penalty, arbitrary under clipping.
    ``critic.penalty`` is the penalty's part of the critic's loss.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_core.training.trainer import Batch
        >>> from zoo_wgan_gp.config import WGANGPConfig
        >>> model = WGANGP(WGANGPConfig(shape=(1, 8, 8), latent=4, width=4, stages=2))
        >>> batch = Batch(x=torch.zeros(2, 1, 8, 8), labels=None, index=torch.arange(2))
        >>> sorted(WGANGPTrainer(model, WGANGPTrainerConfig(width=4))("critic", batch, StepRng(0, 0, 2)).logs)
        ['critic.fake', 'critic.gap', 'critic.penalty', 'critic.real', 'critic.slope']
    """

    model: WGANGP

    def __init__(self, model: WGANGP, config: WGANGPTrainerConfig) -> None:
        judge = critic(model.config, config.width)
        super().__init__(model, config, judge, loss="wasserstein", n_critic=config.n_critic, generator_factor=config.generator_factor)
        self.settings = config

    def penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None, rng: Rng) -> tuple[Tensor | None, Mapping[str, Tensor]]:
        settings = self.settings
        penalised = settings.constraint == "penalty"
        slope = gradient_norms(lambda x: self.judge(x, labels), interpolate(real, fake, rng), create_graph=penalised)
        logs = {"critic.slope": slope.detach().mean()}
        if not penalised:
            return None, logs
        value = settings.penalty_weight * slope_excess(slope, one_sided=settings.one_sided).square().mean()
        return value, {**logs, "critic.penalty": value.detach()}

    @torch.no_grad()
    def after(self, phase: str) -> None:
        if phase == "critic" and self.settings.constraint == "clipping":
            for parameter in self.critic.parameters():
                parameter.clamp_(-self.settings.clip, self.settings.clip)
