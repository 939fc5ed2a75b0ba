"""The plugin of the fake families, which :func:`zoo_core.testing.write_fake_plugin` and :func:`zoo_core.testing.fake_zoo` install."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import DatasetSpec, ModelSpec, RecipeSpec, Spec, TrainerSpec

__all__ = ["zoo_specs"]

HEAVY, LIGHT = "zoo_core.testing.fake", "zoo_core.testing.fake_config"


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [*_families(), *_parts()]


def _families() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="fake",
            target=f"{HEAVY}:Fake",
            config=f"{LIGHT}:FakeConfig",
            trainer="fake",
            capabilities=frozenset({"decode", "encode", "density", "labels"}),
            sampler="latent",
            summary="an affine flow with class means, for tests",
        ),
        ModelSpec(
            name="fake-denoiser",
            target=f"{HEAVY}:FakeDenoiser",
            config=f"{LIGHT}:FakeDenoiserConfig",
            trainer="fake-denoiser",
            capabilities=frozenset({"denoise", "labels"}),
            sampler="ancestral",
            summary="the exact denoiser of a Gaussian, for tests",
        ),
        ModelSpec(
            name="fake-latent",
            target=f"{HEAVY}:FakeLatent",
            config=f"{LIGHT}:FakeLatentConfig",
            capabilities=frozenset({"latent", "encode", "labels"}),
            sampler="ancestral",
            summary="images that are decoded from latents, for tests",
        ),
        ModelSpec(
            name="fake-conditional",
            target=f"{HEAVY}:FakeConditional",
            config=f"{LIGHT}:FakeConditionalConfig",
            capabilities=frozenset({"denoise", "condition", "labels"}),
            sampler="ancestral",
            summary="the exact denoiser of a Gaussian given a noisy sample, for tests",
        ),
        ModelSpec(
            name="fake-text",
            target="zoo_core.testing.fake_text:FakeText",
            config=f"{LIGHT}:FakeTextConfig",
            trainer="model-loss",
            capabilities=frozenset({"unmask", "density", "text"}),
            sampler="unmask",
            summary="texts of independent characters, for tests",
        ),
        ModelSpec(
            name="fake-filler",
            target=f"{HEAVY}:FakeFiller",
            config=f"{LIGHT}:FakeFillerConfig",
            capabilities=frozenset({"fill"}),
            summary="the mean of the known values in place of the others, for tests",
        ),
    ]


def _parts() -> Iterable[Spec]:
    return [
        TrainerSpec(
            name="fake",
            target=f"{HEAVY}:FakeTrainer",
            config=f"{LIGHT}:FakeTrainerConfig",
            summary="adversarial, with a critic of its own: two phases",
        ),
        TrainerSpec(
            name="fake-denoiser",
            target=f"{HEAVY}:FakeDenoiserTrainer",
            config=f"{LIGHT}:FakeDenoiserTrainerConfig",
            summary="denoising at the trained levels",
        ),
        TrainerSpec(
            name="fake-student",
            target=f"{HEAVY}:FakeStudent",
            config=f"{LIGHT}:FakeStudentConfig",
            requires="denoise",
            summary="the estimates of a teacher",
        ),
        DatasetSpec(name="fake-data", target=f"{HEAVY}:fake_data", config=f"{LIGHT}:FakeDataConfig", summary="class blobs, for tests"),
        RecipeSpec(name="images", family="fake", target=f"{LIGHT}:IMAGES", summary="two phases on 8x8 images; 30 steps"),
        RecipeSpec(name="tiny", family="fake", target=f"{LIGHT}:TINY", summary="the same on 2-D blobs"),
        RecipeSpec(name="tiny", family="fake-denoiser", target=f"{LIGHT}:NOISE", summary="one phase on 2-D blobs; 30 steps"),
    ]
