"""Training a generator against a projection discriminator."""

from torch import Tensor

from zoo_core.training.adversarial import AdversarialTrainer
from zoo_projection_cgan.config import ProjectionCGANTrainerConfig
from zoo_projection_cgan.model import Generator
from zoo_projection_cgan.nets import Critic

__all__ = ["ProjectionCGANTrainer"]


class ProjectionCGANTrainer(AdversarialTrainer):
    """Hinge (arXiv:1802.05957, eqs. 16 and 17) or non-saturating loss of h(x, y), for generated images of the data's labels.

    The generator's batch is as large as the critic's; the released code doubles it.
    """

    critic: Critic

    def __init__(self, model: Generator, config: ProjectionCGANTrainerConfig) -> None:
        critic = Critic(model.config.shape, model.num_classes, config)
        super().__init__(model, config, critic, loss=config.loss, n_critic=config.n_critic)

    def judge(self, x: Tensor, labels: Tensor | None) -> Tensor:
        outputs: Tensor = self.critic(x, labels)
        return outputs
