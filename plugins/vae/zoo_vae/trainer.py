"""Training a variational autoencoder: stochastic gradient ascent on the evidence lower bound."""

from collections.abc import Iterable
from math import log, prod

from torch import Tensor, nn

from zoo_core.interfaces import Rng
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_vae.config import VAETrainerConfig
from zoo_vae.likelihoods import kl_to_standard_normal
from zoo_vae.model import VAE

__all__ = ["VAETrainer", "kl_penalty"]


def kl_penalty(kl: Tensor, beta: float, free_bits: float) -> Tensor:
    """beta sum_j max(free_bits, mean_i kl_ij), (), of ``kl`` (n, latent) in nats (arXiv:1606.04934, eq. 15, one dimension per group)."""
    return beta * kl.mean(dim=0).clamp(min=free_bits).sum()


class VAETrainer(Trainer):
    """-E log p(x | z) + beta KL(q(z | x) || p(z)) in nats, with one z = mu + sigma eps for each row (arXiv:1312.6114, eq. 10).

    A Bernoulli model is trained on binary images, which are drawn from the grey levels anew at every step. The logs ``elbo``,
    ``reconstruction`` (E log p(x | z)) and ``kl`` are in nats per sample, without beta and free bits.

    Example:
        >>> import torch
        >>> from zoo_core.rng import StepRng
        >>> from zoo_vae.config import VAEConfig
        >>> trainer = VAETrainer(VAE(VAEConfig(shape=(1, 8, 8), latent=2, hidden=(16,))), VAETrainerConfig())
        >>> batch = Batch(x=torch.zeros(4, 1, 8, 8), labels=None, index=torch.arange(4))
        >>> sorted(trainer("model", batch, StepRng(0, 0, 4)).logs)
        ['elbo', 'kl', 'reconstruction']
    """

    model: VAE

    def __init__(self, model: VAE, config: VAETrainerConfig) -> None:
        super().__init__(model, config)
        self.settings = config

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        x = self.model.observed(batch.x, rng)
        mu, log_sigma = self.model.posterior(x)
        z = mu + log_sigma.exp() * rng.normal(mu.shape[1])
        reconstruction = self.model.log_likelihood(x, z).mean()
        kl = kl_to_standard_normal(mu, log_sigma)
        value = kl_penalty(kl, self.settings.beta, self.settings.free_bits) - reconstruction
        return Loss(value=value, logs=self._logs(reconstruction.detach(), kl.detach().sum(dim=1).mean()))

    def compilable(self) -> Iterable[nn.Module]:
        return self.model.encoder, self.model.decoder

    def _logs(self, reconstruction: Tensor, kl: Tensor) -> dict[str, Tensor]:
        elbo = reconstruction - kl
        logs = {"elbo": elbo, "reconstruction": reconstruction, "kl": kl}
        if self.model.space == "uint8":
            logs["bits_per_dim"] = -elbo / (prod(self.model.event.shape) * log(2))
        return logs
