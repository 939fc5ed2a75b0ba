"""Variational autoencoders (Kingma & Welling 2013, arXiv:1312.6114)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from zoo_core.errors import UsageError
from zoo_core.interfaces import Event, LogProb, Rng
from zoo_vae.config import VAEConfig
from zoo_vae.likelihoods import bernoulli, discretised_logistic, gaussian, kl_to_standard_normal
from zoo_vae.nets import decoder, encoder

__all__ = ["VAE"]

SPACES: dict[str, Literal["continuous", "uint8", "binary"]] = {
    "bernoulli": "binary",
    "discretised-logistic": "uint8",
    "gaussian": "continuous",
}
LOWEST = -7.0  # bound of log scale, as in PixelCNN++: without it, the density of repeated values is unbounded
CHUNK = 4096  # rows of one pass in log_prob, which bounds the memory of activations for all n and k


class VAE(nn.Module):
    """q(z | x) = N(mu(x), diag sigma(x)^2) from an encoder, p(x | z) from a decoder, p(z) = N(0, I).

        log p(x) >= E log 1/k sum_i p(x, z_i) / q(z_i | x),    z_1 ... z_k ~ q(z | x)

    (Burda et al. 2016, arXiv:1509.00519, eqs. 7 and 8). The bound is the evidence lower bound for k = 1, and tends to log p(x) for large k.

    Example:
        >>> from zoo_core.rng import ImageRng
        >>> net = VAE(VAEConfig(shape=(1, 8, 8), latent=2, hidden=(16,)))
        >>> x = torch.zeros(3, 1, 8, 8)
        >>> net.decode(net.encode(x)).shape, net.log_prob(x, rng=ImageRng(0, range(3)), k=10).kind
        (torch.Size([3, 1, 8, 8]), 'lower_bound')
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        predicted = config.likelihood != "bernoulli" and config.scale == "predicted"
        self.encoder = encoder(config)
        self.decoder = decoder(config, 2 if predicted else 1)
        if config.likelihood != "bernoulli" and config.scale == "learned":
            self.log_scale = nn.Parameter(torch.full((config.shape[0],), math.log(config.initial_scale)))

    @property
    def event(self) -> Event:
        bounded = len(self.config.shape) == 3 or self.config.likelihood != "gaussian"
        return Event(shape=self.config.shape, range=(-1.0, 1.0) if bounded else None)

    @property
    def space(self) -> Literal["continuous", "uint8", "binary"]:
        """The space of the log-probability: of points, 8-bit images or binary images."""
        return SPACES[self.config.likelihood]

    def prior(self, rng: Rng) -> Tensor:
        return rng.normal(self.config.latent)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """The posterior's mean, (n, latent). For a Bernoulli model it is that of the grey levels of ``x``, without a binary draw."""
        return self.posterior(x)[0]

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """The mean of p(x | z), clamped to the event's range; for a discretised logistic its location, the mean except near the ends."""
        if self.config.likelihood == "bernoulli":
            return (self._output(z) / 2).tanh()  # 2 p - 1
        mean, _ = self._location(z)
        return mean.clamp(*self.event.range) if self.event.range else mean

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log sigma of q(z | x), each (n, latent), for ``x`` (n, *event.shape)."""
        mu, log_sigma = self.encoder(x).to(x.dtype).chunk(2, dim=1)
        return mu, log_sigma

    def observed(self, x: Tensor, rng: Rng) -> Tensor:
        """The values of the likelihood, (n, *event.shape): ``x`` itself, or for a Bernoulli model a binary image of -1 and 1.

        A value is 1 with the probability (x + 1) / 2. Values -1 and 1 do not change; they consume random numbers all the same.
        """
        if self.config.likelihood != "bernoulli":
            return x
        on = rng.uniform(*self.config.shape) < (x + 1) / 2
        return torch.where(on, 1.0, -1.0).to(x.dtype)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), (n,), of observed ``x`` (n, *event.shape) and ``z`` (n, latent)."""
        if self.config.likelihood == "bernoulli":
            values = bernoulli(x, self._output(z))
        elif self.config.likelihood == "gaussian":
            values = gaussian(x, *self._location(z))
        else:
            values = discretised_logistic(x, *self._location(z))
        return values.flatten(1).sum(dim=1)

    def log_prob(self, x: Tensor, labels: Tensor | None = None, *, rng: Rng | None = None, k: int = 1) -> LogProb:
        """A lower bound on log p(x), (n,): for ``k`` = 1 the ELBO with its KL in closed form, otherwise the bound of IWAE with ``k`` draws.

        Row i of a Bernoulli model draws its binary image before its latents, so that the image is the same for every ``k``.

        Args:
            x: samples (n, *event.shape) in the event's range.
            labels: ignored.
            rng: random numbers, with a row for each row of ``x``.
            k: number of draws of z for each row; more give a tighter bound, and 200 come near log p(x) if q is accurate.

        Raises:
            UsageError: if ``rng`` is None, or ``k`` is less than 1.
        """
        if rng is None:
            raise UsageError("the log-probability of a VAE is a Monte Carlo bound and needs random numbers", "pass rng=")
        if k < 1:
            raise UsageError(f"k, the number of draws, must be at least 1, not {k}")
        x = self.observed(x, rng)
        parts = [self.posterior(rows) for rows in torch.split(x, CHUNK)]
        mu, log_sigma = (torch.cat(part) for part in zip(*parts, strict=True))
        if k == 1:
            z = mu + log_sigma.exp() * rng.normal(self.config.latent)
            value = self._chunked(x, z) - kl_to_standard_normal(mu, log_sigma).sum(dim=1)
        else:
            each = max(1, CHUNK // max(1, len(x)))
            draws = [min(each, k - i) for i in range(0, k, each)]
            weights = [self._log_weights(x, mu, log_sigma, rng.normal(m, self.config.latent).to(x.dtype)) for m in draws]
            value = torch.cat(weights, dim=1).logsumexp(dim=1) - math.log(k)
        return LogProb(value=value, kind="lower_bound", space=self.space)

    def _log_weights(self, x: Tensor, mu: Tensor, log_sigma: Tensor, eps: Tensor) -> Tensor:
        """log p(x, z) / q(z | x), (n, m), at z = mu + sigma eps; ``eps`` (n, m, latent)."""
        z = mu[:, None] + log_sigma.exp()[:, None] * eps
        # log p(z) - log q(z | x), whose constants cancel.
        ratio = (0.5 * (eps**2 - z**2) + log_sigma[:, None]).sum(dim=2)
        repeated = x[:, None].expand(-1, eps.shape[1], *x.shape[1:])
        return self._chunked(repeated.flatten(0, 1), z.flatten(0, 1)).view_as(ratio) + ratio

    def _chunked(self, x: Tensor, z: Tensor) -> Tensor:
        return torch.cat([self.log_likelihood(*rows) for rows in zip(torch.split(x, CHUNK), torch.split(z, CHUNK), strict=True)])

    def _output(self, z: Tensor) -> Tensor:
        return self.decoder(z).to(z.dtype)

    def _location(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the logarithm of the scale, which broadcast against samples."""
        output = self._output(z)
        if self.config.scale == "predicted":
            mean, log_scale = output.chunk(2, dim=1)
            return mean, (log_scale + math.log(self.config.initial_scale)).clamp(min=LOWEST)
        if self.config.scale == "fixed":
            return output, output.new_tensor(math.log(self.config.initial_scale))
        over = (-1, *[1] * (len(self.config.shape) - 1))
        return output, self.log_scale.clamp(min=LOWEST).view(over).to(output.dtype)
