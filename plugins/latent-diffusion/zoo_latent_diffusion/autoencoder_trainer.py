"""Training a KL autoencoder: absolute error, KL, distance of features, and a critic of patches."""

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Event, Features, Rng
from zoo_core.models.critics import PatchCritic
from zoo_core.training.adversarial import LOSSES
from zoo_core.training.teachers import load_teacher
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_latent_diffusion.autoencoder import Autoencoder
from zoo_latent_diffusion.config import AutoencoderTrainerConfig

__all__ = ["AutoencoderTrainer", "activations", "cropped", "feature_distance", "kl_to_standard_normal"]


def kl_to_standard_normal(mu: Tensor, log_sigma: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) in nats, elementwise (Kingma & Welling 2013, arXiv:1312.6114, appendix B)."""
    return 0.5 * (mu.square() + (2 * log_sigma).exp() - 1) - log_sigma


def activations(net: nn.Module, x: Tensor, layers: Sequence[str]) -> list[Tensor]:
    """The outputs of the submodules ``layers`` of a net with the capability ``features`` for ``x``; its features if there are none.

    >>> class Halved(nn.Module):
    ...     half = nn.AvgPool2d(2)
    ...     def features(self, x):
    ...         return self.half(x).flatten(1)
    >>> net = Halved()
    >>> [tuple(each.shape) for each in activations(net, torch.zeros(2, 3, 8, 8), ["half"])]
    [(2, 3, 4, 4)]

    Raises:
        ConfigError: if the net has no such submodule, or does not use it.
    """
    found: dict[str, Tensor] = {}
    hooks = []
    try:
        for name in layers:
            try:
                module = net.get_submodule(name)
            except AttributeError:
                known = [key for key, _ in net.named_modules() if key]
                what = f"trainer.layers: the model of trainer.features has no submodule {name!r:.40}"
                raise ConfigError(what, f"it has {', '.join(known)}") from None
            hooks.append(module.register_forward_hook(lambda module, args, out, name=name: found.update({name: out})))
        features: Tensor = net.features(x)  # type: ignore[operator]  # the capability
    finally:
        for hook in hooks:
            hook.remove()
    if unused := [name for name in layers if name not in found]:
        raise ConfigError(f"trainer.layers: the features of trainer.features do not depend on {unused[0]!r:.40}")
    return [found[name] for name in layers] or [features]


def feature_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The mean over layers and pixels of |a / |a| - b / |b||^2, with norms over channels (Zhang et al. 2018, arXiv:1801.03924, eq. 1).

    >>> feature_distance([torch.tensor([[3.0, 0.0]])], [torch.tensor([[0.0, 5.0]])])
    tensor(2.)

    Args:
        a, b: activations (n, channels, ...) of each layer.
    """
    distances = []
    for one, other in zip(a, b, strict=True):
        difference = nn.functional.normalize(one.float(), dim=1, eps=1e-6) - nn.functional.normalize(other.float(), dim=1, eps=1e-6)
        distances.append(difference.square().sum(dim=1).mean())
    return torch.stack(distances).mean()


def cropped(x: Tensor, corner: Tensor, side: int) -> Tensor:
    """The squares (n, c, side, side) of ``x`` (n, c, h, w) whose upper left corners are at ``corner``, int64 (n, 2).

    >>> cropped(torch.arange(9.0).view(1, 1, 3, 3), torch.tensor([[1, 0]]), 2).flatten().tolist()
    [3.0, 4.0, 6.0, 7.0]
    """
    places = corner[:, :, None] + torch.arange(side, device=x.device)
    image, channel = (torch.arange(count, device=x.device) for count in x.shape[:2])
    return x[image[:, None, None, None], channel[:, None, None], places[:, 0, None, :, None], places[:, 1, None, None, :]]


class AutoencoderTrainer(Trainer):
    """The loss of the first stage of Rombach et al. 2022 (arXiv:2112.10752, eq. 25), with z = mu + sigma eps and x' = decoder(z):

        mean |x - x'| + kl KL(q(z | x) || N(0, I)) / values + feature_weight d(x, x') - critic_weight mean critic(x')

    ``values`` is the number of values of an image. d is :func:`feature_distance` in a frozen net, at a random square of each image if that
    net is made for smaller ones. The critic's hinge loss is the phase ``critic``, from the step ``critic_from`` on, and once in the first
    step, whose gradient is 0. The weight of its term is constant, and not the ratio of two gradients as in the paper.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_latent_diffusion.config import AutoencoderConfig
        >>> trainer = AutoencoderTrainer(Autoencoder(AutoencoderConfig(image_size=16, width=8)), AutoencoderTrainerConfig())
        >>> batch = Batch(x=torch.zeros(2, 3, 16, 16), labels=None, index=torch.arange(2))
        >>> sorted(trainer("model", batch, StepRng(0, 0, 2)).logs)
        ['kl', 'l1']

    Raises:
        CapabilityError: if ``config.features`` is a checkpoint without features.
        ConfigError: if that is made for images with another number of channels; at the first step, if it has no submodule named in
            ``config.layers``.
    """

    model: Autoencoder
    config: AutoencoderTrainerConfig

    def __init__(self, model: Autoencoder, config: AutoencoderTrainerConfig) -> None:
        super().__init__(model, config)
        self.critic = PatchCritic(model.config.channels, config.critic_width) if config.critic_weight else None
        if config.features is not None:
            self.freeze("features", load_teacher(config.features, requires="features"))
            self._check_features(model.event, cast(Features, self.frozen["features"]).event)

    def _check_features(self, event: Event, seen: Event) -> None:
        if len(seen.shape) != 3 or seen.shape[0] != event.shape[0]:
            what = f"the model of trainer.features is made for samples {list(seen.shape)}, and the images are {list(event.shape)}"
            raise ConfigError(what, "choose one for images with as many channels")

    def phases(self, step: int) -> tuple[str, ...]:
        judged = self.critic is not None and (step == 0 or step >= self.config.critic_from)
        return ("model", "critic") if judged else ("model",)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        assert phase == "model" or self.critic is not None
        return (self.model if phase == "model" else self.critic).parameters()  # type: ignore[union-attr]  # as asserted

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        if phase == "critic":
            return self._judged(batch.x, rng)
        x = batch.x
        mu, log_sigma = self.model.posterior(x)
        y = self._decoded(mu, log_sigma, rng)
        l1 = (y - x).abs().mean()
        kl = kl_to_standard_normal(mu, log_sigma).flatten(1).sum(dim=1).mean() / x[0].numel()
        value = l1 + self.config.kl * kl
        logs = {"l1": l1, "kl": kl}
        if "features" in self.frozen:
            logs["features"] = distance = self._feature_distance(x, y, rng)
            value = value + self.config.feature_weight * distance
        if self.critic is not None and self.step >= self.config.critic_from:
            value = value + self.config.critic_weight * LOSSES["hinge"].generator(self.critic(y).float()).mean()
        return Loss(value=value, logs={name: number.detach() for name, number in logs.items()})

    def _decoded(self, mu: Tensor, log_sigma: Tensor, rng: Rng) -> Tensor:
        return self.model.reconstruction(mu + log_sigma.exp() * rng.normal(*mu.shape[1:]).to(mu))

    def _feature_distance(self, x: Tensor, y: Tensor, rng: Rng) -> Tensor:
        net, layers = self.frozen["features"], self.config.layers
        side = min(cast(Features, net).event.shape[-1], x.shape[-1])
        if side < x.shape[-1]:
            corner = rng.integers(0, x.shape[-1] - side + 1, 2)
            x, y = cropped(x, corner, side), cropped(y, corner, side)
        with torch.no_grad():
            real = activations(net, x, layers)
        return feature_distance(real, activations(net, y, layers))

    def _judged(self, x: Tensor, rng: Rng) -> Loss:
        """The hinge loss of the critic (Lim & Ye 2017, arXiv:1705.02894)."""
        assert self.critic is not None
        with torch.no_grad():
            y = self._decoded(*self.model.posterior(x), rng)
        hinge = LOSSES["hinge"]
        real, fake = self.critic(x).float(), self.critic(y).float()
        value = (hinge.real(real).mean() + hinge.fake(fake).mean()) * float(self.step >= self.config.critic_from)
        return Loss(value=value, logs={"critic.real": real.detach().mean(), "critic.fake": fake.detach().mean()})

    def compilable(self) -> Iterable[nn.Module]:
        return self.model.encoder, self.model.decoder
