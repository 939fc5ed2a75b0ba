"""Models read through the bridge, drawn by the zoo's samplers, against diffusers' own nets and schedulers on the same noise."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.errors import UsageError
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vq_model import VQModel
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
    from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler

Write = Callable[..., Path]
STEPS = 10  # a divisor of T: DDIM of diffusers goes from t to t - floor(T / steps), which otherwise is not its next time
STAGE: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "scaling_factor": 0.7,
}
CASES = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "ddim, clipped": (DDIMScheduler, {}),
    "ddim of v": (DDIMScheduler, {"clip_sample": False, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    "ddim of x0": (DDIMScheduler, {"prediction_type": "sample", "beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100}),
    "euler": (EulerDiscreteScheduler, {"timestep_spacing": "leading", "steps_offset": 1}),
    "euler between levels": (EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
    "heun": (HeunDiscreteScheduler, {"beta_schedule": "scaled_linear"}),
    "heun of v": (HeunDiscreteScheduler, {"prediction_type": "v_prediction", "timestep_spacing": "trailing"}),
    "dpmpp-2m": (DPMSolverMultistepScheduler, {}),
    "dpmpp-2m, leading": (DPMSolverMultistepScheduler, {"timestep_spacing": "leading"}),
}


def noise(shape: tuple[int, ...]) -> Tensor:
    return ImageRng(seed=3, images=range(2)).normal(*shape)


@torch.no_grad()
def theirs(folder: Path, scheduler: Any, steps: int = STEPS) -> Tensor:
    """The loop of the pipelines of diffusers, with a net that diffusers loads."""
    net = UNet2DModel.from_pretrained(folder / "unet").eval()
    scheduler.set_timesteps(steps)
    x = noise((3, 8, 8)) * scheduler.init_noise_sigma
    # By default, DDIM of diffusers clips x_0 and not the noise that belongs to it; then x_t is not their mixture any more.
    options = {"use_clipped_model_output": True} if isinstance(scheduler, DDIMScheduler) else {}
    for t in scheduler.timesteps:
        out = net(scheduler.scale_model_input(x, t), t).sample
        x = scheduler.step(out, t, x, **options).prev_sample
    return x


@torch.no_grad()
def ours(model: Pretrained, start: float | None = None, steps: int = STEPS) -> Tensor:
    """The pipeline's own sampler and levels, from the same noise, scaled as ``start`` says."""
    sampler = type(model.sampler)(**{**{key: getattr(model.sampler, key) for key in model.sampler.__slots__}, "steps": steps})
    net: Any = model.sampled_model
    sigmas = sampler.noise_levels(net, model.scheduler_of(sampler))
    x = noise(net.event.shape) * ((1 + sigmas[0] ** 2) ** 0.5 if start is None else start)
    return sampler(net, ImageRng(seed=0, images=range(2)), sigmas=sigmas, x=x)


@pytest.mark.parametrize("case", CASES)
def test_a_draw_is_that_of_the_pipeline(case: str, written: Write) -> None:
    cls, options = CASES[case]
    scheduler = cls(**options)
    folder = written(scheduler)
    model = zoo_core.load(f"diffusers:local:{folder}")
    expected = theirs(folder, scheduler)
    sigma_space = cls in (EulerDiscreteScheduler, HeunDiscreteScheduler)
    got = ours(model, float(scheduler.init_noise_sigma) if sigma_space else None)
    assert type(model.sampler).__name__ in {"Ancestral", "Heun", "DPMSolver2M"}
    scale = max(1.0, float(expected.abs().max()))  # of a random net, whose samples are no images
    torch.testing.assert_close(got / scale, expected / scale, rtol=0, atol=1e-4)


def test_the_last_step_of_ddim_differs_where_diffusers_ends_above_zero(written: Write) -> None:
    """With ``set_alpha_to_one=False`` diffusers ends at abar_0: sqrt(abar_0) x_0 + sqrt(1 - abar_0) eps. The zoo ends at x_0."""
    scheduler = DDIMScheduler(set_alpha_to_one=False, clip_sample=False)
    folder = written(scheduler)
    got = ours(zoo_core.load(f"diffusers:local:{folder}"))
    expected = theirs(folder, scheduler)
    assert (got - expected).abs().max() > 1e-3
    torch.testing.assert_close(got, theirs(folder, DDIMScheduler(clip_sample=False)), rtol=1e-4, atol=1e-3)


def test_ancestral_steps_are_those_of_ddpm(written: Write) -> None:
    """One step down, without the noise: the mean of Ho et al. 2020, eq. 7; and the whole noise is that of the variance beta-tilde."""
    scheduler = DDPMScheduler(num_train_timesteps=20)
    model = zoo_core.load(f"diffusers:local:{written(scheduler)}")
    assert model.sampler.steps == 20  # type: ignore[attr-defined]
    net: Any = model.model
    levels = net.scheduler.levels
    x_t = noise((3, 8, 8))
    t = 7
    with torch.no_grad():
        out = net.net(x_t, torch.tensor([t])).sample
        generator = torch.Generator().manual_seed(0)
        expected = scheduler.step(out, t, x_t, generator=generator).prev_sample
        z = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(0))
        x0 = net.denoise(x_t * (1 + levels[t] ** 2) ** 0.5, levels[t]).clamp(-1, 1)
    high, low = levels[t], levels[t - 1]
    share = (low / high) ** 2
    mean = x0 + share * (x_t * (1 + high**2) ** 0.5 - x0)
    x = mean + z * (low**2 * (1 - share)) ** 0.5
    torch.testing.assert_close(x / (1 + low**2) ** 0.5, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cls", [VQModel, AutoencoderKL])
def test_latents_are_decoded_as_the_pipeline_decodes_them(cls: Any, written: Write) -> None:
    scheduler = DDIMScheduler(clip_sample=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        stage = cls(latent_channels=3, **STAGE).eval()
    name = "vqvae" if cls is VQModel else "vae"
    folder = written(scheduler, **{name: stage})
    model = zoo_core.load(f"diffusers:local:{folder}")
    assert model.capabilities == {"latent", "encode"}
    assert (model.event.shape, model.event.range) == ((3, 16, 16), (-1.0, 1.0))
    z, expected = ours(model), theirs(folder, scheduler)
    torch.testing.assert_close(z, expected, rtol=1e-4, atol=1e-3)
    with torch.no_grad():
        image = stage.decode(expected / 0.7).sample.clamp(-1, 1)
        torch.testing.assert_close(model.decode(expected), image, rtol=1e-4, atol=1e-4)
        encoded = stage.encode(image)
        mean = encoded.latents if cls is VQModel else encoded.latent_dist.mean
    torch.testing.assert_close(model.encode(image), 0.7 * mean, rtol=1e-4, atol=1e-4)
    assert model.sample(2, seed=0, steps=2).shape == (2, 3, 16, 16)


def test_a_net_with_classes_and_a_learned_variance(written: Write) -> None:
    """Labels reach the class embedding, and of twice the channels the first half is the prediction."""
    model = zoo_core.load(f"diffusers:local:{written(DDIMScheduler(), {'num_class_embeds': 5, 'out_channels': 6})}")
    assert model.capabilities == {"denoise", "labels"}
    net: Any = model.model
    x, labels, sigma = noise((3, 8, 8)), torch.tensor([4, 1]), net.scheduler.levels[500]
    with torch.no_grad():
        out = net.net(x / (1 + sigma**2) ** 0.5, torch.tensor([500, 500]), class_labels=labels).sample
        torch.testing.assert_close(net.denoise(x, sigma, labels), x - sigma * out[:, :3], rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError):
        model.sample(2, labels=[7, 0], steps=1)


@pytest.mark.slow
def test_the_pipeline_itself_draws_the_same(written: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """``DDIMPipeline`` of diffusers, whole, and ``Pretrained.sample`` on the noise of image i of a seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers.pipelines.ddim import pipeline_ddim

    folder = written(DDIMScheduler())
    pipeline = pipeline_ddim.DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    start = ImageRng(seed=5, images=range(2)).normal(3, 8, 8)
    monkeypatch.setattr(pipeline_ddim, "randn_tensor", lambda shape, **options: start)
    expected = torch.from_numpy(
        pipeline(batch_size=2, num_inference_steps=STEPS, use_clipped_model_output=True, output_type="np").images
    ).permute(0, 3, 1, 2)
    got = zoo_core.load(f"diffusers:local:{folder}").sample(2, seed=5, steps=STEPS)
    torch.testing.assert_close((got / 2 + 0.5).clamp(0, 1), expected, rtol=0, atol=1e-4)
