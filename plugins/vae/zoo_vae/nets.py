"""The encoder and the decoder of a VAE, as sequences of layers."""

from itertools import pairwise
from math import prod

from torch import nn

from zoo_vae.config import VAEConfig

__all__ = ["decoder", "encoder"]

_ACTIVATIONS = {"elu": nn.ELU, "relu": nn.ReLU, "silu": nn.SiLU, "softplus": nn.Softplus, "tanh": nn.Tanh}


def encoder(config: VAEConfig) -> nn.Sequential:
    """A net from samples (n, *shape) to (n, 2 * latent)."""
    if config.net == "mlp":
        return nn.Sequential(nn.Flatten(), *_mlp([prod(config.shape), *config.hidden, 2 * config.latent], config))
    channels, *coarsest = _stages(config)
    layers: list[nn.Module] = []
    for width_in, width in pairwise([config.shape[0], *channels]):
        layers += [nn.Conv2d(width_in, width, 4, stride=2, padding=1), _ACTIVATIONS[config.activation]()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(prod(coarsest), 2 * config.latent))


def decoder(config: VAEConfig, outputs: int) -> nn.Sequential:
    """A net from latents (n, latent) to (n, outputs * shape[0], *shape[1:])."""
    first, *rest = config.shape
    if config.net == "mlp":
        layers = _mlp([config.latent, *config.hidden[::-1], outputs * prod(config.shape)], config)
        return nn.Sequential(*layers, nn.Unflatten(1, (outputs * first, *rest)))
    channels, *coarsest = _stages(config)
    act = _ACTIVATIONS[config.activation]
    layers = [nn.Linear(config.latent, prod(coarsest)), nn.Unflatten(1, tuple(coarsest))]
    for width_in, width in pairwise([*channels[::-1], outputs * first]):
        layers += [act(), nn.ConvTranspose2d(width_in, width, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def _stages(config: VAEConfig) -> tuple[list[int], int, int, int]:
    """The channels of all stages, and the shape of the last."""
    channels = [config.width * multiplier for multiplier in config.multipliers]
    side = config.shape[1] >> len(config.multipliers)
    return channels, channels[-1], side, side


def _mlp(widths: list[int], config: VAEConfig) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width_in, width in pairwise(widths):
        layers += [nn.Linear(width_in, width), _ACTIVATIONS[config.activation]()]
    return layers[:-1]
