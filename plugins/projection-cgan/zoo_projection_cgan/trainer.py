"""Training a generator against a projection discriminator."""

from zoo_core.training.adversarial import AdversarialTrainer
from zoo_projection_cgan.config import ProjectionCGANTrainerConfig
from zoo_projection_cgan.model import Generator
from zoo_projection_cgan.nets import Critic

__all__ = ["ProjectionCGANTrainer"]


class ProjectionCGANTrainer(AdversarialTrainer):
    """Hinge (arXiv:1802.05957, eqs. 16 and 17) or non-saturating loss of h(x, y); generated images have the labels of the batch.

    Example:
        >>> import torch
        >>> from zoo_core.rng import StepRng
        >>> from zoo_core.training.trainer import Batch
        >>> from zoo_projection_cgan.config import ProjectionCGANConfig
        >>> model = Generator(ProjectionCGANConfig(shape=(1, 8, 8), latent=4, width=8, multipliers=(1,)))
        >>> config = ProjectionCGANTrainerConfig(width=4, multipliers=(1, 1), halvings=1)
        >>> batch = Batch(x=torch.zeros(2, 1, 8, 8), labels=torch.tensor([0, 7]), index=torch.arange(2))
        >>> sorted(ProjectionCGANTrainer(model, config)("critic", batch, StepRng(0, 0, 2)).logs)
        ['critic.fake', 'critic.gap', 'critic.real']
    """

    critic: Critic

    def __init__(self, model: Generator, config: ProjectionCGANTrainerConfig) -> None:
        critic = Critic(model.config.shape, model.num_classes, config)
        super().__init__(model, config, critic, loss=config.loss, n_critic=config.n_critic, generator_factor=config.generator_factor)
