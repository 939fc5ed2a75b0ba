"""The latent-diffusion plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="kl-autoencoder",
            target="zoo_latent_diffusion.autoencoder:Autoencoder",
            config="zoo_latent_diffusion.config:AutoencoderConfig",
            trainer="kl-autoencoder",
            sampler="latent",
            capabilities=frozenset({"encode", "decode"}),
            paper="arXiv:2112.10752",
            summary="autoencoders of images with small images as latents: the first stage of latent diffusion",
        ),
        TrainerSpec(
            name="kl-autoencoder",
            target="zoo_latent_diffusion.autoencoder_trainer:AutoencoderTrainer",
            config="zoo_latent_diffusion.config:AutoencoderTrainerConfig",
            paper="arXiv:2112.10752",
            summary="absolute error, a small KL, distance of features in a frozen net, and a critic of patches",
        ),
        ModelSpec(
            name="latent-diffusion",
            target="zoo_latent_diffusion.latent:LatentDiffusion",
            config="zoo_latent_diffusion.config:LatentDiffusionConfig",
            trainer="latent-diffusion",
            sampler="dpmpp-2m",
            capabilities=frozenset({"latent", "encode", "labels", "condition"}),
            paper="arXiv:2112.10752",
            summary="any denoiser in the latents of any autoencoder",
        ),
        TrainerSpec(
            name="latent-diffusion",
            target="zoo_latent_diffusion.latent_trainer:LatentDiffusionTrainer",
            config="zoo_latent_diffusion.config:LatentDiffusionTrainerConfig",
            paper="arXiv:2112.10752",
            summary="the prior's own trainer on latents that are computed once",
        ),
        RecipeSpec(
            name="afhq-cat",
            family="kl-autoencoder",
            target="zoo_latent_diffusion.recipes:FIRST_STAGE",
            summary="64x64 photographs to latents of 4x16x16, half an hour on one CPU core",
        ),
        RecipeSpec(
            name="afhq-cat",
            family="latent-diffusion",
            target="zoo_latent_diffusion.second_stage:AFHQ_CAT",
            summary="64x64 photographs by a ddpm of 4x16x16 latents, an hour on one CPU core",
        ),
        RecipeSpec(
            name="captioned-mnist",
            family="kl-autoencoder",
            target="zoo_latent_diffusion.recipes:CAPTIONED_FIRST_STAGE",
            summary="32x32 digits in colours and places to latents of 8x8x8",
        ),
        RecipeSpec(
            name="captioned-mnist",
            family="latent-diffusion",
            target="zoo_latent_diffusion.second_stage:CAPTIONED_MNIST",
            summary="coloured digits by captions, in latents; needs zoo-text-to-image",
        ),
        *checkpoints("zoo_latent_diffusion"),
    ]
