"""Training a generator against a projection discriminator."""

from zoo_core.training.adversarial import AdversarialTrainer
from zoo_projection_cgan.config import ProjectionCGANTrainerConfig
from zoo_projection_cgan.model import Generator
from zoo_projection_cgan.nets import Critic

__all__ = ["ProjectionCGANTrainer"]


class ProjectionCGANTrainer(AdversarialTrainer):
    """Hinge (arXiv:1802.05957, eqs. 16 and 17) or non-saturating loss of h(x, y), for generated images of the data's labels."""

    critic: Critic

    def __init__(self, model: Generator, config: ProjectionCGANTrainerConfig) -> None:
        critic = Critic(model.config.shape, model.num_classes, config)
        super().__init__(model, config, critic, loss=config.loss, n_critic=config.n_critic, generator_factor=config.generator_factor)
