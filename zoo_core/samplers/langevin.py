"""Langevin dynamics along noise levels, alone and as the corrector of a predictor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Literal

from zoo_core.config import check_range
from zoo_core.errors import ConfigError, UsageError
from zoo_core.interfaces import Denoiser
from zoo_core.samplers.base import DenoiserSampler, StepContext, check_clip
from zoo_core.samplers.wrappers import Inpainted, Masked

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Langevin", "PredictorCorrector"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Langevin(DenoiserSampler):
    """Annealed Langevin dynamics (Song & Ermon 2019, arXiv:1907.05600, Algorithm 1), with steps relative to the level.

    At every level sigma_i it repeats ``steps_per_level`` times, with alpha_i = step * sigma_i^2:

        x = x + alpha_i / 2 * s(x, sigma_i) + sqrt(alpha_i) z
          = x + step / 2 * (D(x, sigma_i) - x) + sqrt(step) sigma_i z

    The paper's epsilon is step * sigma_L^2: its 2e-5 at sigma_L = 0.01 is step 0.2. ``denoise`` ends with D(x, sigma_L) of the smallest
    level (Jolicoeur-Martineau et al. 2020, arXiv:2009.05475); without it, the noise of that level stays in the samples.
    Forward passes: ``steps`` * ``steps_per_level``, and one more with ``denoise``.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     Langevin(steps=10, steps_per_level=2)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        steps_per_level: T of the paper, the number of steps at each level.
        step: relative step size, below 4. Small steps converge slowly; large ones leave too much noise: x settles at the level
            sigma_i / sqrt(1 - step/4).
        denoise: whether to remove the remaining noise at the end.
        clip: whether to clamp D to the range of the model's event, if it has one.
        masked_score: whether to inpaint with the score s(x) - 2 M (x - known) of :class:`~zoo_core.samplers.Masked` instead of the
            estimate of :class:`~zoo_core.samplers.Inpainted`. Then a step moves x - known by another - alpha_i (x - known); together with
            the model's own pull of at most step/2 (x - known), it diverges if alpha_i + step/2 >= 2, so that step must be below
            2 / (sigma_1^2 + 1/2) at the largest level. That suits models of small levels, such as those of the first NCSN; at level 50
            the bound is below 1/1000.

    Raises:
        UsageError: if masked_score is set outside inpainting.
        ConfigError: if an option is out of range, or the step is too large for the masked score.
    """

    steps: int = 50
    steps_per_level: int = 5
    step: float = 0.5
    denoise: bool = True
    clip: bool | float = True
    masked_score: bool = False

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), steps_per_level=(1, 100_000), step=(1e-9, 3.99))
        check_clip(self.clip)
        if self.masked_score and not isinstance(self.clip, bool):
            raise ConfigError("clip must be true or false with masked_score, whose estimates leave the range on purpose")

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        if self.masked_score:
            context = replace(context, model=self._masked(context.model, sigmas[0]), clip=False)
        for i, sigma in enumerate(sigmas[:-1]):
            for t in range(self.steps_per_level):
                x0 = context.denoised(x, sigma)
                if t == 0:
                    context.show(i, sigma, x, x0)
                x = x.lerp(x0, self.step / 2).add_(context.noise(x), alpha=sqrt(self.step) * sigma)
        return context.denoised(x, sigmas[-2]) if self.denoise and sigmas[-1] == 0 else x

    def final_level(self, sigmas: Sequence[float]) -> float:
        return sigmas[-2] if sigmas[-1] > 0 and len(sigmas) > 1 else sigmas[-1]  # no step has been taken at the last level

    def _masked(self, model: Denoiser, sigma: float) -> Masked:
        if not isinstance(model, Inpainted):
            raise UsageError("masked_score is for inpainting only", "leave it out, or call inpaint")
        limit = 2 / (sigma**2 + 1 / 2)
        if not self.step < limit:
            message = f"step must be below {limit:.3g} for the masked score to be stable at sigma {sigma:g}, not {self.step:g}"
            raise ConfigError(message, "take a smaller step, or leave masked_score out")
        return Masked(model.model, model.known, model.mask, clip=bool(self.clip))


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictorCorrector(DenoiserSampler):
    """Predictor-corrector sampling (Song et al. 2021, arXiv:2011.13456, Algorithms 2 and 4, variance exploding).

    The predictor moves from sigma to sigma' < sigma, with s = (D(x, sigma) - x) / sigma^2:

        x = x + (sigma^2 - sigma'^2) s + g z,  g = sqrt(sigma^2 - sigma'^2)                  reverse diffusion, eq. 46
                                               g = sigma'/sigma sqrt(sigma^2 - sigma'^2)     ancestral, eq. 47

    and the corrector takes ``corrections`` steps along the score at sigma' > 0, with e = 2 (r |z| / |s|)^2:

        x = x + e s + sqrt(2 e) z

    The paper takes the norms over a batch, so that an image would depend on the other images of its batch. Here they are replaced by their
    averages if x - x_0 is pure noise, |z| = sqrt(d) and |s| = sqrt(d) / sigma': e = 2 r^2 sigma'^2, a Langevin step of 4 r^2. No noise is
    added in the step to 0. Forward passes: ``steps`` + (``steps`` - 1) * ``corrections``.

    >>> import torch
    >>> from zoo_core.rng import ImageRng
    >>> from zoo_core.testing.fake import FakeDenoiser
    >>> from zoo_core.testing.fake_config import FakeDenoiserConfig
    >>> model = FakeDenoiser(FakeDenoiserConfig(shape=(2,)))
    >>> with torch.no_grad():
    ...     PredictorCorrector(steps=10)(model, ImageRng(0, range(4))).shape
    torch.Size([4, 2])

    Args:
        steps: number of noise levels.
        corrections: M of the paper, the number of corrector steps at each level.
        snr: r, the corrector's signal-to-noise ratio.
        predictor: ``ancestral`` adds the exact noise for sigma', ``reverse-diffusion`` a little more.
        clip: whether to clamp D to the range of the model's event, if it has one.

    Raises:
        ConfigError: if an option is out of range.
    """

    steps: int = 50
    corrections: int = 1
    snr: float = 0.16
    predictor: Literal["ancestral", "reverse-diffusion"] = "ancestral"
    clip: bool | float = True

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 100_000), corrections=(0, 1000), snr=(1e-6, 0.99))
        check_clip(self.clip)

    def walk(self, x: "Tensor", sigmas: Sequence[float], context: StepContext) -> "Tensor":
        for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            x0 = context.denoised(x, sigma)
            context.show(i, sigma, x, x0)
            ratio = sigma_next / sigma
            x = x0.lerp(x, ratio**2)
            if sigma_next == 0:
                break
            g = sqrt(sigma**2 - sigma_next**2) * (ratio if self.predictor == "ancestral" else 1.0)
            x.add_(context.noise(x), alpha=g)
            for _ in range(self.corrections):
                x0 = context.denoised(x, sigma_next)
                x = x.lerp(x0, 2 * self.snr**2).add_(context.noise(x), alpha=2 * self.snr * sigma_next)
        return x
