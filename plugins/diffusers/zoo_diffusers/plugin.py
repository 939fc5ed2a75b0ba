"""The diffusers plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import LayoutSpec, ModelSpec, SchedulerSpec, Spec


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        LayoutSpec(
            name="diffusers",
            target="zoo_diffusers.layout:DiffusersLayout",
            summary="folders and repositories that DiffusionPipeline.save_pretrained wrote",
        ),
        ModelSpec(
            name="diffusers-unet",
            target="zoo_diffusers.model:DiffusersUNet",
            config="zoo_diffusers.config:DiffusersUNetConfig",
            sampler="ancestral",
            capabilities=frozenset({"denoise", "labels"}),
            paper="arXiv:2006.11239",
            summary="a UNet2DModel of diffusers, with the noise levels of its scheduler",
        ),
        ModelSpec(
            name="diffusers-latent",
            target="zoo_diffusers.latent:DiffusersLatent",
            config="zoo_diffusers.config:DiffusersLatentConfig",
            sampler="ddim",
            capabilities=frozenset({"latent", "encode", "labels"}),
            paper="arXiv:2112.10752",
            summary="a UNet2DModel of diffusers in the latents of its VQModel or AutoencoderKL",
        ),
        ModelSpec(
            name="diffusers-text",
            target="zoo_diffusers.text:DiffusersText",
            config="zoo_diffusers.config:DiffusersTextConfig",
            sampler="dpmpp-2m",
            capabilities=frozenset({"latent", "encode", "condition"}),
            paper="arXiv:2112.10752",
            summary="text to image: a UNet2DConditionModel of diffusers with CLIP's text encoder, in the latents of an AutoencoderKL",
        ),
        SchedulerSpec(
            name="diffusers",
            target="zoo_diffusers.schedulers:Diffusers",
            paper="arXiv:2006.11239",
            summary="the noise levels of a scheduler of diffusers, placed as it places them",
        ),
    ]
