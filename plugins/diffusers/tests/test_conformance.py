"""The families and the scheduler pass zoo_core's conformance checks."""

from typing import Any

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_diffusers.config import DiffusersLatentConfig, DiffusersTextConfig, DiffusersUNetConfig, TextConfig
from zoo_diffusers.schedulers import Diffusers

UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": [8],
    "down_block_types": ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"],
    "norm_num_groups": 4,
    "layers_per_block": 1,
}
STAGE: dict[str, Any] = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "norm_num_groups": 4,
}
SHORT = Diffusers(T=20, beta_start=0.01, beta_end=0.3)


@parametrize_checks(
    "diffusers-unet", config=DiffusersUNetConfig(unet={**UNET, "num_class_embeds": 3}, scheduler=SHORT, prediction="sample")
)
def test_a_net_with_classes_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "diffusers-latent",
    config=DiffusersLatentConfig(
        first_stage={**STAGE, "latent_channels": 3}, prior=DiffusersUNetConfig(unet={**UNET, "sample_size": 4}, scheduler=SHORT)
    ),
    capabilities={"latent", "encode"},
)
def test_a_net_of_latents_conforms(check: Check) -> None:
    check()


TEXT = TextConfig(vocab_size=9, table_bytes=4, hidden_size=8, layers=1, heads=2, intermediate_size=16, positions=6, start=0, end=1, pad=1)
ATTENDING: dict[str, Any] = {
    **UNET,
    "sample_size": 4,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D"],
    "cross_attention_dim": 8,
    "attention_head_dim": 4,
}


@parametrize_checks(
    "diffusers-text", config=DiffusersTextConfig(unet=ATTENDING, first_stage={**STAGE, "latent_channels": 4}, text=TEXT, scheduler=SHORT)
)
def test_a_net_of_texts_conforms(check: Check) -> None:
    check()


@parametrize_checks(Diffusers(spacing="trailing"))
def test_the_levels_conform(check: Check) -> None:
    check()
