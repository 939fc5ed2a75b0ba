"""Adversarial training: a generator, which is published, against a critic of its samples, which the trainer keeps."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from zoo_core.errors import ConfigError, ZooError
from zoo_core.interfaces import Decoder, Rng, TrainerConfig
from zoo_core.training.trainer import Batch, Loss, Trainer

__all__ = ["LOSSES", "AdversarialLoss", "AdversarialTrainer", "r1_penalty"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdversarialLoss:
    """The losses of both sides as functions of the critic's output for one sample; means over the rows are minimised.

    >>> hinge = LOSSES["hinge"]
    >>> hinge.real(torch.tensor([0.5, 2.0])), hinge.fake(torch.tensor([-2.0]))
    (tensor([0.5000, 0.0000]), tensor([0.]))

    Args:
        real: loss of the critic for a real sample.
        fake: loss of the critic for a generated sample.
        generator: loss of the generator for a generated sample.
        judgement: number to log for an output: the probability of being real if outputs are logits, or the output itself.
    """

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    judgement: Callable[[Tensor], Tensor] = torch.Tensor.sigmoid


def _itself(x: Tensor) -> Tensor:
    return x


def _negative(x: Tensor) -> Tensor:
    return -x


def _minus_log_sigmoid(x: Tensor) -> Tensor:
    """-log D of a logit, computed without the sigmoid, which would round to 0 or 1 for large logits."""
    return softplus(-x)


# With D = sigmoid(output), -log(1 - D) is softplus(output).
LOSSES: Mapping[str, AdversarialLoss] = {
    # Goodfellow et al. 2014 (arXiv:1406.2661), eq. 1, with the generator's loss from the end of section 3: -log D.
    "non-saturating": AdversarialLoss(real=_minus_log_sigmoid, fake=softplus, generator=_minus_log_sigmoid),
    # The same, with the generator of eq. 1: log(1 - D), whose gradient vanishes as D does.
    "minimax": AdversarialLoss(real=_minus_log_sigmoid, fake=softplus, generator=lambda x: -softplus(x)),
    # The generator's log(1 - D) - log D, which is the reverse Kullback-Leibler divergence under the optimal critic.
    "reverse-kl": AdversarialLoss(real=_minus_log_sigmoid, fake=softplus, generator=_negative),
    # Mao et al. 2017 (arXiv:1611.04076), eq. 9: targets 1 for real, 0 for generated samples.
    "least-squares": AdversarialLoss(
        real=lambda x: (x - 1) ** 2 / 2, fake=lambda x: x**2 / 2, generator=lambda x: (x - 1) ** 2 / 2, judgement=_itself
    ),
    # Lim & Ye 2017 (arXiv:1705.02894); Miyato et al. 2018 (arXiv:1802.05957), eqs. 16 and 17.
    "hinge": AdversarialLoss(real=lambda x: relu(1 - x), fake=lambda x: relu(1 + x), generator=_negative, judgement=_itself),
    # Arjovsky et al. 2017 (arXiv:1701.07875), eq. 2: the gap of a critic that a penalty or clipping must keep Lipschitz.
    "wasserstein": AdversarialLoss(real=_negative, fake=_itself, generator=_negative, judgement=_itself),
}
"""Adversarial losses by name."""


def r1_penalty(x: Tensor, outputs: Tensor) -> Tensor:
    """The R1 penalty: the mean over rows of the squared norm of the critic's gradient (Mescheder et al. 2018, arXiv:1801.04406, eq. 9).

    It is a scalar without the factor gamma / 2, and can be differentiated by the critic's weights.

    Args:
        x: real samples (n, ...), which require a gradient.
        outputs: outputs of the critic for them, one for each row.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True)
    >>> r1_penalty(x, (3 * x).sum(1)).item()
    18.0
    """
    (slope,) = torch.autograd.grad(outputs.sum(), x, create_graph=True)
    return slope.flatten(1).square().sum(dim=1).mean()


class _Repeated:
    """An Rng with ``times`` as many rows: the rows of ``rng`` again and again, with new draws."""

    def __init__(self, rng: Rng, times: int) -> None:
        self.rng = rng
        self.times = times

    def __len__(self) -> int:
        return self.times * len(self.rng)

    def normal(self, *shape: int) -> Tensor:
        return torch.cat([self.rng.normal(*shape) for _ in range(self.times)])

    def uniform(self, *shape: int) -> Tensor:
        return torch.cat([self.rng.uniform(*shape) for _ in range(self.times)])

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return torch.cat([self.rng.integers(low, high, *shape) for _ in range(self.times)])


class AdversarialTrainer(Trainer):
    """A trainer with two phases: ``critic`` in every step, and ``generator``, which trains the model, in every ``n_critic``-th step.

    If the model has classes, generator and critic get the labels of the batch. A family passes its critic, and overrides ``draw``,
    ``shown``, ``judge``, ``critic_loss``, ``generator_loss`` and ``penalty`` if it needs to.

    The phase ``critic`` logs ``critic.real`` and ``critic.fake``, the mean judgements of real and of generated samples (a probability of
    being real, or an output), and ``critic.gap``, the difference of the mean outputs. If the critic tells all samples apart, or the gap
    grows without end, the generator is losing.

    >>> from zoo_core.rng import StepRng
    >>> from zoo_core.testing.fake import Fake
    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> critic = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    >>> trainer = AdversarialTrainer(Fake(FakeConfig(classes=0)), TrainerConfig(), critic, loss="hinge", n_critic=5)
    >>> trainer.phases(0), trainer.phases(1)
    (('critic', 'generator'), ('critic',))
    >>> batch = Batch(x=torch.zeros(4, 2), labels=None, index=torch.arange(4))
    >>> sorted(trainer("critic", batch, StepRng(0, 0, 4)).logs)
    ['critic.fake', 'critic.gap', 'critic.real']

    Args:
        model: generator, with the capability ``decode``.
        config: config of the trainer.
        critic: network from samples (n, *event.shape), and labels (n,) if the model has classes, to outputs (n,).
        loss: name in :data:`LOSSES`, or the functions themselves.
        n_critic: number of critic steps for each generator step.
        generator_factor: number of samples that the phase ``generator`` draws, as a multiple of the batch.

    Raises:
        ConfigError: if there is no loss of that name; at the first batch, if the model has classes but the data has no labels.
        ZooError: if the critic does not return one output for each sample.
    """

    average_buffers: ClassVar[bool] = True  # statistics of batch norm belong to the averaged weights

    def __init__(
        self,
        model: nn.Module,
        config: TrainerConfig,
        critic: nn.Module,
        *,
        loss: str | AdversarialLoss,
        n_critic: int = 1,
        generator_factor: int = 1,
    ) -> None:
        super().__init__(model, config)
        self.critic = critic
        if isinstance(loss, str) and loss not in LOSSES:
            raise ConfigError(f"there is no adversarial loss {loss[:40]!r}", f"choose one of {', '.join(LOSSES)}")
        self.loss = LOSSES[loss] if isinstance(loss, str) else loss
        self.n_critic = n_critic
        self.generator_factor = generator_factor
        self.num_classes = cast(int, getattr(model, "num_classes", 0))

    def phases(self, step: int) -> tuple[str, ...]:
        return ("critic", "generator") if step % self.n_critic == 0 else ("critic",)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return (self.critic if phase == "critic" else self.model).parameters()

    def draw(self, rng: Rng, labels: Tensor | None) -> Tensor:
        """Generated samples (len(rng), *event.shape) of the classes ``labels`` (len(rng),)."""
        generator = cast(Decoder, self.model)
        return generator.decode(generator.prior(rng), labels)

    def shown(self, x: Tensor, rng: Rng) -> Tensor:
        """What the critic sees of real or generated samples ``x`` (len(rng), *event.shape), of the same shape: by default ``x`` itself.

        A differentiable augmentation belongs here (:func:`zoo_core.training.augmentation.augmented`).
        """
        return x

    def judge(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The critic's outputs (n,) for ``x`` (n, *event.shape) of the classes ``labels`` (n,)."""
        outputs: Tensor = self.critic(x, labels) if self.num_classes else self.critic(x)
        return outputs

    def critic_loss(self, of_real: Tensor, of_fake: Tensor) -> Tensor:
        """The loss of the critic, (), from its outputs for real and for generated samples, both (n,)."""
        return (self.loss.real(of_real) + self.loss.fake(of_fake)).mean()

    def generator_loss(self, of_fake: Tensor, of_real: Callable[[], Tensor]) -> Tensor:
        """The loss of the generator, ().

        Args:
            of_fake: outputs of the critic for generated samples, (n * generator_factor,).
            of_real: function that returns the outputs for the batch, (n,), for a relativistic loss; a call costs a pass of the critic.
        """
        return self.loss.generator(of_fake).mean()

    def penalty(self, real: Tensor, fake: Tensor, labels: Tensor | None, rng: Rng) -> tuple[Tensor | None, Mapping[str, Tensor]]:
        """A term to add to the critic's loss, such as :func:`r1_penalty`, () or None, and logs.

        ``real`` and ``fake``, as shown, have the same shape and labels.
        """
        return None, {}

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        labels = real_labels = batch.labels if self.num_classes else None
        if self.num_classes and labels is None:
            raise ConfigError("the model has classes and the data no labels", "name images in class folders, or a set that has labels")
        real_rng = rng
        if phase == "generator" and self.generator_factor > 1:
            rng = _Repeated(rng, self.generator_factor)
            labels = None if labels is None else labels.repeat(self.generator_factor)
        with torch.set_grad_enabled(phase == "generator" and torch.is_grad_enabled()):
            fake = self.shown(self.draw(rng, labels), rng)
        of_fake = self._outputs(fake, labels)
        if phase == "generator":
            return Loss(value=self.generator_loss(of_fake, lambda: self._outputs(self.shown(batch.x, real_rng), real_labels)))
        real = self.shown(batch.x, rng)
        of_real = self._outputs(real, labels)
        value = self.critic_loss(of_real, of_fake)
        extra, logs = self.penalty(real, fake, labels, rng)
        return Loss(value=value if extra is None else value + extra, logs={**self._judgements(of_real, of_fake), **logs})

    def _outputs(self, x: Tensor, labels: Tensor | None) -> Tensor:
        outputs = self.judge(x, labels).float()
        if outputs.shape != x.shape[:1]:  # (n, 1) would broadcast each sample against all others
            what = f"the critic gave outputs {tuple(outputs.shape)} for {len(x)} samples"
            raise ZooError(what, "it must return one for each: flatten(0)")
        return outputs

    @torch.no_grad()
    def _judgements(self, of_real: Tensor, of_fake: Tensor) -> dict[str, Tensor]:
        real, fake = (self.loss.judgement(each).mean() for each in (of_real, of_fake))
        return {"critic.real": real, "critic.fake": fake, "critic.gap": of_real.mean() - of_fake.mean()}
