"""The families and their trainers pass zoo_core's conformance checks."""

from dataclasses import replace
from typing import cast

from zoo_core.interfaces import ModelConfig, Teacher
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.training.teachers import load_teacher
from zoo_flow_matching.config import FlowMatchingConfig, FlowMatchingTrainerConfig
from zoo_latent_diffusion.config import (
    AutoencoderConfig,
    AutoencoderTrainerConfig,
    LatentDiffusionConfig,
    LatentDiffusionTrainerConfig,
)
from zoo_ncsn_langevin.config import NCSNConfig

SMALL = AutoencoderConfig(image_size=8, latent_channels=2, width=4)
FEATURES = AutoencoderTrainerConfig(features=Teacher(reference="classifier-cifar10"), layers=("body.1",), critic_width=4)


@parametrize_checks("kl-autoencoder", config=SMALL, trainer=FEATURES)
def test_an_autoencoder_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "kl-autoencoder",
    config=AutoencoderConfig(image_size=8, channels=1, patch=1, width=4, multipliers=(1, 1), blocks=2),
    trainer=AutoencoderTrainerConfig(critic_weight=0.0),
)
def test_an_autoencoder_of_grey_images_without_a_critic_conforms(check: Check) -> None:
    check()


VAE = Teacher(reference="vae-mnist-2d")
DIGITS = LatentDiffusionConfig(
    first_stage=cast(ModelConfig, load_teacher(VAE).config), prior=NCSNConfig(shape=(2,), net="mlp", width=8, blocks=1)
)


@parametrize_checks(
    "latent-diffusion",
    config=DIGITS,
    capabilities={"latent", "encode"},
    trainer=LatentDiffusionTrainerConfig(first_stage=VAE),
)
def test_a_score_network_in_the_plane_of_a_vae_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "latent-diffusion",
    config=replace(DIGITS, prior=FlowMatchingConfig(points=2, dim=8, num_classes=3)),
    capabilities={"latent", "encode", "labels"},
    trainer=LatentDiffusionTrainerConfig(first_stage=VAE, prior=FlowMatchingTrainerConfig(times="logit-normal")),
)
def test_a_velocity_net_with_classes_conforms(check: Check) -> None:
    check()
