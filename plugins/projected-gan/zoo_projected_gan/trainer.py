"""Training against critics that look at images through frozen features."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Decoder, Rng
from zoo_core.rng import Stream, isolated
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_core.training.augmentation import augmented
from zoo_core.training.teachers import load_teacher
from zoo_core.training.trainer import Batch, Loss
from zoo_projected_gan.config import ProjectedGANTrainerConfig
from zoo_projected_gan.nets import Backbone, Head, Projector

__all__ = ["ProjectedGANTrainer"]


class ProjectedGANTrainer(AdversarialTrainer):
    """The sum over heads D_l of adversarial losses of projected features P_l (Sauer et al. 2021, arXiv:2111.01007, eq. 4).

    With ``hinge``, where outputs of a head are averaged over images and places,

        critic:       sum_l mean max(0, 1 - D_l(P_l(x))) + mean max(0, 1 + D_l(P_l(G(z))))
        generator:    -sum_l mean D_l(P_l(G(z)))

    The features and their random projections are frozen, and no part of a snapshot: the digest of the teacher in the recipe, and
    ``config.seed``, make them again. It trains every model with the capability ``decode``.

    Raises:
        ConfigError: in ``forward``, if a batch or a part of one has a single row, for which batch norm has no statistics, or the model has
            classes but the data no labels.
        ZooError: if the frozen net cannot be had, see :func:`zoo_core.training.teachers.load_teacher` and
            :class:`zoo_projected_gan.nets.Backbone`.

    Example:
        >>> from zoo_core.rng import StepRng
        >>> from zoo_projected_gan.config import ProjectedGANConfig
        >>> from zoo_projected_gan.model import ProjectedGAN
        >>> model = ProjectedGAN(ProjectedGANConfig(shape=(1, 8, 8), latent=4, width=4, stages=1))
        >>> config = ProjectedGANTrainerConfig(backbone="test_resnet", backbone_side=32, levels=(0, 1), mixed=4, width=4)
        >>> batch = Batch(x=torch.zeros(2, 1, 8, 8), labels=None, index=torch.arange(2))
        >>> sorted(ProjectedGANTrainer(model, config)("critic", batch, StepRng(0, 0, 2)).logs)
        ['critic.fake', 'critic.gap', 'critic.real']
    """

    critic: nn.ModuleList

    def __init__(self, model: nn.Module, config: ProjectedGANTrainerConfig) -> None:
        projectors = list(_projectors(model, config))
        places = [place for each in projectors for place in zip(each.widths, each.sides, strict=True)]
        super().__init__(model, config, nn.ModuleList(Head(*place, config.width) for place in places), loss=config.loss)
        self.settings = config
        for number, each in enumerate(projectors):
            self.freeze(f"projector-{number}", each)

    def shown(self, x: Tensor, rng: Rng) -> Tensor:
        return augmented(x, self.settings.augment, rng)

    def projected(self, x: Tensor) -> list[Tensor]:
        """The projected feature maps of images ``x`` (n, *shape), one for each head."""
        return [level for net in self.frozen.values() for level in net(x)]

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        if len(batch.x) < 2:
            raise ConfigError("batch norm needs two rows at once", "choose a larger --batch-size, or fewer parts: -o fit.accumulate=1")
        labels = batch.labels if self.num_classes else None
        if self.num_classes and labels is None:
            raise ConfigError("the model has classes and the data no labels", "name images in class folders, or a set that has labels")
        if phase == "generator":
            outputs = self._outputs_of(self.projected(self.shown(self.draw(rng, labels), rng)))
            return Loss(value=torch.stack([self.loss.generator(each).mean() for each in outputs]).sum())
        with torch.no_grad():
            levels = [self.projected(self.shown(x, rng)) for x in (self.draw(rng, labels), batch.x)]
        of_fake, of_real = map(self._outputs_of, levels)
        terms = [self.loss.real(real).mean() + self.loss.fake(fake).mean() for real, fake in zip(of_real, of_fake, strict=True)]
        return Loss(value=torch.stack(terms).sum(), logs=self._judgements(_mean(of_real), _mean(of_fake)))

    def judge(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """The mean output of all heads and places for each of ``x``, (n,), which the logs have; losses are of each place."""
        return _mean(self._outputs_of(self.projected(x)))

    def _outputs_of(self, levels: list[Tensor]) -> list[Tensor]:
        """The outputs of each head, float32 (n, places)."""
        return [head(level).float().flatten(1) for head, level in zip(self.critic, levels, strict=True)]

    def compilable(self) -> Iterable[nn.Module]:
        return (self.critic,)


def _mean(outputs: list[Tensor]) -> Tensor:
    return torch.cat(outputs, dim=1).mean(dim=1)


def _projectors(model: nn.Module, config: ProjectedGANTrainerConfig) -> Iterable[Projector]:
    assert isinstance(model, Decoder)  # as the spec of the trainer requires
    shape = model.event.shape
    with isolated(config.seed, stream=Stream.INIT):
        if config.teacher is not None:
            yield Projector(load_teacher(config.teacher), shape, config)
        if config.backbone:
            yield Projector(Backbone(config), shape, config)
